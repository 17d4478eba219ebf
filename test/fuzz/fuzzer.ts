import { Prng } from "../support/prng.ts";
import { Coverage } from "./coverage.ts";
import { mutate } from "./mutator.ts";
import { type FuzzTarget } from "./target.ts";

const INPUT_BYTES_MAX = 4096;
const INPUTS_PER_LOOK = 100;

export interface FuzzOptions {
  readonly seed: number | string;
  /** How many inputs, at most. */
  readonly inputs: number;
  /** By the code that inputs reach. Costs time, and V8 does not count the same at every run. */
  readonly guided: boolean;
  /** Monotonic ms at which it ends all the same. @default never */
  readonly untilMs?: number;
  /** Told of every input before it runs, so that somebody else knows it when it does not end. */
  readonly onInput?: (bytes: Uint8Array) => void;
}

export interface FuzzResult {
  readonly inputs: number;
  /** The seeds, and inputs that ran code which none before them ran. */
  readonly corpus: readonly Uint8Array[];
  readonly defect: { readonly input: Uint8Array; readonly error: unknown } | undefined;
}

/** What a thread is told: which target, and where it writes down every input before it runs it. */
export interface FuzzOrder {
  readonly target: string;
  readonly seed: string;
  readonly seconds: number;
  /** A count of inputs (u32), the length of the one that runs (u32), and its bytes. */
  readonly current: SharedArrayBuffer;
}

export interface FuzzReport {
  readonly inputs: number;
  /** Inputs that were kept, the seeds among them. */
  readonly corpus: number;
  /** Hexadecimal, and what was thrown. */
  readonly defect: { readonly input: string; readonly error: string } | undefined;
}

/** Feeds a decoder with inputs, keeps those that reach new code, and makes the next ones of them. Ends at the first defect. */
export function fuzz(target: FuzzTarget, options: FuzzOptions): FuzzResult {
  const { inputs: inputsMax, untilMs = Number.POSITIVE_INFINITY, onInput = () => undefined } = options;
  const random = new Prng(`${target.name}/${options.seed}`);
  const words = (target.words ?? []).map((word) => Buffer.from(word));
  const corpus = [new Uint8Array(0), ...target.seeds];
  let inputs = 0;
  const defectOf = (input: Uint8Array): FuzzResult["defect"] => {
    inputs += 1;
    onInput(input);
    try {
      target.run(input);
      return undefined;
    } catch (error) {
      return { input, error };
    }
  };
  using coverage = options.guided
    ? new Coverage((url) => /\/node\/[^?]*\.ts/.test(url) && !url.includes("node_modules"))
    : undefined;
  for (const input of corpus) {
    const defect = defectOf(input);
    if (defect !== undefined) return { inputs, corpus, defect };
  }
  coverage?.take({ remember: true });
  while (inputs < inputsMax && performance.now() < untilMs) {
    const made = Array.from({ length: INPUTS_PER_LOOK }, () =>
      mutate({ random, corpus, words, bytesMax: INPUT_BYTES_MAX }),
    );
    for (const input of made) {
      const defect = defectOf(input);
      if (defect !== undefined) return { inputs, corpus, defect };
    }
    if (coverage !== undefined) corpus.push(...reaching(target, made, coverage));
  }
  return { inputs, corpus, defect: undefined };
}

/** Those that reach new code. Which of them it were shows when they run again, one by one. */
function reaching(target: FuzzTarget, inputs: readonly Uint8Array[], coverage: Coverage): Uint8Array[] {
  const found: Uint8Array[] = [];
  let left = coverage.take({ remember: false });
  for (const input of inputs) {
    if (left <= 0) break;
    target.run(input);
    const reached = coverage.take({ remember: true });
    if (reached > 0) found.push(input);
    left -= reached;
  }
  return found;
}

export function errorText(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
