import { type Profiler, Session } from "node:inspector";

/**
 * Which code of the product ran, as V8 counts it, block by block. What it costs is per look, not per input: so inputs are
 * looked at by the hundred, and one by one only where a hundred of them found something.
 */
export class Coverage implements Disposable {
  readonly #session = new Session();
  readonly #included: (url: string) => boolean;
  /** Per script a byte for each character of its source: 1 when it ran. */
  readonly #seen = new Map<string, Uint8Array>();

  constructor(included: (url: string) => boolean) {
    this.#included = included;
    this.#session.connect();
    this.#post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true }, refuse);
    this.take({ remember: true });
  }

  /** Characters of code that ran since the last look, and are not remembered from one before it. */
  take(options: { readonly remember: boolean }): number {
    let found = 0;
    this.#session.post("Profiler.takePreciseCoverage", (error, { result }) => {
      refuse(error);
      for (const script of result) if (this.#included(script.url)) found += this.#count(script, options.remember);
    });
    return found;
  }

  [Symbol.dispose](): void {
    this.#post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }

  #count({ url, functions }: Profiler.ScriptCoverage, remember: boolean): number {
    const end = Math.max(...functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset)));
    const seen = this.#seen.get(url) ?? new Uint8Array(end);
    this.#seen.set(url, seen);
    let found = 0;
    for (const { ranges } of functions) {
      const [whole] = ranges;
      if (whole === undefined || whole.count === 0) continue;
      // Ranges inside a range say it more exactly, and come behind it.
      const ran = new Uint8Array(whole.endOffset - whole.startOffset).fill(1);
      for (const { startOffset, endOffset, count } of ranges.slice(1))
        ran.fill(Number(count > 0), startOffset - whole.startOffset, endOffset - whole.startOffset);
      for (let at = 0; at < ran.length; at += 1) {
        if (ran[at] === 0 || seen[whole.startOffset + at] !== 0) continue;
        if (remember) seen[whole.startOffset + at] = 1;
        found += 1;
      }
    }
    return found;
  }

  #post(method: "Profiler.enable" | "Profiler.stopPreciseCoverage"): void {
    this.#session.post(method, refuse);
  }
}

function refuse(error: Error | null): void {
  if (error !== null) throw error;
}
