import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { LOGGER_OFF } from "../../node/api/embed/options.ts";
import { encodeHello } from "../../node/codec/handshake.ts";
import { sessionHello } from "../../node/transport/admission.ts";
import { FRAME_HEADER_BYTES, frameHeader, type FrameKind } from "../../node/transport/tcp/frame.ts";
import { type TransportLimits } from "../../node/transport/tcp/limits.ts";
import { TcpTransport } from "../../node/transport/tcp/transport.ts";
import {
  close,
  connected,
  identity,
  idOf,
  type Member,
  peerOf,
  probe,
  startMember,
  text,
  WAIT,
} from "../conformance/transport.suite.ts";
import { Prng } from "../support/prng.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

async function start(
  number: number,
  limits: Partial<TransportLimits> = {},
  host = "127.0.0.1",
): Promise<Member & Pick<TcpTransport, "statistics"> & { log: string[] }> {
  const log: string[] = [];
  const note = (message: string, fields?: Readonly<Record<string, unknown>>) => {
    log.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  const logger = { debug: note, info: note, warn: note };
  const transport = new TcpTransport({ listenUrls: [`http://${host}:0`], identity: identity(number), logger, limits });
  const member = await startMember({ create: () => transport }, identity(number));
  open.push(() => close(member.transport));
  return { ...member, log, statistics: () => transport.statistics() };
}

const portOf = (member: Member): number => Number(new URL(member.urls[0]!).port);

/** Stands between two members, and can stop to pass anything on, or cut. */
class Proxy {
  target: number;
  readonly #pairs: [Socket, Socket][] = [];
  readonly server: Server;
  silent = false;

  constructor(target: number) {
    this.target = target;
    this.server = createServer((near) => {
      const far = connect(this.target, "127.0.0.1");
      this.#pairs.push([near, far]);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.on("error", () => undefined);
        from.on("data", (bytes: Buffer) => {
          if (!this.silent) to.write(bytes);
        });
        // Silence hides the end too: each side has to find out for itself.
        from.on("close", () => {
          if (!this.silent) to.destroy();
        });
      }
    });
  }

  async listen(): Promise<string[]> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    open.push(() => {
      this.cut();
      return new Promise((resolve) => this.server.close(resolve));
    });
    return [`http://127.0.0.1:${(this.server.address() as AddressInfo).port}`];
  }

  /** Stops to read at both ends: what is sent piles up. */
  block(): void {
    for (const sockets of this.#pairs) for (const socket of sockets) socket.pause();
  }

  cut(): void {
    for (const [near] of this.#pairs.splice(0)) near.destroy();
  }
}

/** A hand-made client. */
async function client(member: Member): Promise<{ socket: Socket; closed: Promise<unknown>; received: () => string }> {
  const socket = connect(portOf(member), "127.0.0.1");
  const pieces: Buffer[] = [];
  socket.on("error", () => undefined);
  socket.on("data", (bytes: Buffer) => pieces.push(bytes));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "connect");
  open.push(() => socket.destroy());
  return { socket, closed, received: () => Buffer.concat(pieces).toString("latin1") };
}

const frame = (kind: FrameKind, payload: Uint8Array): Buffer =>
  Buffer.concat([frameHeader(kind, 0, [payload]), payload]);

const helloTo = (member: Member): Uint8Array =>
  encodeHello(sessionHello(identity(9), { id: member.id, name: member.name }));

