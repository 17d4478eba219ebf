import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LevelCheckpoints } from "../../node/storage/level/checkpoint-store.ts";
import { MemoryCheckpoints } from "../../node/storage/memory/checkpoint-store.ts";
import { checkpointStoreSuite } from "./checkpoint-store.suite.ts";

checkpointStoreSuite("memory", () => {
  const checkpoints = new MemoryCheckpoints((run) => setImmediate(run));
  return Promise.resolve({
    factory: () => checkpoints.factory(),
    kill: () => {
      checkpoints.crash({ keepUnfinishedCommits: false });
      return Promise.resolve();
    },
    damage: (directory) => {
      checkpoints.flipBit(directory, checkpoints.pages(directory)[10]!, 77);
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(),
  });
});

checkpointStoreSuite("classic-level", () => {
  const root = mkdtempSync(join(tmpdir(), "concord-checkpoint-"));
  let life = 0;
  const data = (): string => join(root, String(life));
  const checkpointsOf = (): LevelCheckpoints => new LevelCheckpoints(data());
  cpSync(mkdtempSync(join(root, "empty-")), data(), { recursive: true });
  let checkpoints = checkpointsOf();
  return Promise.resolve({
    factory: () => checkpoints,
    // A killed process leaves the files as they are; the copy is not locked by the stores that are still open here.
    kill: () => {
      const before = data();
      life += 1;
      cpSync(before, data(), { recursive: true });
      checkpoints = checkpointsOf();
      return Promise.resolve();
    },
    damage: (directory) => {
      const database = join(data(), directory, "db");
      const table = readdirSync(database).find((name) => name.endsWith(".ldb"))!;
      const bytes = readFileSync(join(database, table));
      bytes[200]! ^= 4;
      writeFileSync(join(database, table), bytes);
      return Promise.resolve();
    },
    dispose: () => {
      rmSync(root, { recursive: true, force: true });
      return Promise.resolve();
    },
  });
});
