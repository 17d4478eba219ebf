import { setTimeout as delay } from "node:timers/promises";
import { EtcdClient } from "./etcd-client.ts";

/** Short, so that many attempts are given up while their write is still on its way. */
const ATTEMPT_TIMEOUT_MS = 400;
const PAUSE_FAILED_MS = 25;
const READ_TIMEOUT_MS = 60_000;
/** One write of so many is sent again although it was answered. */
const SENT_AGAIN = 20;

export interface KeyedVerdict {
  readonly writes: number;
  /** Attempts beyond the first of each write. */
  readonly retries: number;
  /** Keys that were not written exactly once, or not with their value. */
  readonly wrong: readonly string[];
  /** Repeated answers that named another revision than the first one. */
  readonly differing: readonly string[];
}

/** Clients that send every write with an idempotency key until it is answered, each a key of its own. */
export class KeyedLoad {
  readonly #endpoints: readonly string[];
  readonly #prefix: string;
  readonly #written = new Map<string, string>();
  readonly #differing: string[] = [];
  readonly #clients: readonly Promise<void>[];
  #retries = 0;
  #stopping = false;

  constructor(endpoints: readonly string[], clients: number, prefix: string) {
    this.#endpoints = endpoints;
    this.#prefix = prefix;
    this.#clients = Array.from({ length: clients }, async (_, number) => this.#run(number));
  }

  /** Waits until `count` more writes are answered. */
  async advance(count: number, timeoutMs: number): Promise<void> {
    const target = this.#written.size + count;
    for (const deadline = performance.now() + timeoutMs; performance.now() < deadline;) {
      if (this.#written.size >= target) return;
      await delay(5);
    }
    throw new Error(`Fewer than ${count} writes were answered within ${timeoutMs} ms`);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  /** Reads everything back, linearizably. A key that was written twice has version 2. Call it after `stop`. */
  async verify(endpoint: string): Promise<KeyedVerdict> {
    const client = new EtcdClient(endpoint);
    try {
      const rows = new Map((await client.list(this.#prefix, READ_TIMEOUT_MS)).map((row) => [row.key, row]));
      const wrong = [...this.#written].filter(([key, value]) => {
        const row = rows.get(key);
        return row?.value !== value || row.version !== 1;
      });
      const unasked = [...rows.keys()].filter((key) => !this.#written.has(key));
      return {
        writes: this.#written.size,
        retries: this.#retries,
        wrong: [...wrong.map(([key]) => key), ...unasked],
        differing: this.#differing,
      };
    } finally {
      client.close();
    }
  }

  async #run(number: number): Promise<void> {
    let endpoint = number % this.#endpoints.length;
    let client = new EtcdClient(this.#endpoints[endpoint] ?? "");
    for (let sequence = 0; !this.#stopping; sequence += 1) {
      const key = `${this.#prefix}${number}/${sequence}`;
      const value = `${key}=${Math.random()}`;
      let revision: string | undefined;
      for (let left = sequence % SENT_AGAIN === 0 ? 2 : 1, attempt = 0; left > 0; attempt += 1) {
        if (attempt > 0) this.#retries += 1;
        try {
          const answered = await client.put(key, value, ATTEMPT_TIMEOUT_MS, { "idempotency-key": key });
          if (revision !== undefined && answered !== revision) this.#differing.push(`${key}: ${revision}, ${answered}`);
          revision = answered;
          left -= 1;
        } catch {
          client.close();
          endpoint = (endpoint + 1) % this.#endpoints.length;
          client = new EtcdClient(this.#endpoints[endpoint] ?? "");
          await delay(PAUSE_FAILED_MS);
        }
      }
      this.#written.set(key, value);
    }
    client.close();
  }
}
