import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LevelCheckpoints } from "../../node/storage/level/checkpoint-store.ts";
import { OPEN_ATTEMPTS_MAX } from "../../node/storage/level/guard.ts";
import { Prng } from "../support/prng.ts";
import { close, open, write } from "./checkpoint-calls.ts";

const SEED = Number(process.env["CONCORD_SEED"] ?? 20_260_104);
const CHILD = fileURLToPath(new URL("checkpoint-damage.child.ts", import.meta.url));

interface Outcome {
  readonly type: "empty" | "loaded" | "damaged";
  readonly index: number;
  readonly reason: string;
  readonly digest: string;
}

interface Trial {
  readonly what: string;
  readonly directory: string;
}

/** Loads each directory in a process that may die on it. A process that died goes on behind the directory it died of. */
function loadAll(directories: readonly string[]): (Outcome | "aborted")[] {
  const outcomes: (Outcome | "aborted")[] = [];
  while (outcomes.length < directories.length) {
    const { stdout, stderr, signal, status } = spawnSync(
      process.execPath,
      [CHILD, ...directories.slice(outcomes.length)],
      {
        encoding: "utf8",
      },
    );
    for (const line of stdout.split("\n")) if (line !== "") outcomes.push(JSON.parse(line) as Outcome);
    if (status === 0) break;
    // Only LevelDB may end the process: an exception of ours is a failure of the test.
    expect(signal, stderr).not.toBeNull();
    outcomes.push("aborted");
  }
  return outcomes;
}

describe("checkpoint files that something damaged", () => {
  const root = mkdtempSync(join(tmpdir(), "concord-damage-"));
  const original = join(root, "original");
  let intact: Outcome;
  let older: string;

  beforeAll(async () => {
    mkdirSync(original);
    const store = await open(new LevelCheckpoints(original), "checkpoint-1");
    const random = new Prng(SEED);
    for (let generation = 1; generation <= 3; generation += 1) {
      const pages = Array.from({ length: 150 }, (): [number, string] => {
        const number = random.below(250);
        return [number, `${number} of ${generation} `.repeat(60 + random.below(60))];
      });
      await write(store, generation, new Map(pages));
      if (generation === 2) cpSync(original, (older = join(root, "older")), { recursive: true });
    }
    await close(store);
    const [outcome] = loadAll([original]);
    intact = outcome as Outcome;
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const filesOf = (directory: string): string[] => {
    const checkpoint = join(directory, "checkpoint-1");
    const database = readdirSync(join(checkpoint, "db")).filter((name) =>
      /\.(ldb|log)$|^MANIFEST|^CURRENT$/.test(name),
    );
    return [...database.map((name) => join("checkpoint-1", "db", name)), join("checkpoint-1", "witness")];
  };

  const copy = (name: string): string => {
    const directory = join(root, name);
    cpSync(original, directory, { recursive: true });
    return directory;
  };

  /** Damages one file of a copy. */
  const trial = (number: number, file: string, random: Prng): Trial => {
    const directory = copy(`trial-${number}`);
    const path = join(directory, file);
    const bytes = readFileSync(path);
    const at = random.below(Math.max(1, bytes.length));
    const kind = random.below(10);
    if (kind < 7) {
      const bit = random.below(8);
      if (bytes.length > 0) bytes[at]! ^= 1 << bit;
      writeFileSync(path, bytes);
      return { what: `bit ${bit} of byte ${at} of ${file} flipped`, directory };
    }
    if (kind === 7) {
      writeFileSync(path, bytes.fill(0, at, Math.min(bytes.length, at + 1 + random.below(4096))));
      return { what: `zeroes from byte ${at} of ${file}`, directory };
    }
    if (kind === 8) {
      writeFileSync(path, bytes.subarray(0, at));
      return { what: `${file} cut at byte ${at}`, directory };
    }
    rmSync(path);
    return { what: `${file} removed`, directory };
  };

  const isIntact = (outcome: Outcome): boolean => JSON.stringify(outcome) === JSON.stringify(intact);

  it("is whole or damaged, never silently something else", () => {
    expect(intact).toMatchObject({ type: "loaded", index: 3 });
    const random = new Prng(SEED + 1);
    const files = filesOf(original);
    expect(files.filter((file) => file.endsWith(".ldb")).length).toBeGreaterThan(1);
    const trials = Array.from({ length: 15 }, (_, round) =>
      files.map((file, i) => trial(round * files.length + i, file, random)),
    ).flat();
    let pending = trials;
    const verdicts = { intact: 0, damaged: 0, aborted: 0 };
    // What aborts is opened again and again, as a supervisor would, until the guard has seen enough.
    for (let start = 0; pending.length > 0; start += 1) {
      expect(start, `seed ${SEED}: still aborting: ${pending.map(({ what }) => what).join(", ")}`).toBeLessThan(
        OPEN_ATTEMPTS_MAX + 1,
      );
      const outcomes = loadAll(pending.map(({ directory }) => directory));
      pending = pending.filter(({ what }, i) => {
        const outcome = outcomes[i]!;
        if (outcome === "aborted") {
          verdicts.aborted += 1;
          return true;
        }
        const honest = outcome.type === "damaged" ? outcome.reason !== "" : isIntact(outcome);
        expect(honest, `seed ${SEED}: ${what}: ${JSON.stringify(outcome)}`).toBe(true);
        verdicts[outcome.type === "damaged" ? "damaged" : "intact"] += 1;
        return false;
      });
    }
    // The sample is worth something: it has damage that counts and damage that does not.
    expect(verdicts.damaged).toBeGreaterThan(trials.length / 3);
    expect(verdicts.intact).toBeGreaterThan(0);
  });

  it("notices LevelDB files of an earlier commit, and none at all", () => {
    const replaced = copy("replaced");
    rmSync(join(replaced, "checkpoint-1", "db"), { recursive: true });
    cpSync(join(older, "checkpoint-1", "db"), join(replaced, "checkpoint-1", "db"), { recursive: true });
    const lost = copy("lost");
    rmSync(join(lost, "checkpoint-1", "db"), { recursive: true });
    const headless = copy("headless");
    rmSync(join(headless, "checkpoint-1", "db", "CURRENT"));
    const outcomes = loadAll([replaced, lost, headless]).map((outcome) => (outcome as Outcome).reason);
    expect(outcomes[0]).toContain("Generation 3 (index 3) was committed, generation 2 was found");
    expect(outcomes[1]).toContain("Generation 3 (index 3) was committed, generation 0 was found");
    expect(outcomes[2]).toContain("CURRENT is missing");
  });

  it("does not open files on which the process died several times", async () => {
    const directory = copy("crashing");
    const marker = join(directory, "checkpoint-1", "opening");
    writeFileSync(marker, `${OPEN_ATTEMPTS_MAX}\n`);
    const [refused] = loadAll([directory]);
    expect(refused).toMatchObject({ type: "damaged", reason: expect.stringContaining(`remove "${marker}"`) });
    expect(existsSync(marker)).toBe(true);
    writeFileSync(marker, `${OPEN_ATTEMPTS_MAX - 1}\n`);
    expect(loadAll([directory])).toEqual([intact]);
    expect(existsSync(marker)).toBe(false);
    const store = await open(new LevelCheckpoints(directory), "checkpoint-1");
    expect(readFileSync(marker, "utf8")).toBe("1\n");
    await close(store);
    expect(existsSync(marker)).toBe(false);
  });
});