describe("strangers at the peer port", () => {
  it("that send random bytes are cut, and members go on", async () => {
    const [a, b] = [await start(1), await start(2)];
    b.transport.setPeers([peerOf(a)]);
    await connected(b, a);
    const prng = new Prng(20_260_101);
    for (let round = 0; round < 20; round += 1) {
      const { socket, closed } = await client(a);
      socket.write(Buffer.from(Array.from({ length: 64 }, () => prng.below(256))));
      await closed;
    }
    expect(b.transport.send(a.id, text("still"))).toBe(true);
    await vi.waitFor(() => expect(a.recorder.frames).toContain(`${b.id}:still`), WAIT);
    expect(a.recorder.lost).toEqual([]);
  });

  it("that announce a giant frame are cut at its header", async () => {
    const a = await start(1);
    const { socket, closed } = await client(a);
    const header = frameHeader("hello", 0, [new Uint8Array(8)]);
    header.writeUInt32LE(0xffff_ffff, 0);
    socket.write(header);
    await closed;
  });

  it.each([
    ["a frame before the hello", frame("message", Buffer.from("x")), "a message came in place of a hello"],
    [
      "a hello of a later protocol",
      frame("hello", Buffer.from("0900090000000000", "hex")),
      "Peer speaks protocol versions 9 to 9, wanted 1 to 1",
    ],
    ["a hello that is cut short", frame("hello", Buffer.from("01000100000000", "hex")), "Ends at byte 7"],
  ])("that send %s are told what is wrong", async (_, bytes, reason) => {
    const a = await start(1);
    const { socket, closed, received } = await client(a);
    socket.write(bytes);
    await closed;
    expect(received()).toContain(reason);
    expect(a.recorder.frames).toEqual([]);
  });

  it("that say nothing are cut after the time limit", async () => {
    const a = await start(1, { handshakeTimeoutMs: 50 });
    const { closed } = await client(a);
    await closed;
  });

  it("that say nothing and are too many give way, the oldest first, to those that speak", async () => {
    const [a, b] = [await start(1, { pendingHandshakesMax: 3 }), await start(2)];
    const crowd = [];
    for (let count = 0; count < 4; count += 1) crowd.push(await client(a));
    await crowd[0]!.closed;
    b.transport.setPeers([peerOf(a)]);
    await connected(b, a);
    await crowd[1]!.closed;
    expect(crowd[3]!.socket.closed).toBe(false);
  });
});

