import { type Index } from "./types.ts";
import { type SnapshotSender } from "./snapshot.ts";

/** Limits of one peer's window. */
export interface WindowLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

/**
 * The leader's view of one peer.
 *
 * - `probe`: where the logs agree is not known. One request at a time, until an answer or a heartbeat's answer.
 * - `replicate`: it is known. Requests are sent ahead of their answers, within the window.
 * - `snapshot`: the entry that comes next is compacted. Nothing is appended until a snapshot is installed.
 *
 * Invariant: match < next. In `replicate`, everything from match + 1 to next - 1 is on its way.
 */
export class Progress {
  /** The highest index known to be durable at the peer and equal to ours. Never falls within a term. */
  match: Index = 0;
  next: Index;
  state: "probe" | "replicate" | "snapshot" = "probe";
  /** `probe`: a request is under way. */
  paused = false;
  /** `replicate`: one request is due even if empty, which finds out what of the window was lost (etcd-io/raft#14633). */
  pingDue = false;
  /** The highest commit index sent. */
  sentCommit: Index = 0;
  /** Tick of the last message from the peer in this term, or undefined. */
  heardAt: number | undefined;
  /** For so many ticks on end the match was near the commit index. */
  caughtUpTicks = 0;
  /** The peer has a log and no machine state. */
  needSnapshot = false;
  /** The transfer under way. Runs beside `replicate` when only the machine's state is missing. */
  sender: SnapshotSender | undefined;
  /** No new transfer before this tick. */
  transferNotBefore = 0;
  readonly window: Window;

  constructor(next: Index, limits: WindowLimits) {
    this.next = next;
    this.window = new Window(limits);
  }

  becomeProbe(next: Index = this.match + 1): void {
    this.state = "probe";
    this.next = Math.max(next, this.match + 1);
    this.paused = false;
    this.pingDue = false;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.window.clear();
  }

  becomeReplicate(): void {
    this.becomeProbe();
    this.state = "replicate";
  }

  becomeSnapshot(): void {
    this.becomeProbe(this.next);
    this.state = "snapshot";
  }

  /** An accepted append up to `index`. Returns whether it is news. */
  maybeUpdate(index: Index): boolean {
    const moved = index > this.match;
    if (moved) this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.paused = false;
    return moved;
  }

  /**
   * A refused append.
   * @param rejected the `previousIndex` of the refused request
   * @param hint where the logs may agree
   * @returns false when the refusal is late and says nothing
   */
  maybeDecrease(rejected: Index, hint: Index): boolean {
    if (this.state === "snapshot") return false;
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.becomeProbe();
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.paused = false;
    return true;
  }

  /** An empty request would tell the peer about commits it can use. */
  canBumpCommit(commit: Index): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1;
  }
}

/** Append requests on their way, a ring of (last index, bytes). */
export class Window {
  readonly #limits: WindowLimits;
  #lasts: Index[] = [];
  #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(limits: WindowLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }
  get bytes(): number {
    return this.#bytes;
  }

  full(): boolean {
    return this.#count >= this.#limits.messagesMax || this.#bytes >= this.#limits.bytesMax;
  }

  add(last: Index, bytes: number): void {
    const slot = (this.#start + this.#count) % this.#limits.messagesMax;
    this.#lasts[slot] = last;
    this.#sizes[slot] = bytes;
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** Frees every request that ends at or before `index`. */
  freeTo(index: Index): void {
    while (this.#count > 0 && (this.#lasts[this.#start] ?? 0) <= index) {
      this.#bytes -= this.#sizes[this.#start] ?? 0;
      this.#start = (this.#start + 1) % this.#limits.messagesMax;
      this.#count -= 1;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}
