import { connect, type Socket } from "node:net";

// Just enough of HTTP/2 (RFC 9113) to send unary gRPC calls and to tell good answers from bad ones. A full client costs
// more CPU per call than the servers under test, and would measure itself.

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const FRAME_HEADER = 9;
const GRPC_PREFIX = 5;
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const FLAG_ACK = 0x1;
const FLAG_END_STREAM = 0x1;
const FLAG_END_HEADERS = 0x4;
const FLAG_PADDED = 0x8;
const WINDOW_MAX = 2 ** 31 - 1;
const WINDOW_DEFAULT = 65_535;
/** Consumed bytes after which the server gets its window back. */
const WINDOW_STEP = 1 << 20;

/** `grpc-status: 0` as servers write it when the header table has no room: a literal name, plain or in Huffman code. */
const STATUS_NAMES = [Buffer.from("grpc-status"), Buffer.from("9acac8b21234da8f", "hex")];
const STATUS_OK = ["0130", "8107"];

export interface CallResult {
  readonly ok: boolean;
  /** Bytes of the response message. */
  readonly bytes: number;
}

interface OpenCall {
  readonly done: (result: CallResult) => void;
  bytes: number;
}

/** One connection with any number of calls under way. What is called within one turn leaves in one write. */
export class GrpcConnection {
  readonly #socket: Socket;
  readonly #head: Buffer;
  readonly #calls = new Map<number, OpenCall>();
  readonly #waiting: Buffer[] = [];
  #out: Buffer[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #nextStream = 1;
  #sendWindow = WINDOW_DEFAULT;
  #consumed = 0;
  #flushing = false;

  private constructor(socket: Socket, host: string, path: string) {
    this.#socket = socket;
    this.#head = requestHeaders(host, path);
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => this.#failAll());
    // No header table: every header of an answer is then readable by itself.
    this.#out.push(PREFACE, frame(SETTINGS, 0, 0, settings([[1, 0], [4, WINDOW_MAX]]))); // prettier-ignore
    this.#out.push(frame(WINDOW_UPDATE, 0, 0, uint32(WINDOW_MAX - WINDOW_DEFAULT)));
    this.#flush();
  }

  /** @param path - of the method that this connection calls. */
  static async open(host: string, path: string): Promise<GrpcConnection> {
    const url = new URL(`http://${host}`);
    const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    return new GrpcConnection(socket, host, path);
  }

  /** @param message - encoded; at most a frame of 16 KiB. A connection that is closed answers at once. */
  call(message: Buffer, done: (result: CallResult) => void): void {
    if (this.#socket.destroyed) {
      done({ ok: false, bytes: 0 });
      return;
    }
    const stream = this.#nextStream;
    this.#nextStream += 2;
    this.#calls.set(stream, { done, bytes: 0 });
    const head = this.#head.length;
    const request = Buffer.allocUnsafe(head + FRAME_HEADER + GRPC_PREFIX + message.length);
    this.#head.copy(request);
    request.writeUInt32BE(stream, 5);
    writeFrameHeader(request, head, GRPC_PREFIX + message.length, DATA, FLAG_END_STREAM, stream);
    request[head + FRAME_HEADER] = 0;
    request.writeUInt32BE(message.length, head + FRAME_HEADER + 1);
    message.copy(request, head + FRAME_HEADER + GRPC_PREFIX);
    this.#waiting.push(request);
    this.#scheduleFlush();
  }

  close(): void {
    this.#socket.destroy();
  }

