import { type Index, type MemberId, type Message, type SnapshotMeta, type Term } from "./types.ts";

/** Chunks of one transfer that may be on their way or waiting to be stored. */
export const SNAPSHOT_WINDOW_CHUNKS = 4;

/** A transfer without any sign of life from the peer or the shell for so many election timeouts is given up. */
export const SNAPSHOT_STALL_TIMEOUTS = 5;

export type ChunkMessage = Extract<Message, { type: "snapshotChunk" }>;
export type ChunkOffer = Omit<ChunkMessage, "type" | "term">;

/**
 * The leader's end of one transfer. The shell is asked for one chunk at a time; up to `SNAPSHOT_WINDOW_CHUNKS` are kept
 * until the follower has stored them, and sent again when it stays silent.
 */
export class SnapshotSender {
  /** Number of the transfer. */
  readonly transfer: number;
  #meta: SnapshotMeta | undefined;
  // The chunk the shell was asked for and has not offered, or -1.
  #requested = 0;
  // The chunk to ask for next.
  #next = 1;
  // The follower has stored every chunk below.
  #stored = 0;
  #complete = false;
  readonly #unstored = new Map<number, ChunkMessage>();
  #ticksSinceContact = 0;
  #ticksSinceSend = 0;

  constructor(transfer: number) {
    this.transfer = transfer;
  }

  /** What is being sent; known from the first chunk on. */
  get meta(): SnapshotMeta | undefined {
    return this.#meta;
  }

  /** Takes a chunk from the shell. @returns the message to send, or undefined when nobody asked for this chunk */
  offer(offer: ChunkOffer, term: Term): ChunkMessage | undefined {
    if (offer.sequence !== this.#requested) return undefined;
    this.#meta ??= offer.meta;
    this.#requested = -1;
    this.#complete = offer.last;
    this.#ticksSinceContact = 0;
    this.#ticksSinceSend = 0;
    const { transfer, sequence, last, data } = offer;
    const message: ChunkMessage = { type: "snapshotChunk", term, transfer, meta: this.#meta, sequence, last, data };
    this.#unstored.set(sequence, message);
    return message;
  }

  /** The chunk to ask the shell for, or undefined: one at a time, and none beyond the window or the end. */
  takeRequest(): number | undefined {
    if (this.#requested >= 0 || this.#complete || this.#next - this.#stored >= SNAPSHOT_WINDOW_CHUNKS) return undefined;
    this.#requested = this.#next;
    this.#next += 1;
    return this.#requested;
  }

  /** The follower has stored every chunk below `sequence`. */
  storedTo(sequence: number): void {
    this.#ticksSinceContact = 0;
    if (sequence <= this.#stored || sequence > this.#next) return;
    this.#ticksSinceSend = 0;
    for (let i = this.#stored; i < sequence; i += 1) this.#unstored.delete(i);
    this.#stored = sequence;
  }

  /** @returns `stalled` when the transfer is to be given up, or the chunks to send again */
  tick(electionTimeoutTicks: number): "stalled" | readonly ChunkMessage[] {
    this.#ticksSinceContact += 1;
    this.#ticksSinceSend += 1;
    if (this.#ticksSinceContact >= electionTimeoutTicks * SNAPSHOT_STALL_TIMEOUTS) return "stalled";
    if (this.#ticksSinceSend < electionTimeoutTicks) return [];
    this.#ticksSinceSend = 0;
    return [...this.#unstored.values()];
  }
}

/** What the follower does with a chunk. */
export type ChunkVerdict = "install" | "ignore" | "repeat";

/** The follower's end of one transfer: takes chunks in order, each once. */
export class SnapshotReceiver {
  readonly from: MemberId;
  readonly term: Term;
  readonly transfer: number;
  readonly meta: SnapshotMeta;
  #expected = 0;
  #stored = 0;
  #finishing = false;

  constructor(from: MemberId, first: ChunkMessage) {
    this.from = from;
    this.term = first.term;
    this.transfer = first.transfer;
    this.meta = first.meta;
  }

  /** The first chunk that is not stored. */
  get stored(): number {
    return this.#stored;
  }

  /**
   * The shell has the last chunk. From here it decides: nothing may come between it and the switch, neither another
   * transfer, nor entries for the log that it is about to replace, nor entries to apply.
   */
  get finishing(): boolean {
    return this.#finishing;
  }

  isOf(from: MemberId, message: ChunkMessage): boolean {
    return (
      this.from === from &&
      this.term === message.term &&
      this.transfer === message.transfer &&
      this.meta.index === message.meta.index &&
      this.meta.term === message.meta.term
    );
  }

  /** @returns `repeat` when the chunk was stored before and the answer may be lost */
  accept(message: ChunkMessage): ChunkVerdict {
    if (message.sequence < this.#stored || (this.#finishing && message.sequence < this.#expected)) return "repeat";
    if (message.sequence !== this.#expected || this.#finishing) return "ignore";
    if (this.#expected - this.#stored >= SNAPSHOT_WINDOW_CHUNKS) return "ignore";
    this.#expected += 1;
    this.#finishing = message.last;
    return "install";
  }

  /** The shell stored the chunk `sequence`. @returns false when it was not handed out, or is known */
  storedChunk(sequence: number): boolean {
    if (sequence < this.#stored || sequence >= this.#expected) return false;
    this.#stored = sequence + 1;
    return true;
  }
}

/** Whether a log that begins with `firstIndex` goes on behind the snapshot without a gap. */
export function closesGap(meta: SnapshotMeta, firstIndex: Index): boolean {
  return meta.index >= firstIndex - 1;
}
