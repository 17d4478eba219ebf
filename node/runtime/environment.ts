/**
 * Everything a replica takes from the world besides disk and network. The real one is made of `performance`, timers and
 * `crypto`; the simulator's is made of a seed.
 */
export interface Environment {
  /** Monotonic milliseconds since an arbitrary start. Decides time-outs, never what the machine stores. */
  now(): number;
  /** Unix milliseconds. For people and audit only. */
  wallTime(): number;
  /** An integer in [0, bound). */
  random(bound: number): number;
  /** 16 hex digits of a random, non-zero 63-bit number. */
  randomId(): string;
  /** Runs `callback` once after `delayMs`. Returns a function that cancels it. */
  timer(delayMs: number, callback: () => void): () => void;
  /** Runs `callback` when everything that is waiting now has had its turn. */
  defer(callback: () => void): void;
}

/**
 * Where a process begins to number its requests to other members. Answers to a process that is gone may still be on their
 * way to the one that took its place, so the numbers of two processes must not meet.
 */
export function firstRequestNumber(environment: Environment): number {
  return environment.random(2 ** 31) * 2 ** 20 + 1;
}

/** Where a replica writes what happened. Messages are constants; data goes into fields. */
export interface RuntimeLogger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}
