import { ConcordError } from "../errors.ts";

/** The end of a wait: a time, or a caller who wants no more. */
export class Deadline implements Disposable {
  readonly #endsAt: number;
  readonly #signal: AbortSignal | undefined;
  readonly #over: Promise<ConcordError>;
  readonly #release: () => void;
  #error: ConcordError | undefined;

  constructor(timeoutMs: number, signal?: AbortSignal) {
    this.#endsAt = performance.now() + timeoutMs;
    this.#signal = signal;
    let end: (error: ConcordError) => void = () => undefined;
    this.#over = new Promise((resolve) => {
      end = (error) => {
        this.#error ??= error;
        resolve(error);
      };
    });
    const timer = Number.isFinite(timeoutMs)
      ? setTimeout(() => end(new ConcordError("CONCORD_TIMEOUT")), timeoutMs)
      : undefined;
    const onAbort = (): void => end(new ConcordError("CONCORD_CANCELLED", undefined, { cause: signal?.reason }));
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    this.#release = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
  }

  /** Why it is over, when it is. */
  get error(): ConcordError | undefined {
    return this.#error;
  }

  /** Whole milliseconds; 0 when it is over. */
  get leftMs(): number {
    return this.#signal?.aborted === true ? 0 : Math.max(0, Math.ceil(this.#endsAt - performance.now()));
  }

  /** @throws ConcordError `CONCORD_TIMEOUT`, `CONCORD_CANCELLED` when the deadline comes first. */
  async race<T>(work: Promise<T>): Promise<T> {
    const over = this.#over.then((error) => ({ error }));
    const first = await Promise.race([work.then((value) => ({ value })), over]);
    if ("error" in first) {
      work.catch(() => undefined);
      throw first.error;
    }
    return first.value;
  }

  /** @throws as `race`. */
  async pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.race(new Promise<void>((resolve) => (timer = setTimeout(resolve, ms))));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when it has come. */
  async over(): Promise<void> {
    await this.#over;
    this.#release();
  }

  [Symbol.dispose](): void {
    this.#release();
  }
}
