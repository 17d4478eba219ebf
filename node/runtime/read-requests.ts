import { type Done, failed, succeeded } from "./settled.ts";

interface Waiter {
  readonly deadline: number;
  readonly done: Done<undefined>;
}

interface Confirmed {
  readonly index: number;
  readonly waiters: readonly Waiter[];
}

/** Reads that wait at once. Beyond it: too many requests. */
const READS_MAX = 100_000;

/**
 * Linearizable reads on their way: collected during a turn, confirmed together by one ReadIndex, then held until the
 * machine has applied that index. A read that lost its leader is simply asked again: reads change nothing.
 */
export class ReadRequests {
  #collected: Waiter[] = [];
  readonly #asked = new Map<number, readonly Waiter[]>();
  #confirmed: Confirmed[] = [];
  #nextContext: number;
  #count = 0;

  /** `firstContext`: see `firstRequestNumber`. */
  constructor(firstContext: number) {
    this.#nextContext = firstContext;
  }

  get unresolved(): number {
    return this.#count;
  }

  get collected(): number {
    return this.#collected.length;
  }

  add(deadline: number, done: Done<undefined>): void {
    if (this.#count >= READS_MAX) {
      done(failed("CONCORD_TOO_MANY_REQUESTS"));
      return;
    }
    this.#count += 1;
    this.#collected.push({ deadline, done });
  }

  /** Gives the collected reads a context to ask the core with. */
  ask(): number {
    const context = this.#nextContext++;
    this.#asked.set(context, this.#collected);
    this.#collected = [];
    return context;
  }

  confirmed(context: number, index: number): void {
    const waiters = this.#asked.get(context);
    if (waiters === undefined) return;
    this.#asked.delete(context);
    this.#confirmed.push({ index, waiters });
  }

  /** Not confirmed: asked again in a later turn. */
  failed(context: number): void {
    const waiters = this.#asked.get(context);
    if (waiters === undefined) return;
    this.#asked.delete(context);
    this.#collected.push(...waiters);
  }

  applied(index: number): void {
    if (this.#confirmed.length === 0) return;
    const rest: Confirmed[] = [];
    for (const confirmed of this.#confirmed) {
      if (confirmed.index > index) rest.push(confirmed);
      else for (const waiter of confirmed.waiters) this.#settle(waiter, undefined);
    }
    this.#confirmed = rest;
  }

  expire(now: number, leaderKnown: boolean): void {
    if (this.#count === 0) return;
    const late = (waiter: Waiter): boolean => {
      if (waiter.deadline > now) return false;
      this.#settle(waiter, leaderKnown ? "CONCORD_TIMEOUT" : "CONCORD_NO_LEADER");
      return true;
    };
    this.#collected = this.#collected.filter((waiter) => !late(waiter));
    for (const [context, waiters] of this.#asked)
      this.#asked.set(
        context,
        waiters.filter((waiter) => !late(waiter)),
      );
    this.#confirmed = this.#confirmed.map(({ index, waiters }) => ({
      index,
      waiters: waiters.filter((waiter) => !late(waiter)),
    }));
  }

  stop(): void {
    const all = [...this.#collected, ...[...this.#asked.values()].flat(), ...this.#confirmed.flatMap((c) => c.waiters)];
    this.#collected = [];
    this.#asked.clear();
    this.#confirmed = [];
    for (const waiter of all) this.#settle(waiter, "CONCORD_STOPPED");
  }

  #settle(waiter: Waiter, code: "CONCORD_TIMEOUT" | "CONCORD_NO_LEADER" | "CONCORD_STOPPED" | undefined): void {
    this.#count -= 1;
    waiter.done(code === undefined ? succeeded(undefined) : failed(code));
  }
}
