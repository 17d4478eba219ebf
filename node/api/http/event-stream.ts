import { once } from "node:events";
import { type ServerResponse } from "node:http";
import { type WatchChange, type WatchChanges, type WatchCompacted, type WatchProgress } from "../../client/rest.ts";
import { type Watch, type WatchBatch } from "../../runtime/node-api.ts";
import { keyJson, rowJson } from "./row.ts";

export interface EventStreamOptions {
  /** First revision wanted; 0 = from the next change on. */
  readonly startRevision: number;
  /** After so long without a word the client is told how far it has come. */
  readonly progressIntervalMs: number;
  /** Newest revision of this member's store. */
  readonly revision: () => number;
}

/**
 * A watch as Server-Sent Events. All changes of a revision are one message, and the message's id is that revision: a
 * client that comes back with the last id it saw goes on behind it, without a gap and without a change twice.
 */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #watch: Watch;
  readonly #options: EventStreamOptions;
  #writing = false;
  #recentlyHeard = false;

  constructor(response: ServerResponse, watch: Watch, options: EventStreamOptions) {
    this.#response = response;
    this.#watch = watch;
    this.#options = options;
  }

  /** Resolves when the client, the watch or the server ended it. */
  async run(): Promise<void> {
    if (this.#response.destroyed) {
      this.#watch.cancel();
      return;
    }
    const onClose = (): void => this.#watch.cancel();
    this.#response.once("close", onClose);
    const ticker = setInterval(() => this.#tick(), this.#options.progressIntervalMs);
    ticker.unref();
    try {
      this.#response.writeHead(200, {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        connection: "close",
      });
      // An id from the beginning: whoever is cut off before the first change still knows where to go on.
      const { startRevision } = this.#options;
      this.#progress(startRevision > 0 ? startRevision - 1 : this.#watch.startedAt);
      await this.#pump();
    } finally {
      clearInterval(ticker);
      this.#response.off("close", onClose);
      this.#watch.cancel();
    }
    this.#response.end();
  }

  /** For a server that stops: the client finds another member and goes on there. */
  end(): void {
    this.#watch.cancel();
  }

  /** Takes batches from the watch, no faster than the client reads. */
  async #pump(): Promise<void> {
    for (;;) {
      const batch = await this.#watch.next();
      if (batch === undefined) break;
      this.#writing = true;
      for (const message of messagesOf(batch)) {
        if (this.#watch.end !== undefined) return;
        this.#write("change", message, message.revision);
        if (this.#response.writableNeedDrain) await drained(this.#response);
      }
      this.#writing = false;
    }
    const { end } = this.#watch;
    if (end?.reason === "compacted") {
      // Without an id: going on behind the compaction by itself would be a gap.
      this.#write("compacted", { compactRevision: end.compactRevision } satisfies WatchCompacted);
    }
  }

  /** Whoever heard nothing is told how far the watch has come; while that is not certain, that the connection lives. */
  #tick(): void {
    if (!this.#recentlyHeard && !this.#response.writableNeedDrain) {
      const revision = this.#options.revision();
      const synced = !this.#writing && this.#watch.deliveredRevision >= revision;
      // A watch that begins in the future has not come as far as it promised to begin.
      if (synced && this.#options.startRevision <= revision + 1) this.#progress(this.#watch.deliveredRevision);
      else this.#response.write(":\n\n");
    }
    this.#recentlyHeard = false;
  }

  #progress(revision: number): void {
    this.#write("progress", { revision } satisfies WatchProgress, revision);
  }

  #write(event: "change" | "progress" | "compacted", data: object, id?: number): void {
    if (this.#response.destroyed) return;
    this.#recentlyHeard = true;
    // JSON has no line breaks of its own, so the data is one line.
    const idLine = id === undefined ? "" : `id: ${id}\n`;
    this.#response.write(`event: ${event}\n${idLine}data: ${JSON.stringify(data)}\n\n`);
  }
}

/** One message a revision; a batch contains complete revisions only. */
function* messagesOf(batch: WatchBatch): Generator<WatchChanges> {
  let revision = 0;
  let events: WatchChange[] = [];
  for (const { event, previous } of batch.events) {
    const { row } = event;
    if (row.modRevision !== revision && events.length > 0) {
      yield { revision, events };
      events = [];
    }
    revision = row.modRevision;
    const before = previous === undefined ? {} : { previous: rowJson(previous, false) };
    if (event.type === "put") events.push({ type: "put", row: rowJson(row, false), ...before });
    else events.push({ type: "delete", ...keyJson(row.key), ...before });
  }
  if (events.length > 0) yield { revision, events };
}

async function drained(response: ServerResponse): Promise<void> {
  const settled = new AbortController();
  const { signal } = settled;
  try {
    await Promise.race([once(response, "drain", { signal }), once(response, "close", { signal })]);
  } finally {
    settled.abort();
  }
}
