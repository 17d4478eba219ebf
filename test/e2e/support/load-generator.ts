/**
 * Runs inside a pod of the image under test: writes unique keys through the client Service until told to stop, then
 * reads everything back. Prints JSON lines; the last one is the result.
 *
 *     node load-generator.ts <host:port> <workers> <channels>
 *
 * Stops when the file /tmp/stop appears.
 */
import { existsSync, readFileSync } from "node:fs";
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
type Call<Request, Answer> = (
  request: Request,
  options: { readonly deadline: number },
  done: (error: { readonly code: number; readonly message: string } | null, answer: Answer) => void,
) => void;
interface KvClient {
  readonly put: Call<Put, unknown>;
  readonly range: Call<object, RangeAnswer>;
}

const require = createRequire("/concord/package.json");
const grpc = require("@grpc/grpc-js") as {
  readonly credentials: { createSsl(ca: Buffer, key: Buffer, cert: Buffer): unknown };
  loadPackageDefinition(definition: unknown): {
    etcdserverpb: { KV: new (target: string, credentials: unknown, options: object) => KvClient };
  };
};
const loader = require("@grpc/proto-loader") as { loadSync(file: string, options: object): unknown };

const [target = "", workersText = "8", channelsText = "4"] = process.argv.slice(2);
const workers = Number(workersText);
const PROTO = "/concord/dist/node/api/etcd/rpc.proto";
const REQUEST_MS = 5000;
const PAGE = 2000;
const UNSURE = new Set([1, 2, 4, 13, 14]);

const definition = loader.loadSync(PROTO, { keepCase: true, longs: Number, defaults: true, arrays: true });
const service = grpc.loadPackageDefinition(definition).etcdserverpb.KV;
const read = (name: string): Buffer => readFileSync(`/tls/${name}`);
const clients = Array.from(
  { length: Number(channelsText) },
  () =>
    new service(target, grpc.credentials.createSsl(read("ca.crt"), read("tls.key"), read("tls.crt")), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 500,
    }),
);

const acknowledged = new Map<string, string>();
const errors: Record<string, number> = {};
let failed = 0;
let unknown = 0;
let lastMs = 0;
let longestGapMs = 0;
let stopping = false;
const latenciesMs: number[] = [];

function call<Answer>(client: KvClient, method: "put" | "range", request: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const invoke = client[method].bind(client) as unknown as Call<object, Answer>;
    invoke(request, { deadline: Date.now() + REQUEST_MS }, (error, answer) => {
      if (error === null) resolve(answer);
      else reject(Object.assign(new Error(error.message), { code: error.code }));
    });
  });
}

async function work(worker: number): Promise<void> {
  const client = clients[worker % clients.length];
  if (client === undefined) return;
  for (let sequence = 0; !stopping; sequence += 1) {
    const key = `load/${worker}/${String(sequence).padStart(9, "0")}`;
    const value = `${worker}-${sequence}-${Math.random()}`;
    const startedMs = performance.now();
    try {
      await call(client, "put", { key: Buffer.from(key), value: Buffer.from(value) });
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
    const answer = await retried(() => call<RangeAnswer>(clients[0] as KvClient, "range", request));
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
