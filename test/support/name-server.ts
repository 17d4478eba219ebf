import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

const A = 1;
const SRV = 33;

/** What a name server knows; both may change while it runs. */
export interface Zone {
  /** IPv4; an empty one for a name that is there without an address. */
  readonly addresses?: Readonly<Record<string, string>>;
  readonly services?: Readonly<Record<string, readonly { readonly host: string; readonly port: number }[]>>;
}

/** A name server on the loopback interface: A and SRV records, an empty answer for others, NXDOMAIN for no name. */
export class NameServer {
  readonly #socket: Socket;
  /** Names in the order in which they were asked for. */
  readonly asked: string[] = [];

  private constructor(socket: Socket, zone: Zone) {
    this.#socket = socket;
    socket.on("message", (query, from) => {
      const { name, answer } = answerTo(query, zone);
      this.asked.push(name);
      socket.send(answer, from.port, from.address);
    });
  }

  static async start(zone: Zone): Promise<NameServer> {
    const socket = createSocket("udp4");
    const server = new NameServer(socket, zone);
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }
}

function answerTo(query: Buffer, { addresses = {}, services = {} }: Zone): { name: string; answer: Buffer } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.subarray(at + 1, at + 1 + length).toString());
    at += 1 + length;
  }
  const name = labels.join(".").toLowerCase();
  const type = query.readUInt16BE(at + 1);
  const address = addresses[name];
  const targets = services[name];
  const records: Buffer[] = [];
  if (type === A && address !== undefined && address !== "")
    records.push(record(A, Buffer.from(address.split(".").map(Number))));
  if (type === SRV) for (const { host, port } of targets ?? []) records.push(record(SRV, srvData(host, port)));
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(address === undefined && targets === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return { name, answer: Buffer.concat([header, query.subarray(12, at + 5), ...records]) };
}

/** For the name that was asked for, which stands at byte 12. */
function record(type: number, data: Buffer): Buffer {
  const head = Buffer.of(0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, 0);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function srvData(host: string, port: number): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt16BE(port, 4);
  const labels = host.split(".").map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
  return Buffer.concat([head, ...labels, Buffer.of(0)]);
}
