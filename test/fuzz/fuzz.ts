import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { errorText, type FuzzOrder, type FuzzReport } from "./fuzzer.ts";
import { TARGETS } from "./targets.ts";

// Feeds every decoder of bytes from outside with what no honest peer sends, led by the code that inputs reach. A decoder
// refuses; when it throws anything else, does not end, or takes the memory, exit status 1.

const INPUT_BYTES_MAX = 8192;
/** An input that takes so long does not end: the longest take milliseconds. */
const HANG_MS = 20_000;
const MEMORY_MB = 512;

const { values } = parseArgs({
  options: {
    /** Of each target. */
    seconds: { type: "string", default: "10" },
    /** Part of a target's name. @default all */
    target: { type: "string", default: "" },
    seed: { type: "string", default: String(Date.now()) },
  },
});

const seconds = Number(values.seconds);
if (!(seconds > 0)) throw new Error(`--seconds is "${values.seconds}", expected a number above zero`);
const chosen = TARGETS.filter(({ name }) => name.includes(values.target));
if (chosen.length === 0) throw new Error(`No target has "${values.target}" in its name`);
process.stdout.write(`--seed ${values.seed}\n`);
for (const { name } of chosen) {
  const { inputs, corpus, defect } = await run(name);
  process.stdout.write(`${defect === undefined ? "ok    " : "DEFECT"}  ${name}: ${inputs} inputs, ${corpus} kept\n`);
  if (defect === undefined) continue;
  process.stdout.write(`        input ${defect.input}\n        ${defect.error.replaceAll("\n", "\n        ")}\n`);
  process.exitCode = 1;
}

/** In a thread of its own, which can be ended when the decoder never does. */
async function run(target: string): Promise<FuzzReport> {
  const current = new SharedArrayBuffer(8 + INPUT_BYTES_MAX);
  const counters = new Uint32Array(current, 0, 2);
  const workerData: FuzzOrder = { target, seed: values.seed, seconds, current };
  const worker = new Worker(new URL("./fuzz-worker.ts", import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
  });
  let seen = 0;
  let watchdog: NodeJS.Timeout | undefined;
  try {
    return await new Promise<FuzzReport>((resolve) => {
      const broken = (error: string): void => {
        const input = Buffer.from(new Uint8Array(current, 8, Math.min(counters[1] ?? 0, INPUT_BYTES_MAX)));
        resolve({ inputs: counters[0] ?? 0, corpus: 0, defect: { input: input.toString("hex"), error } });
      };
      watchdog = setInterval(() => {
        const count = Atomics.load(counters, 0);
        if (count > 0 && count === seen) broken(`It does not end within ${HANG_MS / 1000} s`);
        seen = count;
      }, HANG_MS);
      worker.once("message", resolve);
      worker.once("error", (error: unknown) => broken(errorText(error)));
    });
  } finally {
    clearInterval(watchdog);
    await worker.terminate();
  }
}
