import { type Index, type MemberId } from "./types.ts";
import { quorumOf } from "./quorum.ts";

/** Requests that may wait at one member. More are refused, so that a stuck round does not fill the memory. */
export const READS_WAITING_MAX = 100_000;

/** Somebody who wants a read index. */
export interface ReadRequest {
  /** The follower that asks on behalf of its clients, or `NONE` for our own. */
  readonly from: MemberId;
  readonly context: number;
  /** Tick at which the request has waited too long. */
  readonly deadline: number;
}

/**
 * The leader's side of ReadIndex (Raft thesis, section 6.4), in rounds. A round begins with the requests that wait, the
 * commit index of that moment and a heartbeat that carries the round's number. It is confirmed when a majority answered
 * that number. A request never joins a round that has begun: the answers may have been sent before it arrived.
 */
export class ReadRounds {
  #waiting: ReadRequest[] = [];
  #requests: ReadRequest[] = [];
  #index: Index = 0;
  // 0 when no round is under way.
  #round = 0;
  #lastRound = 0;
  readonly #acks = new Set<MemberId>();

  /** Number of the round under way, or 0. */
  get round(): number {
    return this.#round;
  }

  /** @returns false when too many wait already */
  add(request: ReadRequest): boolean {
    if (this.#waiting.length >= READS_WAITING_MAX) return false;
    this.#waiting.push(request);
    return true;
  }

  canStart(): boolean {
    return this.#round === 0 && this.#waiting.length > 0;
  }

  /** Begins a round at the commit index `commit`. */
  start(commit: Index): void {
    this.#lastRound += 1;
    this.#round = this.#lastRound;
    this.#requests = this.#waiting;
    this.#waiting = [];
    this.#index = commit;
    this.#acks.clear();
  }

  acknowledge(round: number, from: MemberId): void {
    if (round !== 0 && round === this.#round) this.#acks.add(from);
  }

  /** Ends the round when a majority of `voters` has answered. */
  takeConfirmed(
    voters: readonly MemberId[],
  ): { readonly index: Index; readonly requests: readonly ReadRequest[] } | undefined {
    if (this.#round === 0) return undefined;
    let acks = 0;
    for (const voter of voters) if (this.#acks.has(voter)) acks += 1;
    if (acks < quorumOf(voters.length)) return undefined;
    const requests = this.#requests;
    this.#requests = [];
    this.#round = 0;
    return { index: this.#index, requests };
  }

  /** Takes the requests whose time is over. A round without requests ends. */
  takeExpired(now: number): readonly ReadRequest[] {
    const isExpired = (request: ReadRequest): boolean => request.deadline <= now;
    // Requests are in order of arrival: the first ones are the oldest.
    const first = this.#requests[0] ?? this.#waiting[0];
    if (first === undefined || !isExpired(first)) return [];
    const expired = [...this.#requests.filter(isExpired), ...this.#waiting.filter(isExpired)];
    this.#requests = this.#requests.filter((request) => !isExpired(request));
    this.#waiting = this.#waiting.filter((request) => !isExpired(request));
    if (this.#requests.length === 0) this.#round = 0;
    return expired;
  }

  /** Takes all requests: the leader is none any more. */
  drain(): readonly ReadRequest[] {
    const all = [...this.#requests, ...this.#waiting];
    this.#requests = [];
    this.#waiting = [];
    this.#round = 0;
    return all;
  }
}

interface ForwardedBatch {
  readonly contexts: readonly number[];
  readonly deadline: number;
}

/**
 * The follower's side: the requests of one turn go to the leader as one. A batch's number is never used twice, not even
 * across a restart (it begins at a random number), so that an answer that was long under way serves no newer request.
 */
export class ForwardedReads {
  #nextBatch: number;
  #waiting: number[] = [];
  readonly #batches = new Map<number, ForwardedBatch>();

  constructor(firstBatch: number) {
    this.#nextBatch = firstBatch;
  }

  add(context: number): boolean {
    if (this.#waiting.length >= READS_WAITING_MAX) return false;
    this.#waiting.push(context);
    return true;
  }

  hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Makes a batch of what waits and returns its number. */
  send(deadline: number): number {
    const batch = this.#nextBatch;
    this.#nextBatch += 1;
    this.#batches.set(batch, { contexts: this.#waiting, deadline });
    this.#waiting = [];
    return batch;
  }

  /** The contexts of an answered batch; none when the answer is late or repeated. */
  take(batch: number): readonly number[] {
    const contexts = this.#batches.get(batch)?.contexts ?? [];
    this.#batches.delete(batch);
    return contexts;
  }

  takeExpired(now: number): readonly number[] {
    const expired: number[] = [];
    // A Map iterates in order of insertion: the oldest batch first.
    for (const [number, batch] of this.#batches) {
      if (batch.deadline > now) break;
      expired.push(...batch.contexts);
      this.#batches.delete(number);
    }
    return expired;
  }

  drain(): readonly number[] {
    const all = [...this.#batches.values()].flatMap((batch) => batch.contexts).concat(this.#waiting);
    this.#batches.clear();
    this.#waiting = [];
    return all;
  }
}
