import { setTimeout as delay } from "node:timers/promises";
import { GrpcConnection, type CallResult } from "./grpc-connection.ts";

/** `fill` puts every key once, in order. */
export type LoadKind = "fill" | "put" | "get";

export interface Load {
  readonly kind: LoadKind;
  /** host:port of the member that is asked. */
  readonly host: string;
  readonly connections: number;
  readonly inFlight: number;
  readonly keys: number;
  readonly valueBytes: number;
  /** Runs this long before anything counts. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface LoadResult {
  readonly operations: number;
  /** Answers of the whole run, warm-up included, that were not what was asked for. */
  readonly failed: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What the generator tells its parent, so that it reads the servers' CPU at the borders of what is measured. */
export interface Border {
  readonly type: "begin" | "end";
}

const KEY_DIGITS = 15;
const PATHS = { fill: "/etcdserverpb.KV/Put", put: "/etcdserverpb.KV/Put", get: "/etcdserverpb.KV/Range" } as const;

/** Keeps `inFlight` calls under way, spread evenly over the connections. */
export async function runLoad(load: Load, onBorder: (border: Border) => void): Promise<LoadResult> {
  const opened = Array.from({ length: load.connections }, async () => GrpcConnection.open(load.host, PATHS[load.kind]));
  const connections = await Promise.all(opened);
  const run = new Run(load);
  const workers: Promise<void>[] = [];
  for (let worker = 0; worker < load.inFlight; worker += 1) {
    const connection = connections[worker % connections.length];
    if (connection !== undefined) workers.push(run.worker(connection));
  }
  try {
    if (load.kind !== "fill") {
      await delay(load.warmUpMs);
      run.begin();
      onBorder({ type: "begin" });
      await delay(load.measureMs);
      onBorder({ type: "end" });
      run.end();
    }
    await Promise.all(workers);
    return run.result();
  } finally {
    for (const connection of connections) connection.close();
  }
}

class Run {
  readonly #load: Load;
  readonly #value: Buffer;
  readonly #latencies: number[] = [];
  #from = performance.now();
  #to = Number.POSITIVE_INFINITY;
  #stopping = false;
  #failed = 0;
  #filled = 0;
  /** Of xorshift32. Both systems get the same keys in the same order. */
  #random = 0x9e3779b9;

  constructor(load: Load) {
    this.#load = load;
    this.#value = Buffer.alloc(load.valueBytes, "concord ");
  }

  begin(): void {
    this.#latencies.length = 0;
    this.#from = performance.now();
  }

  end(): void {
    this.#to = performance.now();
    this.#stopping = true;
  }

  async worker(connection: GrpcConnection): Promise<void> {
    await new Promise<void>((resolve) => {
      const next = (): void => {
        const request = this.#stopping ? undefined : this.#request();
        if (request === undefined) {
          resolve();
          return;
        }
        const at = performance.now();
        connection.call(request, (result) => {
          this.#answered(at, result);
          // A server that answers nothing but errors is not worth a busy loop.
          if (this.#failed > this.#load.inFlight) this.#stopping = true;
          next();
        });
      };
      next();
    });
  }

  result(): LoadResult {
    const latencies = Float64Array.from(this.#latencies).sort();
    const at = (share: number): number => latencies[Math.floor((latencies.length - 1) * share)] ?? 0;
    const until = Number.isFinite(this.#to) ? this.#to : performance.now();
    return {
      operations: latencies.length,
      failed: this.#failed,
      seconds: (until - this.#from) / 1000,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    };
  }

  #answered(startedAt: number, { ok, bytes }: CallResult): void {
    // Every key has a value of this size, so a get that found nothing is too short.
    const whole = this.#load.kind !== "get" || bytes > this.#load.valueBytes;
    if (!ok || !whole) this.#failed += 1;
    else if (!this.#stopping) this.#latencies.push(performance.now() - startedAt);
  }

  #request(): Buffer | undefined {
    const { kind, keys } = this.#load;
    if (kind === "fill" && this.#filled === keys) return undefined;
    const number = kind === "fill" ? this.#filled++ : this.#next() % keys;
    const key = Buffer.from(`bench/${String(number).padStart(KEY_DIGITS, "0")}`, "latin1");
    const keyField = Buffer.concat([Buffer.of(0x0a, key.length), key]);
    if (kind === "get") return keyField;
    return Buffer.concat([keyField, Buffer.of(0x12), varint(this.#value.length), this.#value]);
  }

  #next(): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    return this.#random >>> 0;
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return Buffer.of(...bytes, value);
}
