import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDataDirectory } from "./data-directory.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "concord-data-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const MODULE = new URL("./data-directory.ts", import.meta.url).href;

/** A process of its own that holds the directory until it is killed. */
async function holder(path: string): Promise<{ pid: number; kill: () => Promise<void> }> {
  const script = `
    const { openDataDirectory } = await import(${JSON.stringify(MODULE)});
    globalThis.held = await openDataDirectory(${JSON.stringify(path)});
    console.log("held");
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  await Promise.race([once(child.stdout, "data"), exited]);
  expect(child.exitCode).toBeNull();
  return {
    pid: child.pid ?? 0,
    kill: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

describe("data directory", () => {
  it("is created for the owner alone, with its parents", async () => {
    const directory = await openDataDirectory(join(root, "a", "b"));
    expect(directory.path).toBe(join(root, "a", "b"));
    expect(statSync(directory.path).mode & 0o777).toBe(0o700);
    expect(directory.warnings).toEqual([]);
    directory.close();
  });

  it("is closed to others, with a warning, where it was open", async () => {
    chmodSync(root, 0o755);
    const directory = await openDataDirectory(root);
    expect(statSync(root).mode & 0o777).toBe(0o700);
    expect(directory.warnings).toEqual([`Data directory "${root}" had mode 0755, it is 0700 now`]);
    directory.close();
  });

  it("is used by one instance of a process at a time", async () => {
    const first = await openDataDirectory(root);
    await expect(openDataDirectory(root)).rejects.toMatchObject({
      code: "CONCORD_DATA_DIR_LOCKED",
      details: { path: root, pid: process.pid },
    });
    first.close();
    first.close();
    const second = await openDataDirectory(root);
    second.close();
  });

  it("is used by one process at a time, and is free once that was killed", async () => {
    const other = await holder(root);
    await expect(openDataDirectory(root)).rejects.toMatchObject({
      code: "CONCORD_DATA_DIR_LOCKED",
      details: { path: root, pid: other.pid },
    });
    expect(existsSync(join(root, "lock"))).toBe(true);
    await other.kill();
    const directory = await openDataDirectory(root);
    directory.close();
  });

  it("cannot be a file, or hold a lock file that is something else", async () => {
    const file = join(root, "file");
    writeFileSync(file, "");
    await expect(openDataDirectory(file)).rejects.toMatchObject({ code: "CONCORD_STORAGE_FAILED" });
    writeFileSync(join(root, "lock"), "this is not the lock of a data directory, but somebody's text of some length");
    await expect(openDataDirectory(root)).rejects.toMatchObject({ code: "CONCORD_STORAGE_FAILED" });
  });
});
