import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generatedFiles } from "./files.ts";

/** Writes every generated file of the repository. `generated.test.ts` proves that they are fresh. */
const root = new URL("../../..", import.meta.url).pathname;

for (const [path, text] of generatedFiles()) {
  const target = join(root, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
  console.log(path);
}
