import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Mutant } from "./mutants.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COPIED = ["node", "test/support", "test/simulation", "package.json"];
const SIMULATED_TIMEOUT_MS = 300_000;

export interface Verdict {
  /** The seed that found it, or undefined. */
  readonly seed: number | undefined;
  /** What the simulator said. */
  readonly violation: string;
}

/** Runs seeds from `first` on against a copy of the product that the mutant broke, until one finds it. */
export async function hunt(mutant: Mutant, first: number, count: number): Promise<Verdict> {
  const directory = mkdtempSync(join(tmpdir(), "concord-mutant-"));
  try {
    for (const path of COPIED) cpSync(join(ROOT, path), join(directory, path), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
    applyMutant(directory, mutant);
    const output = await simulate(directory, first, count, mutant);
    const found = /^VIOLATION .*seed (\d+), (.*)$/m.exec(output);
    if (found === null && !/^\d+ seeds, 0 violations/m.test(output))
      throw new Error(`The simulator did not come to its end:\n${output}`);
    return { seed: found === null ? undefined : Number(found[1]), violation: found?.[2] ?? "" };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function applyMutant(directory: string, { name, file, find, replace }: Mutant): void {
  const path = join(directory, file);
  const source = readFileSync(path, "utf8");
  const places = source.split(find).length - 1;
  if (places !== 1) throw new Error(`Mutant "${name}" finds its text ${places} times in ${file}, wanted once`);
  writeFileSync(
    path,
    source.replace(find, () => replace),
  );
}

async function simulate(directory: string, first: number, count: number, mutant: Mutant): Promise<string> {
  const options = ["--seeds", String(count), "--seed", String(first), "--workers", "1", "--first-violation"];
  options.push("--settings", JSON.stringify(mutant.settings ?? {}));
  if (mutant.scenario !== undefined) options.push("--scenario", mutant.scenario);
  const child = spawn(process.execPath, ["test/simulation/simulate.ts", ...options], {
    cwd: directory,
    timeout: SIMULATED_TIMEOUT_MS,
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve());
  });
  return output;
}
