import { type WatchEnd } from "../../client/wire/types.ts";
import { type Watch, type WatchBatch } from "../../runtime/node-api.ts";
import { cut } from "../watch-cut.ts";
import { type Outbox } from "./outbox.ts";

export interface SessionWatchOptions {
  readonly id: number;
  /** First revision wanted; 0 = from the next change on. */
  readonly startRevision: number;
  readonly fragment: boolean;
  /** Newest revision of this member's store. */
  readonly revision: () => number;
  /** Undefined: with its session. */
  readonly onEnded: (reason: WatchEnd | undefined) => void;
}

/** Messages are cut at revisions, and within one where the client allows it, so that they stay below this. */
const MESSAGE_BYTES = 512 * 1024;

/**
 * One watch of a session. It takes no batch that the client has no room for, so a slow client holds a position in the
 * history and no events; when it stays slow the watch ends, with the revision to go on from.
 */
export class SessionWatch {
  readonly #watch: Watch;
  readonly #outbox: Outbox;
  readonly #options: SessionWatchOptions;
  /** A batch was taken and is not wholly written: its revisions are not delivered yet. */
  #writing = false;
  /** While that is so: the first revision that is not wholly written. */
  #writtenBefore = 0;
  #heard = false;
  #asked = false;
  #ended = false;

  constructor(watch: Watch, outbox: Outbox, options: SessionWatchOptions) {
    this.#watch = watch;
    this.#outbox = outbox;
    this.#options = options;
    outbox.push({ type: "watching", id: options.id, revision: watch.startedAt });
  }

  /** Resolves when the watch is over. */
  async run(): Promise<void> {
    for (;;) {
      const batch = await this.#watch.next();
      if (this.#ended) return;
      if (batch === undefined) {
        const { reason = "stopped", compactRevision = 0 } = this.#watch.end ?? {};
        const next = Math.max(this.#options.startRevision, this.#watch.deliveredRevision + 1);
        this.#end(reason, reason === "compacted" ? compactRevision : next);
        return;
      }
      if (batch.events.length === 0) continue;
      this.#writing = true;
      if (!(await this.#deliver(batch))) return;
      this.#writing = false;
      if (this.#asked) this.progress();
    }
  }

  /** The client wants no more. */
  cancel(): void {
    const { startRevision } = this.#options;
    const next = this.#writing ? this.#writtenBefore : Math.max(startRevision, this.#watch.deliveredRevision + 1);
    this.#end("cancelled", next);
  }

  /** The session is over: nobody is there to be told. */
  abandon(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#watch.cancel();
    this.#options.onEnded(undefined);
  }

  /** Says how far the watch has come, at once or as soon as that is certain. */
  progress(): void {
    this.#asked = !this.#isSynced();
    if (this.#asked) return;
    this.#heard = true;
    this.#outbox.push({ type: "progress", id: this.#options.id, revision: this.#watch.deliveredRevision });
  }

  /** From time to time: a client that heard nothing is told how far the watch has come. */
  tick(): void {
    if ((this.#asked || !this.#heard) && this.#isSynced()) this.progress();
    this.#heard = false;
  }

  /** @returns false when the watch ended meanwhile. */
  async #deliver(batch: WatchBatch): Promise<boolean> {
    for (const part of cut(batch, MESSAGE_BYTES, this.#options.fragment, eventBytes)) {
      // A revision of which only a part went out comes whole again.
      this.#writtenBefore = part.events[0]?.event.row.modRevision ?? part.revision;
      const room = this.#outbox.room();
      if (room !== true && !(await room)) {
        this.#end("slow", this.#writtenBefore);
        return false;
      }
      if (this.#ended) return false;
      this.#heard = true;
      this.#outbox.push({
        type: "changes",
        id: this.#options.id,
        revision: part.revision,
        fragment: part.fragment,
        changes: part.events.map(({ event: { type, row }, previous }) => ({ type, row, previous })),
      });
    }
    return true;
  }

  /** A watch that begins in the future has not come as far as it promised to begin. */
  #isSynced(): boolean {
    const revision = this.#options.revision();
    return !this.#writing && this.#watch.deliveredRevision >= revision && this.#options.startRevision <= revision + 1;
  }

  #end(reason: WatchEnd, nextRevision: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#watch.cancel();
    this.#outbox.push({ type: "ended", id: this.#options.id, reason, nextRevision });
    this.#options.onEnded(reason);
  }
}

/** About what a change takes in a message. */
function eventBytes({ event, previous }: WatchBatch["events"][number]): number {
  const overhead = 48;
  const row = event.row.key.length + event.row.value.length;
  return overhead + row + (previous === undefined ? 0 : overhead + previous.key.length + previous.value.length);
}
