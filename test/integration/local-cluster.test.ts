import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { localMembers, requireFreePorts } from "../../node/cli/local-cluster.ts";

const LAUNCHER = fileURLToPath(new URL("../../node/cli/concord.js", import.meta.url));

/** Of six ports a cluster needs none may be taken; these lie below those that systems give out by themselves. */
async function freePort(directory: string): Promise<number> {
  for (let port = 10_000 + (process.pid % 1_000) * 2; ; port += 2) {
    const members = localMembers({ directory, members: 3, port });
    const free = await requireFreePorts(members).then(
      () => true,
      () => false,
    );
    if (free) return port;
  }
}

test("a member of the local cluster that is killed is started again, and Ctrl-C ends all", async () => {
  const directory = mkdtempSync(join(tmpdir(), "concord-local-"));
  const port = await freePort(directory);
  const child = spawn(process.execPath, [LAUNCHER, "dev", "--directory", directory, "--port", String(port)]);
  const ended = once(child, "exit") as Promise<[number | null]>;
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const said = async (text: string): Promise<void> => {
    while (!output.includes(text))
      await Promise.race([once(child.stdout, "data"), ended.then(() => expect.fail(output))]);
  };
  try {
    await said("A cluster of 3 is ready");
    const holder = readFileSync(join(directory, "n2", "lock-holder"), "latin1");
    process.kill(Number(holder.split(" ")[0]), "SIGKILL");
    await said("Member n2 was ended by SIGKILL; it is started again");
    child.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
    expect(output).not.toContain("its log is");
  } finally {
    child.kill("SIGTERM");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);