describe("members that misbehave", () => {
  it.each([
    ["a wrong checksum", () => Buffer.concat([frame("message", Buffer.from("abc")).subarray(0, -1), Buffer.from("x")])],
    ["a frame over the limit", () => frame("message", Buffer.alloc(70_000))],
    ["another group", () => Buffer.concat([frameHeader("message", 7, [])])],
    ["a second hello", () => frame("hello", new Uint8Array())],
  ])("by %s lose the connection, and nothing of it is delivered", async (_, bytes) => {
    const a = await start(1, { frameBytesMax: 65_536 });
    const { socket, closed } = await client(a);
    socket.write(Buffer.concat([frame("hello", helloTo(a)), frame("message", Buffer.from("good"))]));
    await vi.waitFor(() => expect(a.recorder.frames).toEqual([`${idOf(9)}:good`]), WAIT);
    socket.write(bytes());
    await closed;
    await vi.waitFor(() => expect(a.recorder.lost).toEqual([idOf(9)]), WAIT);
    expect(a.recorder.frames).toHaveLength(1);
  });

  it("frames that come byte by byte are put together", async () => {
    const a = await start(1);
    const { socket } = await client(a);
    socket.setNoDelay(true);
    for (const byte of Buffer.concat([frame("hello", helloTo(a)), frame("message", Buffer.from("slow"))])) {
      socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    await vi.waitFor(() => expect(a.recorder.frames).toEqual([`${idOf(9)}:slow`]), WAIT);
  });

  it("a second connection of a member takes the place of the first, without a notice of loss", async () => {
    const a = await start(1);
    const first = await client(a);
    first.socket.write(frame("hello", helloTo(a)));
    await vi.waitFor(() => expect(first.received()).not.toBe(""), WAIT);
    const second = await client(a);
    second.socket.write(Buffer.concat([frame("hello", helloTo(a)), frame("message", Buffer.from("new"))]));
    await first.closed;
    await vi.waitFor(() => expect(a.recorder.frames).toEqual([`${idOf(9)}:new`]), WAIT);
    expect(a.recorder.lost).toEqual([]);
    second.socket.destroy();
    await vi.waitFor(() => expect(a.recorder.lost).toEqual([idOf(9)]), WAIT);
  });
});

describe("broken connections", () => {
  it("are noticed on both sides and made anew", async () => {
    const [a, b] = [await start(1), await start(2)];
    const [toA, toB] = [new Proxy(portOf(a)), new Proxy(portOf(b))];
    a.transport.setPeers([{ ...peerOf(b), urls: await toB.listen() }]);
    b.transport.setPeers([{ ...peerOf(a), urls: await toA.listen() }]);
    await connected(a, b);
    await connected(b, a);
    // One of the two connections is no loss: the other side is still there.
    toA.cut();
    await connected(b, a);
    expect([a.recorder.lost, b.recorder.lost]).toEqual([[], []]);
    toA.cut();
    toB.cut();
    await vi.waitFor(() => expect([a.recorder.lost, b.recorder.lost]).toEqual([[b.id], [a.id]]), WAIT);
    await connected(a, b);
    await connected(b, a);
  });

  it("that only fell silent are ended after the idle time, on both sides", async () => {
    const limits = { pingIntervalMs: 20, idleTimeoutMs: 100 };
    const [a, b] = [await start(1, limits), await start(2, limits)];
    const proxy = new Proxy(portOf(b));
    a.transport.setPeers([{ ...peerOf(b), urls: await proxy.listen() }]);
    await connected(a, b);
    proxy.silent = true;
    await vi.waitFor(() => expect([a.recorder.lost, b.recorder.lost]).toEqual([[b.id], [a.id]]), WAIT);
    expect(a.log.join("\n")).toContain("nothing was heard from the peer for too long");
    proxy.silent = false;
    await connected(a, b);
  });

  it("to a member that came back elsewhere are given up when it connects, not after the idle time", async () => {
    const limits = { idleTimeoutMs: 600_000 };
    const [a, before, after] = [await start(1, limits), await start(2), await start(2)];
    const [toA, toB] = [new Proxy(portOf(a)), new Proxy(portOf(before))];
    a.transport.setPeers([{ ...peerOf(before), urls: await toB.listen() }]);
    before.transport.setPeers([{ ...peerOf(a), urls: await toA.listen() }]);
    await connected(a, before);
    await connected(before, a);
    // The machine of m2 is gone without a word, and m2 starts on another one.
    toA.block();
    toB.block();
    toB.target = portOf(after);
    after.transport.setPeers([peerOf(a)]);
    await vi.waitFor(() => {
      a.transport.send(after.id, text("welcome"));
      expect(after.recorder.frames).toContain(`${a.id}:welcome`);
    }, WAIT);
    expect(a.recorder.lost).toEqual([]);
  });

  it("that are idle but alive stay", async () => {
    const limits = { pingIntervalMs: 10, idleTimeoutMs: 40 };
    const [a, b] = [await start(1, limits), await start(2, limits)];
    let heard = 0;
    const proxy = new Proxy(portOf(b));
    a.transport.setPeers([{ ...peerOf(b), urls: await proxy.listen() }]);
    await connected(a, b);
    proxy.server.on("connection", () => (heard += 1));
    const until = performance.now() + 10 * limits.idleTimeoutMs;
    await vi.waitFor(() => expect(performance.now()).toBeGreaterThan(until), WAIT);
    expect(heard).toBe(0);
    expect([a.recorder.lost, b.recorder.lost]).toEqual([[], []]);
  });

  it("that take nothing fill a bounded buffer; what is beyond is dropped and told", async () => {
    const [a, b] = [await start(1, { bufferBytesMax: 1 << 20 }), await start(2)];
    const proxy = new Proxy(portOf(b));
    a.transport.setPeers([{ ...peerOf(b), urls: await proxy.listen() }]);
    await connected(a, b);
    a.recorder.unreachable.length = 0;
    proxy.block();
    const piece = [Buffer.alloc(256 << 10, "x")];
    let taken = 0;
    // The buffers of the operating system come before ours: some megabytes.
    await vi.waitFor(() => {
      while (a.transport.send(b.id, piece)) taken += 1;
      expect(a.recorder.unreachable).toContain(b.id);
    }, WAIT);
    expect(taken).toBeGreaterThanOrEqual(3);
    expect(taken).toBeLessThan(400);
    expect(a.recorder.lost).toEqual([]);
    // Nor does it hold up the end.
    await close(a.transport);
  });
});

describe("dialling", () => {
  it("tries the URLs in turn, and new ones as soon as they are known", async () => {
    const [a, b, gone] = [await start(1), await start(2), await start(3)];
    await close(gone.transport);
    a.transport.setPeers([{ ...peerOf(b), urls: [gone.urls[0]!, "http://nowhere.invalid:1", b.urls[0]!] }]);
    await connected(a, b);
    const c = await start(4);
    a.transport.setPeers([{ ...peerOf(c), urls: gone.urls }]);
    expect(a.transport.send(c.id, text("x"))).toBe(false);
    a.transport.setPeers([peerOf(c)]);
    await connected(a, c);
  });

  it("reaches IPv6 addresses and localhost", async () => {
    const [a, b] = [await start(1), await start(2, {}, "[::1]")];
    expect(b.urls[0]).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect(await probe(a.transport, b.urls)).toMatchObject({ memberId: b.id });
    expect(await probe(a.transport, [`http://localhost:${portOf(b)}`])).toMatchObject({ memberId: b.id });
  });

  it("gives up on a peer that accepts and says nothing", async () => {
    const a = await start(1, { handshakeTimeoutMs: 50 });
    const server = createServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
    await once(server, "listening");
    open.push(() => server.close());
    await expect(probe(a.transport, [`http://127.0.0.1:${(server.address() as AddressInfo).port}`])).rejects.toThrow(
      "did not finish the handshake within 50 ms",
    );
  });

  it("says once why a peer is not connected, not at every attempt", async () => {
    const [a, b] = [await start(1, { reconnectMinMs: 1, reconnectMaxMs: 2 }), await start(2)];
    a.transport.setPeers([{ ...peerOf(b), id: idOf(5) }]);
    await vi.waitFor(
      () => expect(b.log.filter((line) => line.startsWith("Refused a peer")).length).toBeGreaterThan(3),
      WAIT,
    );
    expect(a.log.filter((line) => line.startsWith("Peer is not connected"))).toHaveLength(1);
    expect(a.log[0]).toContain(`member ID mismatch: found ${b.id}, wanted ${idOf(5)}`);
  });
});

it("counts what it sends, receives, drops and how often it connects, by peer", async () => {
  const [a, b] = [await start(1), await start(2)];
  const absent = { id: idOf(3), name: "m3", urls: ["http://127.0.0.1:1"] };
  a.transport.setPeers([peerOf(b), absent]);
  b.transport.setPeers([peerOf(a)]);
  await connected(a, b);
  await connected(b, a);
  // Each dials the other.
  await vi.waitFor(() => expect(a.statistics()[0]?.connections).toBe(2), WAIT);
  const [before] = a.statistics();
  expect(a.transport.send(b.id, [Buffer.alloc(70), Buffer.alloc(30)])).toBe(true);
  expect(b.transport.send(a.id, [Buffer.alloc(7)])).toBe(true);
  expect(a.transport.send(absent.id, text("x"))).toBe(false);
  await vi.waitFor(() => expect(a.statistics()[0]?.receivedFrames).toBe(before!.receivedFrames + 1), WAIT);
  const [after, dropped] = a.statistics();
  expect(after).toMatchObject({
    sentFrames: before!.sentFrames + 1,
    sentBytes: before!.sentBytes + 100,
    receivedBytes: before!.receivedBytes + 7,
    droppedFrames: before!.droppedFrames,
  });
  expect(dropped).toMatchObject({
    connected: false,
    connections: 0,
    sentFrames: 0,
    droppedFrames: { disconnected: 1 },
  });
  await close(b.transport);
  const create = () => new TcpTransport({ listenUrls: b.urls, identity: identity(2), logger: LOGGER_OFF });
  const again = await startMember({ create }, identity(2));
  open.push(() => close(again.transport));
  await vi.waitFor(() => expect(a.statistics()[0]?.connections).toBe(3), WAIT);
  a.transport.setPeers([]);
  expect(a.statistics()).toEqual([]);
});

it("a frame over the limit is dropped before it is sent", async () => {
  const [a, b] = [await start(1, { frameBytesMax: 65_536 }), await start(2)];
  a.transport.setPeers([peerOf(b)]);
  await connected(a, b);
  a.recorder.unreachable.length = 0;
  expect(a.transport.send(b.id, [Buffer.alloc(65_536 - FRAME_HEADER_BYTES)])).toBe(true);
  const before = a.statistics();
  expect(a.transport.send(b.id, [Buffer.alloc(65_537)])).toBe(false);
  const [row] = before;
  expect(row).toMatchObject({ memberId: b.id, connected: true, droppedFrames: { full: 0, tooLarge: 0 } });
  expect(a.statistics()).toEqual([
    { ...row, bufferedBytes: expect.any(Number), droppedFrames: { ...row!.droppedFrames, tooLarge: 1 } },
  ]);
  await vi.waitFor(() => expect(a.recorder.unreachable).toEqual([b.id]), WAIT);
  expect(a.recorder.lost).toEqual([]);
});
