/**
 * Runs inside a pod of the image under test: writes unique keys through the client Service until told to stop, then
 * reads everything back. Prints JSON lines; the last one is the result.
 *
 *     node load-generator.ts <host:port> <workers> <channels>
 *
 * Stops when the file /tmp/stop appears.
 */
import { existsSync, readFileSync } from "node:fs";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

interface Put {
  readonly key: Buffer;
  readonly value: Buffer;
}
interface RangeAnswer {
  readonly kvs: readonly { readonly key: Buffer; readonly value: Buffer }[];
  readonly more: boolean;
}
interface Method<Request, Answer> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (message: Buffer) => Answer;
}

const require = createRequire("/concord/package.json");
const loader = require("@grpc/proto-loader") as { loadSync(file: string, options: object): unknown };

const [target = "", workersText = "8", channelsText = "4"] = process.argv.slice(2);
const workers = Number(workersText);
const PROTO = "/concord/dist/node/api/etcd/rpc.proto";
const REQUEST_MS = 5000;
const PAGE = 2000;
const UNSURE = new Set([1, 2, 4, 13, 14]);

const { "etcdserverpb.KV": kv } = loader.loadSync(PROTO, {
  keepCase: true,
  longs: Number,
  defaults: true,
  arrays: true,
}) as {
  readonly "etcdserverpb.KV": { readonly Put: Method<Put, unknown>; readonly Range: Method<object, RangeAnswer> };
};
const read = (name: string): Buffer => readFileSync(`/tls/${name}`);
const tls = { ca: read("ca.crt"), key: read("tls.key"), cert: read("tls.crt") };

/** google.rpc.Code */
const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;
const PREFIX_BYTES = 5;

class CallError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** As much of a gRPC client as a pod without one needs: unary calls over one connection, made anew when it is gone. */
class Channel {
  #session: ClientHttp2Session | undefined;

  async call<Request, Answer>(method: Method<Request, Answer>, request: Request): Promise<Answer> {
    const message = method.requestSerialize(request);
    const frame = Buffer.alloc(PREFIX_BYTES + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, PREFIX_BYTES);
    const answer = await this.#exchange(method.path, frame);
    return method.responseDeserialize(answer.subarray(PREFIX_BYTES));
  }

  #exchange(path: string, frame: Buffer): Promise<Buffer> {
    const session = this.#connected();
    return new Promise((resolve, reject) => {
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        "grpc-timeout": `${REQUEST_MS}m`,
      });
      const chunks: Buffer[] = [];
      let last: IncomingHttpHeaders = {};
      let failure = new CallError(UNAVAILABLE, "the connection was lost");
      const deadline = setTimeout(() => {
        failure = new CallError(DEADLINE_EXCEEDED, "no answer in time");
        // Whoever does not answer is left, as a client with keepalive leaves it.
        session.destroy();
      }, REQUEST_MS);
      stream.on("response", (headers: IncomingHttpHeaders) => (last = headers));
      stream.on("trailers", (headers: IncomingHttpHeaders) => (last = headers));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", (error: Error) => (failure = new CallError(failure.code, error.message)));
      stream.on("close", () => {
        clearTimeout(deadline);
        const status = last["grpc-status"];
        if (status === "0") resolve(Buffer.concat(chunks));
        else if (status === undefined) reject(failure);
        else reject(new CallError(Number(status), decodeURIComponent(String(last["grpc-message"] ?? ""))));
      });
      stream.end(frame);
    });
  }

  #connected(): ClientHttp2Session {
    const known = this.#session;
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = connect(`https://${target}`, tls);
    session.on("error", () => undefined);
    this.#session = session;
    return session;
  }
}

const channels = Array.from({ length: Number(channelsText) }, () => new Channel());

const acknowledged = new Map<string, string>();
const errors: Record<string, number> = {};
let failed = 0;
let unknown = 0;
let lastMs = 0;
let longestGapMs = 0;
let stopping = false;
const latenciesMs: number[] = [];

async function work(worker: number): Promise<void> {
  const channel = channels[worker % channels.length];
  if (channel === undefined) return;
  for (let sequence = 0; !stopping; sequence += 1) {
    const key = `load/${worker}/${String(sequence).padStart(9, "0")}`;
    const value = `${worker}-${sequence}-${Math.random()}`;
    const startedMs = performance.now();
    try {
      await channel.call(kv.Put, { key: Buffer.from(key), value: Buffer.from(value) });
      const nowMs = performance.now();
      acknowledged.set(key, value);
      latenciesMs.push(nowMs - startedMs);
      if (lastMs !== 0) longestGapMs = Math.max(longestGapMs, nowMs - lastMs);
      lastMs = nowMs;
    } catch (error) {
      const { code, message } = error as { code: number; message: string };
      const text = `${code}: ${message.slice(0, 80)}`;
      errors[text] = (errors[text] ?? 0) + 1;
      if (UNSURE.has(code)) unknown += 1;
      failed += 1;
      await sleep(20);
    }
  }
}

async function readBack(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  let key = Buffer.from("load/");
  for (;;) {
    const request = { key, range_end: Buffer.from("load0"), limit: PAGE };
    const answer = await retried(() => (channels[0] as Channel).call(kv.Range, request));
    for (const kv of answer.kvs) found.set(kv.key.toString(), kv.value.toString());
    const last = answer.kvs.at(-1);
    if (!answer.more || last === undefined) return found;
    key = Buffer.concat([last.key, Buffer.from([0])]);
  }
}

async function retried<T>(task: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await task();
    } catch (error) {
      if (attempt === 60) throw error;
      await sleep(500);
    }
  }
}

function report(type: string, more: object = {}): void {
  const figures = { acknowledged: acknowledged.size, failed, unknown, longestGapMs: Math.round(longestGapMs) };
  process.stdout.write(`${JSON.stringify({ type, ...figures, errors, ...more })}\n`);
}

const startedMs = performance.now();
const ticker = setInterval(() => {
  stopping ||= existsSync("/tmp/stop");
  report("progress");
}, 500);
await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
clearInterval(ticker);
const seconds = (performance.now() - startedMs) / 1000;
const found = await readBack();
const lost = [...acknowledged].filter(([key, value]) => found.get(key) !== value).map(([key]) => key);
latenciesMs.sort((a, b) => a - b);
const percentile = (part: number): number =>
  Math.round((latenciesMs[Math.floor(latenciesMs.length * part)] ?? 0) * 10) / 10;
report("result", {
  lost: lost.slice(0, 20),
  lostCount: lost.length,
  perSecond: Math.round(acknowledged.size / seconds),
  p50Ms: percentile(0.5),
  p99Ms: percentile(0.99),
});
process.exit(0);
