/**
 * Opens and loads `checkpoint-1` of each data directory given and prints one line of JSON for each. A process of its own,
 * because LevelDB may abort it.
 */
import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import { LevelCheckpoints } from "../../node/storage/level/checkpoint-store.ts";
import { close, load, open } from "./checkpoint-calls.ts";

for (const directory of process.argv.slice(2)) {
  const store = await open(new LevelCheckpoints(directory), "checkpoint-1");
  const { result, contents } = await load(store);
  const pages = [...contents].sort(([a], [b]) => a - b);
  const digest = createHash("sha256").update(JSON.stringify(pages)).digest("hex");
  const index = result.type === "loaded" ? result.meta.snapshot.index : 0;
  const reason = result.type === "damaged" ? result.reason : "";
  writeSync(1, `${JSON.stringify({ type: result.type, index, reason, digest })}\n`);
  await close(store);
}
