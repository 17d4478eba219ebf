import { setTimeout as delay } from "node:timers/promises";
import { EtcdClient } from "./etcd-client.ts";
import { operationsOf, type WatchHistory } from "./watch-history.ts";

const ATTEMPT_TIMEOUT_MS = 2_000;
const PAUSE_FAILED_MS = 25;
const PAUSE_WAITING_MS = 5;
/** Writers wait for the readers that do not dawdle once these are so many revisions behind. */
const LEAD_MAX_REVISIONS = 1_000;

/**
 * Writers of the watched keys. Each sends every txn until it is answered, with an idempotency key, so that the history
 * of what happened has no unknowns.
 */
export class WatchWriters {
  readonly #endpoints: readonly string[];
  readonly #history: WatchHistory;
  readonly #position: () => number;
  readonly #writers: readonly Promise<void>[];
  #eventsWanted = 0;
  #stopping = false;

  /** @param position - how far those are that the writers must not leave behind, a revision */
  constructor(endpoints: readonly string[], history: WatchHistory, writers: number, position: () => number) {
    this.#endpoints = endpoints;
    this.#history = history;
    this.#position = position;
    this.#writers = Array.from({ length: writers }, async (_, number) => this.#run(number));
  }

  /** They write until there are so many changes in all. */
  allow(events: number): void {
    this.#eventsWanted = events;
  }

  /** Resolves when so many changes are made. */
  async reached(events: number, timeoutMs: number): Promise<void> {
    for (const deadline = performance.now() + timeoutMs; this.#history.events < events;) {
      if (performance.now() > deadline) throw new Error(`Fewer than ${events} changes within ${timeoutMs} ms`);
      await delay(PAUSE_WAITING_MS);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#writers);
  }

  async #run(writer: number): Promise<void> {
    let at = writer;
    let client = new EtcdClient(this.#endpoints[at % this.#endpoints.length] ?? "");
    for (let sequence = 0; !this.#stopping;) {
      const { events, newest } = this.#history;
      if (events >= this.#eventsWanted || newest - this.#position() > LEAD_MAX_REVISIONS) {
        await delay(PAUSE_WAITING_MS);
        continue;
      }
      try {
        const key = { "idempotency-key": `watched/${writer}/${sequence}` };
        const revision = await client.txn(operationsOf(writer, sequence), ATTEMPT_TIMEOUT_MS, key);
        this.#history.add(writer, sequence, revision);
        sequence += 1;
      } catch {
        client.close();
        at += 1;
        client = new EtcdClient(this.#endpoints[at % this.#endpoints.length] ?? "");
        await delay(PAUSE_FAILED_MS);
      }
    }
    client.close();
  }
}
