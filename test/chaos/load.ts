import { setTimeout as delay } from "node:timers/promises";
import { EtcdClient, fateOf } from "./etcd-client.ts";

const REQUEST_TIMEOUT_MS = 10_000;
/** Between two writes of one client. */
const PAUSE_MS = 4;
/** After a failure, so that clients do not take the processor from members that start. */
const PAUSE_FAILED_MS = 25;
const READ_TIMEOUT_MS = 30_000;

/** What the clients saw, and what is really there. */
export interface Verdict {
  readonly acknowledged: number;
  readonly failed: number;
  readonly unknown: number;
  /** Unknown writes that are there. */
  readonly unknownPresent: number;
  /** Acknowledged writes that are not there, or with another value. */
  readonly lost: readonly string[];
  /** Writes that failed for certain, and are there all the same. */
  readonly resurrected: readonly string[];
}

/** Clients that write, each a key of its own with every write, until they are stopped. */
export class WriteLoad {
  readonly #endpoints: readonly string[];
  readonly #prefix: string;
  readonly #acknowledged = new Map<string, string>();
  readonly #failed = new Set<string>();
  readonly #unknown = new Set<string>();
  /** Monotonic ms of every acknowledged write. */
  readonly #acknowledgedAt: number[] = [];
  readonly #errors = new Map<string, number>();
  readonly #clients: readonly Promise<void>[];
  #stopping = false;

  constructor(endpoints: readonly string[], clients: number, prefix: string) {
    this.#endpoints = endpoints;
    this.#prefix = prefix;
    this.#clients = Array.from({ length: clients }, async (_, number) => this.#run(number));
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** How often each text came. */
  get errors(): ReadonlyMap<string, number> {
    return this.#errors;
  }

  /** Waits until `count` more writes are acknowledged. */
  async advance(count: number, timeoutMs: number): Promise<void> {
    const target = this.#acknowledged.size + count;
    for (const deadline = performance.now() + timeoutMs; performance.now() < deadline;) {
      if (this.#acknowledged.size >= target) return;
      await delay(5);
    }
    throw new Error(`Fewer than ${count} writes were acknowledged within ${timeoutMs} ms`);
  }

  /** The longest time without an acknowledged write of any client between two moments, ms. */
  widestGap(fromMs: number, toMs: number): number {
    let previous = fromMs;
    let widest = 0;
    for (const at of this.#acknowledgedAt) {
      if (at < fromMs) continue;
      if (at > toMs) break;
      widest = Math.max(widest, at - previous);
      previous = at;
    }
    return Math.max(widest, toMs - previous);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  /** Reads everything back, linearizably, and compares. Call it after `stop`. */
  async verify(endpoint: string): Promise<Verdict> {
    const client = new EtcdClient(endpoint);
    try {
      const there = new Map((await client.list(this.#prefix, READ_TIMEOUT_MS)).map(({ key, value }) => [key, value]));
      return {
        acknowledged: this.#acknowledged.size,
        failed: this.#failed.size,
        unknown: this.#unknown.size,
        unknownPresent: [...this.#unknown].filter((key) => there.has(key)).length,
        lost: [...this.#acknowledged].filter(([key, value]) => there.get(key) !== value).map(([key]) => key),
        resurrected: [...this.#failed].filter((key) => there.has(key)),
      };
    } finally {
      client.close();
    }
  }

  /** One client: stays with an endpoint as long as that answers, and goes on to the next when it does not. */
  async #run(number: number): Promise<void> {
    let endpoint = number % this.#endpoints.length;
    let client = new EtcdClient(this.#endpoints[endpoint] ?? "");
    for (let sequence = 0; !this.#stopping; sequence += 1) {
      const key = `${this.#prefix}${number}/${sequence}`;
      const value = `${key}=${Math.random()}`;
      try {
        await client.put(key, value, REQUEST_TIMEOUT_MS);
        this.#acknowledged.set(key, value);
        this.#acknowledgedAt.push(performance.now());
      } catch (error) {
        (fateOf(error) === "failed" ? this.#failed : this.#unknown).add(key);
        this.#count(error);
        client.close();
        endpoint = (endpoint + 1) % this.#endpoints.length;
        client = new EtcdClient(this.#endpoints[endpoint] ?? "");
        await delay(PAUSE_FAILED_MS);
      }
      await delay(PAUSE_MS);
    }
    client.close();
  }

  #count(error: unknown): void {
    const { details = String(error) } = error as { readonly details?: string };
    const text = details.replaceAll(/\d+(\.\d+)*/g, "N").split("\n")[0] ?? "";
    this.#errors.set(text, (this.#errors.get(text) ?? 0) + 1);
  }
}
