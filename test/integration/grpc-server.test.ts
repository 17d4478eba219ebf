import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { connect as connectSocket, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { deflateSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { frameMessage, MessageReader } from "../../node/api/grpc/framing.ts";
import {
  type CallFacts,
  type Method,
  type MessageStream,
  type StreamMethod,
  type UnaryMethod,
} from "../../node/api/grpc/method.ts";
import { GrpcServer } from "../../node/api/grpc/server.ts";

// The gRPC layer alone, with methods made of text, against a client that can send whatever HTTP/2 lets it.

const MESSAGE_BYTES_MAX = 100_000;
const codec = {
  decode: (bytes: Buffer): string => {
    const text = bytes.toString();
    if (text === "unreadable") throw new Error("No such message");
    return text;
  },
  frame: (text: string): Buffer => frameMessage(Buffer.from(text)),
};

let server: GrpcServer;
let listener: Server;
let client: ClientHttp2Session;
let socket: Socket;
/** Of finished calls: name and status. */
let observed: string[];
/** Calls of /test/Hang that wait for their answer. */
let hanging: { readonly answer: (text: string) => void; readonly facts: CallFacts }[];
/** What the last call of /test/Stream was told. */
let told: string[];
let stream: MessageStream<string>;
let closed: Promise<void>;

const unary = (name: string, handle: (request: string, call: CallFacts) => Promise<string>): [string, Method] => {
  const method: UnaryMethod<string, string> = { type: "unary", service: "test", name, kind: "unary", codec, handle };
  return [`/test/${name}`, method as unknown as Method];
};

function openStream(call: MessageStream<string>): ReturnType<StreamMethod<string, string>["open"]> {
  let end = (): void => undefined;
  stream = call;
  told = [];
  closed = new Promise((resolve) => (end = resolve));
  const tell = (what: string): void => void told.push(what);
  return {
    receive: (request) => {
      tell(request);
      if (request === "echo") call.write("echo");
    },
    ended: () => tell("ended"),
    drained: () => tell("drained"),
    closed: () => {
      tell("closed");
      end();
    },
  };
}

beforeEach(async () => {
  observed = [];
  hanging = [];
  const streaming: StreamMethod<string, string> = {
    type: "stream",
    service: "test",
    name: "Stream",
    kind: "bidiStream",
    codec,
    open: openStream,
  };
  const methods = new Map<string, Method>([
    unary("Echo", (request) => Promise.resolve(request)),
    unary("Fail", () => Promise.reject(new Error("it is 100 % broken: näin"))),
    unary("Hang", (_request, facts) => new Promise((answer) => hanging.push({ answer, facts }))),
    ["/test/Stream", streaming as unknown as Method],
  ]);
  server = new GrpcServer(methods, {
    messageBytesMax: MESSAGE_BYTES_MAX,
    statusOf: (error) => ({ code: 2, details: (error as Error).message }),
    begin: (method) => ({
      run: (work) => work(),
      end: (code) => void observed.push(`${method?.name ?? "other"} ${code}`),
    }),
  });
  listener = createServer({ allowHalfOpen: true }, (accepted) => server.accept(accepted));
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  socket = connectSocket(port, "127.0.0.1");
  client = connect(`http://127.0.0.1:${port}`, { createConnection: () => socket });
  client.on("error", () => undefined);
  // Limits hold from when the client has confirmed them.
  await new Promise((resolve) => client.once("remoteSettings", resolve));
  await new Promise((resolve) => client.ping(resolve));
});

afterEach(async () => {
  client.destroy();
  await server.close(0);
  listener.close();
});

interface Answer {
  /** HTTP. */
  readonly http: number;
  readonly messages: readonly string[];
  readonly status: number;
  readonly details: string;
  /** Nothing but one frame of headers. */
  readonly trailersOnly: boolean;
  readonly headers: IncomingHttpHeaders;
  /** Why the stream ended, when it did not end with its answer. */
  readonly reset: number;
}

interface CallOptions {
  readonly headers?: Record<string, string>;
  /** Frames of bytes, each sent when the one before it left. Default: one message, "hello". */
  readonly chunks?: readonly Buffer[];
  /** Never says that it sends no more. */
  readonly open?: boolean;
}

async function call(path: string, options: CallOptions = {}): Promise<Answer> {
  const { headers, chunks = [frameMessage(Buffer.from("hello"))], open = false } = options;
  const request = client.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  let first: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders | undefined;
  const reader = new MessageReader(2 ** 31);
  request.on("response", (received: IncomingHttpHeaders) => (first = received));
  request.on("trailers", (received: IncomingHttpHeaders) => (trailers = received));
  request.on("data", (chunk: Buffer) => reader.push(chunk));
  request.on("error", () => undefined);
  const ended = new Promise<void>((resolve) => request.on("close", resolve));
  for (const chunk of chunks) await new Promise((resolve) => request.write(chunk, resolve));
  if (!open) request.end();
  await ended;
  const messages: string[] = [];
  for (let each = reader.next(); each?.type === "message"; each = reader.next()) messages.push(each.bytes.toString());
  const last = trailers ?? first;
  return {
    http: Number(first[":status"] ?? 0),
    messages,
    status: Number(last["grpc-status"] ?? -1),
    details: decodeURIComponent(String(last["grpc-message"] ?? "")),
    trailersOnly: trailers === undefined,
    headers: first,
    reset: request.rstCode,
  };
}

const bytes = (text: string): Buffer => Buffer.from(text);
const message = (text: string): Buffer => frameMessage(bytes(text));
function compressed(content: Buffer): Buffer {
  const frame = frameMessage(content);
  frame[0] = 1;
  return frame;
}

describe("a unary call", () => {
  test("gets one message, then the status", async () => {
    const answer = await call("/test/Echo");
    expect(answer).toMatchObject({ http: 200, messages: ["hello"], status: 0, trailersOnly: false });
    expect(answer.headers["content-type"]).toBe("application/grpc");
    expect(observed).toEqual(["Echo 0"]);
  });

  test("may come in as many frames as it has bytes", async () => {
    const chunks = [...message("split")].map((byte) => Buffer.of(byte));
    expect(await call("/test/Echo", { chunks })).toMatchObject({ messages: ["split"], status: 0 });
  });

  test("may be as large as a message may be", async () => {
    const text = "x".repeat(MESSAGE_BYTES_MAX);
    expect((await call("/test/Echo", { chunks: [message(text)] })).messages).toEqual([text]);
  });

  test.each<[string, readonly Buffer[], number]>([
    ["none", [], 12],
    ["two", [message("a"), message("b")], 12],
    ["two in one frame", [Buffer.concat([message("a"), message("b")])], 12],
    ["half a message", [message("hello").subarray(0, 7)], 13],
    ["half a prefix", [message("hello").subarray(0, 3)], 13],
    ["a message and a half", [message("a"), message("hello").subarray(0, 7)], 13],
    ["bytes that are no message of the method", [message("unreadable")], 13],
  ])("with %s is refused, and the connection goes on", async (_what, chunks, status) => {
    expect(await call("/test/Echo", { chunks })).toMatchObject({ http: 200, status, trailersOnly: true, messages: [] });
    expect(observed).toEqual([`Echo ${status}`]);
    expect((await call("/test/Echo")).status).toBe(0);
  });

  test("with a message over the limit is refused before its bytes come", async () => {
    const prefix = message("x".repeat(MESSAGE_BYTES_MAX + 1)).subarray(0, 5);
    expect(await call("/test/Echo", { chunks: [prefix], open: true })).toMatchObject({
      status: 8,
      details: `grpc: received message larger than max (${MESSAGE_BYTES_MAX + 1} vs. ${MESSAGE_BYTES_MAX})`,
      trailersOnly: true,
    });
    expect((await call("/test/Echo")).status).toBe(0);
  });

  test("that fails tells why, whatever characters that takes", async () => {
    const answer = await call("/test/Fail");
    expect(answer).toMatchObject({ http: 200, status: 2, details: "it is 100 % broken: näin", trailersOnly: true });
    expect(observed).toEqual(["Fail 2"]);
  });
});

describe("compression of requests", () => {
  test.each([
    ["gzip", gzipSync("hello")],
    ["deflate", deflateSync("hello")],
  ])("%s is read", async (encoding, content) => {
    const options = { headers: { "grpc-encoding": encoding }, chunks: [compressed(content)] };
    expect(await call("/test/Echo", options)).toMatchObject({ messages: ["hello"], status: 0 });
  });

  test("messages that are not compressed may come between", async () => {
    const headers = { "grpc-encoding": "gzip" };
    const chunks = [Buffer.concat([compressed(gzipSync("a")), message("b"), compressed(gzipSync("c")), message("d")])];
    const answer = call("/test/Stream", { headers, chunks });
    await expect.poll(() => told).toEqual(["a", "b", "c", "d", "ended"]);
    stream.end();
    expect((await answer).status).toBe(0);
  });

  test.each<[string, string | undefined, Buffer, number]>([
    ["an encoding nobody knows", "snappy", bytes("x"), 12],
    ["a flag without an encoding", undefined, gzipSync("hello"), 13],
    ["content that is not compressed", "gzip", bytes("hello"), 13],
    ["content that grows beyond the limit", "gzip", gzipSync(Buffer.alloc(MESSAGE_BYTES_MAX + 1)), 8],
  ])("%s is refused", async (_what, encoding, content, status) => {
    const headers = encoding === undefined ? {} : { "grpc-encoding": encoding };
    const answer = await call("/test/Echo", { headers, chunks: [compressed(content)] });
    expect(answer.status).toBe(status);
    if (status === 12) expect(answer.headers["grpc-accept-encoding"]).toBe("identity,deflate,gzip");
    expect((await call("/test/Echo")).status).toBe(0);
  });
});

describe("what is no call", () => {
  test("another content type gets HTTP's answer", async () => {
    const answer = await call("/test/Echo", { headers: { "content-type": "application/json" } });
    expect(answer).toMatchObject({ http: 415, status: -1 });
  });

  test("so does another method", async () => {
    expect(await call("/test/Echo", { headers: { ":method": "PUT" } })).toMatchObject({ http: 405, status: -1 });
  });

  test("a method that is not there is named", async () => {
    expect(await call("/test/Nothing")).toMatchObject({
      http: 200,
      status: 12,
      details: "The server does not implement the method /test/Nothing",
      trailersOnly: true,
    });
    expect(observed).toEqual(["other 12"]);
  });

  test("headers over the limit reset the call, not the connection", async () => {
    const answer = await call("/test/Echo", { headers: { "x-large": "x".repeat(20_000) } });
    expect(answer).toMatchObject({ http: 0, reset: constants.NGHTTP2_ENHANCE_YOUR_CALM });
    expect((await call("/test/Echo")).status).toBe(0);
  });
});

describe("time", () => {
  test("a call that takes longer than its client waits ends with that status", async () => {
    const answer = await call("/test/Hang", { headers: { "grpc-timeout": "20m" } });
    expect(answer).toMatchObject({ http: 200, status: 4, details: "Deadline exceeded", trailersOnly: true });
    expect(observed).toEqual(["Hang 4"]);
    // Too late, and nobody minds.
    hanging[0]?.answer("late");
    expect((await call("/test/Echo")).status).toBe(0);
    expect(observed).toEqual(["Hang 4", "Echo 0"]);
  });

  test("the deadline holds for streams as well, and for requests that never come", async () => {
    const late = { headers: { "grpc-timeout": "20m" }, open: true };
    expect((await call("/test/Stream", late)).status).toBe(4);
    expect(told).toEqual(["hello", "closed"]);
    expect(observed).toEqual(["Stream 4"]);
    expect((await call("/test/Echo", { ...late, chunks: [] })).status).toBe(4);
  });

  test("methods know the deadline", async () => {
    const before = Date.now();
    const answer = call("/test/Hang", { headers: { "grpc-timeout": "1M" } });
    await expect.poll(() => hanging.length).toBe(1);
    const { deadlineAt } = hanging[0]!.facts;
    expect(deadlineAt).toBeGreaterThanOrEqual(before + 60_000);
    expect(deadlineAt).toBeLessThanOrEqual(Date.now() + 60_000);
    hanging[0]!.answer("done");
    expect((await answer).messages).toEqual(["done"]);
  });

  test("one longer than timers count is no deadline that has passed", async () => {
    expect((await call("/test/Echo", { headers: { "grpc-timeout": "99999999H" } })).status).toBe(0);
  });

  test("what is no timeout is refused", async () => {
    expect(await call("/test/Echo", { headers: { "grpc-timeout": "soon" } })).toMatchObject({ status: 13 });
  });
});

describe("a client that goes away", () => {
  test("before its request is whole has called nothing", async () => {
    const request = client.request({ ":method": "POST", ":path": "/test/Hang", "content-type": "application/grpc" });
    request.on("error", () => undefined);
    await new Promise((resolve) => request.write(message("x"), resolve));
    socket.resetAndDestroy();
    await expect.poll(() => observed).toEqual(["Hang 1"]);
    expect(hanging).toEqual([]);
  });

  test("ends its call; the answer is dropped", async () => {
    const request = client.request({ ":method": "POST", ":path": "/test/Hang", "content-type": "application/grpc" });
    request.on("error", () => undefined);
    request.end(message("x"));
    await expect.poll(() => hanging.length).toBe(1);
    request.close(constants.NGHTTP2_CANCEL);
    await expect.poll(() => observed).toEqual(["Hang 1"]);
    hanging[0]!.answer("late");
    expect((await call("/test/Echo")).status).toBe(0);
  });

  test.each(["reset", "drop", "end"])("ends its streams: %s", async (way) => {
    const request = client.request({ ":method": "POST", ":path": "/test/Stream", "content-type": "application/grpc" });
    request.on("error", () => undefined);
    request.write(message("x"));
    await expect.poll(() => told).toEqual(["x"]);
    if (way === "reset") request.close(constants.NGHTTP2_CANCEL);
    else if (way === "drop") socket.resetAndDestroy();
    else socket.end();
    await closed;
    // Node.js ends its side before it resets a stream; whether that comes first does not matter.
    expect(told.filter((what) => what !== "ended")).toEqual(["x", "closed"]);
    expect(stream.write("late")).toBe(true);
    stream.end();
  });
});

describe("a stream", () => {
  test("speaks in both directions until both have ended", async () => {
    const answer = call("/test/Stream", { chunks: [message("echo"), message("x"), message("echo")] });
    await expect.poll(() => told).toEqual(["echo", "x", "echo", "ended"]);
    stream.write("last");
    stream.end();
    expect(await answer).toMatchObject({ messages: ["echo", "echo", "last"], status: 0, trailersOnly: false });
    expect(told).toEqual(["echo", "x", "echo", "ended", "closed"]);
  });

  test("ends with a status behind what was written, once, though the client never ends", async () => {
    const request = client.request({ ":method": "POST", ":path": "/test/Stream", "content-type": "application/grpc" });
    const trailers = new Promise<IncomingHttpHeaders>((resolve) => request.on("trailers", resolve));
    let received = Buffer.alloc(0);
    request.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
    request.write(message("echo"));
    await expect.poll(() => told).toEqual(["echo"]);
    stream.fail({ code: 14, details: "away" });
    stream.fail({ code: 13, details: "again" });
    stream.end();
    expect(told).toEqual(["echo", "closed"]);
    expect(await trailers).toMatchObject({ "grpc-status": "14", "grpc-message": "away" });
    expect(received).toEqual(message("echo"));
    request.close();
  });

  test("is told to wait while the client does not read, and when to go on", async () => {
    const request = client.request({ ":method": "POST", ":path": "/test/Stream", "content-type": "application/grpc" });
    request.write(message("x"));
    await expect.poll(() => told).toEqual(["x"]);
    const part = "y".repeat(50_000);
    let written = 1;
    while (stream.write(part)) written += 1;
    expect(told).toEqual(["x"]);
    let received = 0;
    request.on("data", (chunk: Buffer) => (received += chunk.length));
    await expect.poll(() => told).toEqual(["x", "drained"]);
    stream.end();
    request.end();
    await closed;
    await new Promise((resolve) => request.on("close", resolve));
    expect(received).toBe(written * (part.length + 5));
  });

  test("receives nothing while it is paused, and everything afterwards", async () => {
    const request = client.request({ ":method": "POST", ":path": "/test/Stream", "content-type": "application/grpc" });
    request.resume();
    request.write(message("pause"));
    await expect.poll(() => told).toEqual(["pause"]);
    stream.pause();
    request.write(Buffer.concat([message("a"), message("b")]));
    // The answer of another call shows that what was sent before it has arrived.
    await call("/test/Echo");
    expect(told).toEqual(["pause"]);
    stream.resume();
    request.end();
    await expect.poll(() => told).toEqual(["pause", "a", "b", "ended"]);
    stream.end();
    await closed;
  });
});

describe("closing", () => {
  test("answers what is under way, tells the client to go, and refuses what comes later", async () => {
    const away = new Promise<number>((resolve) => client.on("goaway", resolve));
    const answer = call("/test/Hang");
    await expect.poll(() => hanging.length).toBe(1);
    const done = server.close(10_000);
    expect(await away).toBe(constants.NGHTTP2_NO_ERROR);
    hanging[0]!.answer("still here");
    expect(await answer).toMatchObject({ messages: ["still here"], status: 0 });
    await done;
    expect(client.closed || client.destroyed).toBe(true);
  });

  test("cuts what takes longer than the grace", async () => {
    const answer = call("/test/Hang");
    await expect.poll(() => hanging.length).toBe(1);
    await server.close(20);
    expect((await answer).status).toBe(-1);
    expect(observed).toEqual(["Hang 1"]);
  });
});
