import { type Environment } from "../../node/runtime/environment.ts";
import { type Prng } from "./prng.ts";

interface SimEvent {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Simulated time: a queue of events, run one after the other. Nothing happens between two events. */
export class SimClock {
  #heap: SimEvent[] = [];
  #now = 0;
  #order = 0;

  /** Simulated milliseconds since the start. */
  get now(): number {
    return this.#now;
  }

  /** Events run so far. */
  events = 0;

  schedule(delayMs: number, run: () => void): () => void {
    const event: SimEvent = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run, cancelled: false };
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** Runs the next event. False: there is none. */
  step(): boolean {
    for (;;) {
      const event = this.#pop();
      if (event === undefined) return false;
      if (event.cancelled) continue;
      this.#now = event.at;
      this.events += 1;
      event.run();
      return true;
    }
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || before(above, event)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): SimEvent | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || top === last) return top;
    let at = 0;
    for (;;) {
      const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
      if (left === undefined) break;
      const rightIsFirst = right !== undefined && before(right, left);
      const first = rightIsFirst ? right : left;
      if (before(last, first)) break;
      heap[at] = first;
      at = 2 * at + (rightIsFirst ? 2 : 1);
    }
    heap[at] = last;
    return top;
  }
}

const before = (a: SimEvent, b: SimEvent): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Most time that one turn of the event loop takes, ms. */
const TURN_MS = 0.2;

/**
 * The environment of one process: its clock has an offset and a drift of its own, it can be paused, and when it is
 * killed nothing that it started ever runs.
 */
export class SimProcess implements Environment {
  readonly #clock: SimClock;
  readonly #random: Prng;
  readonly #offset: number;
  readonly #rate: number;
  #alive = true;
  #pausedUntil = 0;
  wallOffset = 0;

  constructor(clock: SimClock, random: Prng, options: { readonly driftMax: number }) {
    this.#clock = clock;
    this.#random = random;
    this.#offset = random.float() * 1e6;
    this.#rate = 1 + (random.float() * 2 - 1) * options.driftMax;
  }

  get alive(): boolean {
    return this.#alive;
  }

  kill(): void {
    this.#alive = false;
  }

  /** Like SIGSTOP and SIGCONT: everything that falls due meanwhile runs afterwards, in its order. */
  pause(durationMs: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now + durationMs);
  }

  now(): number {
    return this.#offset + this.#clock.now * this.#rate;
  }

  wallTime(): number {
    return 1_700_000_000_000 + this.#clock.now + this.wallOffset;
  }

  random(bound: number): number {
    return bound <= 1 ? 0 : this.#random.below(bound);
  }

  randomId(): string {
    const high = (this.#random.next() & 0x7fff_ffff).toString(16).padStart(8, "0");
    return high + (this.#random.next() | 1).toString(16).replace("-", "").padStart(8, "0").slice(-8);
  }

  timer(delayMs: number, callback: () => void): () => void {
    return this.#schedule(delayMs / this.#rate, callback);
  }

  defer(callback: () => void): void {
    this.#schedule(this.#random.float() * TURN_MS, callback);
  }

  /** For disks and networks: a completion that reaches this process after `delayMs`. */
  later(delayMs: number, callback: () => void): void {
    this.#schedule(delayMs, callback);
  }

  #schedule(delayMs: number, callback: () => void): () => void {
    return this.#clock.schedule(delayMs, () => this.#run(callback));
  }

  #run(callback: () => void): void {
    if (!this.#alive) return;
    const wait = this.#pausedUntil - this.#clock.now;
    if (wait > 0) this.#clock.schedule(wait, () => this.#run(callback));
    else callback();
  }
}
