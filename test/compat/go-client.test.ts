import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runWithKills } from "./kills.ts";

const SOURCES = fileURLToPath(new URL("./go", import.meta.url));

test("etcd's Go client finds etcd's promises kept while leaders are killed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "concord-compat-"));
  const program = join(directory, "compat");
  try {
    execFileSync("go", ["build", "-C", SOURCES, "-o", program, "."], { stdio: "inherit" });
    const { output, status } = await runWithKills(program, (endpoints) => [endpoints.join(",")]);
    console.log(output.join("\n"));
    expect(output.filter((line) => line.startsWith("FAILED"))).toEqual([]);
    expect(output.filter((line) => line.startsWith("ok"))).toHaveLength(7);
    expect(status).toBe(0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 240_000);
