import { setTimeout as delay } from "node:timers/promises";
import { EtcdClient, type Listing } from "./etcd-client.ts";
import { type WatchDoor, type WatchMessage } from "./watch-doors.ts";
import { txnOf, WATCHED_PREFIX, type WatchedEvent, type WatchHistory } from "./watch-history.ts";

const LIST_TIMEOUT_MS = 10_000;
const PAUSE_CUT_MS = 50;
/**
 * A slow reader takes so many messages, and then none until it is so many txns behind: member, sockets and all that lies
 * between fill up.
 */
const SLOW_MESSAGES = 100;
const SLOW_REVISIONS = 1_200;
const SLOW_LOOK_MS = 20;
const EXAMPLES_MAX = 5;

/** What a watcher was promised, and how often it was not kept. All zero is what every watch must give. */
export interface WatchFaults {
  /** Revisions that never came. */
  gaps: number;
  /** Revisions that came again. */
  duplicates: number;
  /** Revisions that came behind later ones, or behind a promise that all up to them were delivered. */
  reorderings: number;
  /** Txns that came in parts, or with something of theirs missing, or from nowhere. */
  torn: number;
  /** Lists that were not the state at their revision. */
  wrongLists: number;
}

export interface WatchVerdict extends WatchFaults {
  readonly events: number;
  readonly revisions: number;
  /** Times that the watch went on after it was cut off. */
  readonly resumed: number;
  /** Times that it began anew from a list, and the revisions that it did not see for that. */
  readonly relisted: number;
  readonly skipped: number;
  /** Some of the faults, in words. */
  readonly examples: readonly string[];
}

interface Delivered {
  readonly revision: number;
  readonly writer: number;
  readonly sequence: number;
}

/** One reader of a door, for as long as the writers write; goes on behind what it has, whatever happens to the members. */
export class Watcher {
  readonly #door: WatchDoor;
  readonly #endpoints: readonly string[];
  readonly #newest: (() => number) | undefined;
  readonly #delivered: Delivered[] = [];
  readonly #seen = new Set<number>();
  readonly #lists: { readonly after: number; readonly listing: Listing }[] = [];
  readonly #faults: WatchFaults = { gaps: 0, duplicates: 0, reorderings: 0, torn: 0, wrongLists: 0 };
  readonly #examples: string[] = [];
  readonly #running: Promise<void>;
  #position = 0;
  /** Of the last message with changes. */
  #lastRevision = 0;
  #events = 0;
  #attempt: number;
  #resumed = 0;
  #hurrying = false;
  #stopping = false;

  /**
   * @param options.attempt - which member it begins at
   * @param options.newest - of a slow reader: the newest revision
   */
  constructor(
    door: WatchDoor,
    endpoints: readonly string[],
    options: { readonly attempt: number; readonly newest?: (() => number) | undefined },
  ) {
    this.#door = door;
    this.#endpoints = endpoints;
    this.#newest = options.newest;
    this.#attempt = options.attempt;
    this.#running = this.#run();
  }

  /** Revision up to which it knows everything. */
  get position(): number {
    return this.#position;
  }

  /** Reads as fast as it can from now on. */
  hurry(): void {
    this.#hurrying = true;
  }

  /** For when nothing more comes. It ends with the members, or with the next word from them. */
  stop(): void {
    this.#hurrying = true;
    this.#stopping = true;
  }

  async ended(): Promise<void> {
    await this.#running;
  }

  /** Compares with what happened. Call it when nothing more comes. */
  verdict(history: WatchHistory): WatchVerdict {
    const faults = { ...this.#faults };
    for (const { revision, writer, sequence } of this.#delivered) {
      if (history.revisionOf(writer, sequence) === revision) continue;
      faults.torn += 1;
      this.#example(`revision ${revision} is not txn ${sequence} of writer ${writer}`);
    }
    let skipped = 0;
    for (const revision of history.revisions()) {
      if (this.#seen.has(revision)) continue;
      if (this.#lists.some(({ after, listing }) => revision > after && revision <= listing.revision)) skipped += 1;
      else {
        faults.gaps += 1;
        this.#example(`revision ${revision} never came`);
      }
    }
    faults.wrongLists += this.#lists.filter(({ listing }) => !history.isState(listing)).length;
    return {
      ...faults,
      events: this.#events,
      revisions: this.#delivered.length,
      resumed: this.#resumed,
      relisted: this.#lists.length,
      skipped,
      examples: this.#examples,
    };
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      try {
        await this.#watch();
      } catch {
        this.#attempt += 1;
        this.#resumed += 1;
        await delay(PAUSE_CUT_MS);
      }
    }
  }

  async #watch(): Promise<void> {
    let messages = 0;
    this.#lastRevision = 0;
    for await (const message of this.#door.open(this.#position + 1, this.#attempt)) {
      if (this.#stopping) return;
      if (message.type === "compacted") {
        await this.#list();
        return;
      }
      this.#take(message);
      messages += 1;
      if (messages % SLOW_MESSAGES === 0) await this.#dawdle();
    }
    if (!this.#stopping) throw new Error("The watch ended without a word");
  }

  async #dawdle(): Promise<void> {
    const newest = this.#newest;
    if (newest === undefined) return;
    while (!this.#hurrying && newest() - this.#position < SLOW_REVISIONS) await delay(SLOW_LOOK_MS);
  }

  #take(message: Exclude<WatchMessage, { type: "compacted" }>): void {
    if (message.type === "progress") {
      this.#position = Math.max(this.#position, message.revision);
      return;
    }
    for (const events of byRevision(message.events)) this.#takeRevision(events);
    this.#lastRevision = message.events.at(-1)?.revision ?? this.#lastRevision;
  }

  /** All events of one revision that came together. */
  #takeRevision(events: readonly WatchedEvent[]): void {
    const revision = events[0]?.revision ?? 0;
    this.#events += events.length;
    if (revision === this.#lastRevision) this.#fault("torn", `revision ${revision} came in parts`);
    else if (this.#seen.has(revision)) this.#fault("duplicates", `revision ${revision} came again`);
    else if (revision <= this.#position)
      this.#fault("reorderings", `revision ${revision} came behind ${this.#position}`);
    const txn = txnOf(events);
    if (txn === undefined)
      this.#fault("torn", `revision ${revision} came with ${events.length} events of no whole txn`);
    else this.#delivered.push({ revision, ...txn });
    this.#seen.add(revision);
    this.#position = Math.max(this.#position, revision);
  }

  /** History was discarded from under the watch: what is there now takes the place of what was missed. */
  async #list(): Promise<void> {
    const client = new EtcdClient(this.#endpoints[this.#attempt % this.#endpoints.length] ?? "");
    try {
      const listing = await client.listing(WATCHED_PREFIX, LIST_TIMEOUT_MS);
      this.#lists.push({ after: this.#position, listing });
      this.#position = Math.max(this.#position, listing.revision);
    } finally {
      client.close();
    }
  }

  #fault(kind: keyof WatchFaults, text: string): void {
    this.#faults[kind] += 1;
    this.#example(text);
  }

  #example(text: string): void {
    if (this.#examples.length < EXAMPLES_MAX) this.#examples.push(text);
  }
}

function* byRevision(events: readonly WatchedEvent[]): Generator<readonly WatchedEvent[]> {
  let from = 0;
  for (let at = 1; at <= events.length; at += 1) {
    if (events[at]?.revision === events[from]?.revision) continue;
    yield events.slice(from, at);
    from = at;
  }
}