  #scheduleFlush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Calls leave in their order, as far as the server's window for this connection reaches. */
  #flush(): void {
    let sent = 0;
    for (const request of this.#waiting) {
      const data = request.length - this.#head.length - FRAME_HEADER;
      if (data > this.#sendWindow) break;
      this.#sendWindow -= data;
      this.#out.push(request);
      sent += 1;
    }
    this.#waiting.splice(0, sent);
    if (this.#out.length === 0 || this.#socket.destroyed) return;
    this.#socket.write(this.#out.length === 1 ? (this.#out[0] as Buffer) : Buffer.concat(this.#out));
    this.#out = [];
  }

  #receive(chunk: Buffer): void {
    const input = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + FRAME_HEADER <= input.length) {
      const length = input.readUIntBE(at, 3);
      const end = at + FRAME_HEADER + length;
      if (end > input.length) break;
      const stream = input.readUInt32BE(at + 5) & 0x7fffffff;
      this.#take(input[at + 3] ?? 0, input[at + 4] ?? 0, stream, input.subarray(at + FRAME_HEADER, end));
      at = end;
    }
    this.#rest = input.subarray(at);
    this.#scheduleFlush();
  }

  #take(type: number, flags: number, stream: number, payload: Buffer): void {
    if (type === DATA) this.#takeData(stream, payload.length);
    else if (type === HEADERS) this.#takeHeaders(flags, stream, payload);
    else if (type === RST_STREAM) this.#finish(stream, false);
    else if (type === SETTINGS && (flags & FLAG_ACK) === 0) this.#out.push(frame(SETTINGS, FLAG_ACK, 0));
    else if (type === PING && (flags & FLAG_ACK) === 0) this.#out.push(frame(PING, FLAG_ACK, 0, Buffer.from(payload)));
    else if (type === WINDOW_UPDATE && stream === 0) this.#sendWindow += payload.readUInt32BE(0);
    else if (type === GOAWAY || type === CONTINUATION) this.#socket.destroy();
  }

  #takeData(stream: number, length: number): void {
    const call = this.#calls.get(stream);
    if (call !== undefined) call.bytes += length;
    this.#consumed += length;
    if (this.#consumed < WINDOW_STEP) return;
    this.#out.push(frame(WINDOW_UPDATE, 0, 0, uint32(this.#consumed)));
    this.#consumed = 0;
  }

  /** The trailers end a call; an answer without a message has nothing but trailers. */
  #takeHeaders(flags: number, stream: number, block: Buffer): void {
    const readable = (flags & FLAG_END_HEADERS) !== 0 && (flags & FLAG_PADDED) === 0;
    if (!readable) this.#finish(stream, false);
    else if ((flags & FLAG_END_STREAM) !== 0) this.#finish(stream, statusIsOk(block));
  }

  #finish(stream: number, ok: boolean): void {
    const call = this.#calls.get(stream);
    if (call === undefined) return;
    this.#calls.delete(stream);
    call.done({ ok, bytes: Math.max(0, call.bytes - GRPC_PREFIX) });
  }

  #failAll(): void {
    for (const stream of [...this.#calls.keys()]) this.#finish(stream, false);
  }
}

function statusIsOk(block: Buffer): boolean {
  return STATUS_NAMES.some((name) => {
    const at = block.indexOf(name);
    if (at < 0) return false;
    const value = at + name.length;
    return STATUS_OK.includes(block.toString("hex", value, value + 2));
  });
}

/** The same for every call: indexed fields and literals that enter no table (RFC 7541, section 6). */
function requestHeaders(host: string, path: string): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.of(value.length), Buffer.from(value, "latin1")]);
  const block = Buffer.concat([
    Buffer.of(0x83, 0x86), // :method POST, :scheme http
    Buffer.of(0x04), // :path
    text(path),
    Buffer.of(0x01), // :authority
    text(host),
    Buffer.of(0x0f, 0x10), // content-type
    text("application/grpc"),
    Buffer.of(0x00),
    text("te"),
    text("trailers"),
  ]);
  return frame(HEADERS, FLAG_END_HEADERS, 0, block);
}

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(FRAME_HEADER);
  writeFrameHeader(head, 0, payload.length, type, flags, stream);
  return Buffer.concat([head, payload]);
}

function writeFrameHeader(
  target: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): void {
  target.writeUIntBE(length, at, 3);
  target[at + 3] = type;
  target[at + 4] = flags;
  target.writeUInt32BE(stream, at + 5);
}

function settings(pairs: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [position, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, position * 6);
    payload.writeUInt32BE(value, position * 6 + 2);
  }
  return payload;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
