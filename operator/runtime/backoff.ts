/** Exponential waiting with jitter: `baseMs × factor^failures`, at most `maxMs`, then spread over ±`jitter`. */
export class Backoff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #factor: number;
  readonly #jitter: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(options: {
    readonly baseMs: number;
    readonly maxMs: number;
    readonly factor?: number;
    /** 0..1. @default 0.5 */
    readonly jitter?: number;
    readonly random?: () => number;
  }) {
    this.#baseMs = options.baseMs;
    this.#maxMs = options.maxMs;
    this.#factor = options.factor ?? 2;
    this.#jitter = options.jitter ?? 0.5;
    this.#random = options.random ?? Math.random;
  }

  /** Milliseconds to wait after one more failure. */
  next(): number {
    const plainMs = Math.min(this.#maxMs, this.#baseMs * this.#factor ** this.#failures);
    this.#failures += 1;
    return plainMs * (1 + this.#jitter * (2 * this.#random() - 1));
  }

  reset(): void {
    this.#failures = 0;
  }
}
