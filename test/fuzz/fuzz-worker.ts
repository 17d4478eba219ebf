import { parentPort, workerData } from "node:worker_threads";
import { errorText, fuzz, type FuzzOrder, type FuzzReport } from "./fuzzer.ts";
import { TARGETS } from "./targets.ts";

const { target, seed, seconds, current } = workerData as FuzzOrder;
const counters = new Uint32Array(current, 0, 2);
const input = new Uint8Array(current, 8);
const found = TARGETS.find(({ name }) => name === target);
if (found === undefined) throw new Error(`There is no target "${target}"`);
const began = performance.now();
const onInput = (bytes: Uint8Array): void => {
  input.set(bytes.subarray(0, input.length));
  counters[1] = bytes.length;
  Atomics.add(counters, 0, 1);
};
const untilMs = (part: number): number => began + part * seconds * 1000;
const shared = { inputs: Number.POSITIVE_INFINITY, onInput };
// First what leads to new code, which is slow to look at; then many of the kind.
const guided = fuzz(found, { ...shared, seed, guided: true, untilMs: untilMs(0.5) });
const { corpus } = guided;
const blind = fuzz({ ...found, seeds: corpus }, { ...shared, seed: `${seed}/2`, guided: false, untilMs: untilMs(1) });
const defect = guided.defect ?? blind.defect;
const report: FuzzReport = {
  inputs: guided.inputs + blind.inputs,
  corpus: corpus.length,
  defect: defect && { input: Buffer.from(defect.input).toString("hex"), error: errorText(defect.error) },
};
parentPort?.postMessage(report);
