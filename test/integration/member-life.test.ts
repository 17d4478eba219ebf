import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { localMembers, type LocalMember, memberArguments } from "../../node/cli/local-cluster.ts";
import { ProcessCluster } from "../chaos/cluster.ts";
import { freePort } from "../support/free-port.ts";

// What a member does in the bad moments of its life, as a process: what it says, and with which status it ends.

const LAUNCHER = fileURLToPath(new URL("../../node/cli/concord.js", import.meta.url));
const WAIT_MS = 15_000;

interface Line {
  readonly level: string;
  readonly message: string;
  readonly code?: string;
  readonly reason?: string;
  readonly directory?: string;
  readonly segment?: string;
}

/** Runs the executable until it ends by itself. */
async function runToEnd(argv: readonly string[]): Promise<{ status: number | null; output: string; lines: Line[] }> {
  const child = spawn(process.execPath, [LAUNCHER, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const giveUp = setTimeout(() => child.kill("SIGKILL"), WAIT_MS);
  await once(child, "close");
  clearTimeout(giveUp);
  return { status: child.exitCode, output, lines: jsonLines(output) };
}

function jsonLines(text: string): Line[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{") && line.endsWith("}"))
    .map((line) => JSON.parse(line) as Line);
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + WAIT_MS; performance.now() < deadline;) {
    if (await holds()) return;
    await delay(20);
  }
  throw new Error(`Within ${WAIT_MS} ms it did not happen that ${what}`);
}

describe("a member alone", () => {
  let directory: string;
  let member: LocalMember;
  let running: ChildProcess[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "concord-life-"));
    const port = await freePort();
    member = {
      ...alone(directory),
      clientUrl: `http://127.0.0.1:${port}`,
      peerUrl: `http://127.0.0.1:${await freePort()}`,
    };
    running = [];
  });

  afterEach(async () => {
    for (const child of running) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
    }
    rmSync(directory, { recursive: true, force: true });
  });

  const start = (): ChildProcess => {
    const child = spawn(process.execPath, [LAUNCHER, ...memberArguments(member, [member])], { stdio: "ignore" });
    running.push(child);
    return child;
  };
  const put = async (): Promise<boolean> => {
    const response = await fetch(`${member.clientUrl}/api/v1/kv/k`, { method: "PUT", body: "v" }).catch(
      () => undefined,
    );
    await response?.arrayBuffer();
    return response?.ok === true;
  };

  test("a second process on the same data directory says who holds it, and ends", async () => {
    const first = start();
    await until("the first member takes a write", put);
    const { status, lines } = await runToEnd(memberArguments(member, [member]));
    expect(status).toBe(65);
    const last = lines.at(-1);
    expect(last).toMatchObject({ level: "error", code: "CONCORD_DATA_DIR_LOCKED" });
    expect(last?.reason).toContain(member.dataDir);
    expect(last?.reason).toContain(String(first.pid));
    expect(await put()).toBe(true);
  });

  test("an address that is taken is named, with the status of a bad configuration", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(Number(new URL(member.clientUrl).port), "127.0.0.1", resolve));
    try {
      const { status, lines } = await runToEnd(memberArguments(member, [member]));
      expect(status).toBe(78);
      expect(lines.at(-1)).toMatchObject({ level: "error", code: "CONCORD_CONFIGURATION_INVALID" });
      expect(lines.at(-1)?.reason).toContain(new URL(member.clientUrl).host);
    } finally {
      taken.close();
    }
  });

  test("a certificate that is not there is named", async () => {
    member = { ...member, clientUrl: member.clientUrl.replace("http:", "https:") };
    const flags = ["--cert-file=/nowhere/tls.crt", "--key-file=/nowhere/tls.key"];
    const { status, output } = await runToEnd([...memberArguments(member, [member]), ...flags]);
    expect({ status, output }).toMatchObject({
      status: 78,
      output: expect.stringContaining("/nowhere/tls.crt") as string,
    });
    expect(output).not.toMatch(/\n\s+at /);
  });

  test.each<[string, readonly string[], number, RegExp]>([
    ["a flag that does not exist", ["--frobnicate=1"], 64, /unknown option '--frobnicate/],
    ["a value that is none", ["--heartbeat-interval=soon"], 64, /heartbeat-interval.*soon/],
  ])("%s: one clear sentence", async (_what, flags, wanted, sentence) => {
    const { status, output } = await runToEnd([...memberArguments(member, [member]), ...flags]);
    expect({ status, output }).toMatchObject({ status: wanted, output: expect.stringMatching(sentence) as string });
    expect(output).not.toMatch(/\n\s+at /);
  });
});

describe("a member of a cluster", () => {
  let cluster: ProcessCluster;

  beforeAll(async () => {
    cluster = await ProcessCluster.start();
    await cluster.healthy();
  });

  afterAll(async () => {
    await cluster.stop();
  });

  const follower = async (): Promise<LocalMember> => {
    const leader = await cluster.leader();
    const found = cluster.members.find(({ name }) => name !== leader.name);
    if (found === undefined) throw new Error("No follower");
    return found;
  };
  const logOf = (member: LocalMember, from: number): Line[] =>
    jsonLines(readFileSync(member.logFile, "utf8").slice(from));
  const logLength = (member: LocalMember): number => readFileSync(member.logFile, "utf8").length;

  test("tells its traffic with each of the others in its metrics", async () => {
    const leader = await cluster.leader();
    const status = await Promise.all(cluster.members.map((member) => cluster.status(member)));
    const ids = status.map((each) =>
      BigInt(each?.memberId ?? 0)
        .toString(16)
        .padStart(16, "0"),
    );
    await until("both connections stand", async () => {
      const text = await (await fetch(`${leader.clientUrl}/metrics`)).text();
      const rows = [...text.matchAll(/^concord_peer_connected\{peer="(\w+)"\} 1$/gm)].map(([, peer = ""]) => peer);
      const received = [...text.matchAll(/^concord_peer_received_bytes_total\{.*\} (\d+)$/gm)].map(([, n]) =>
        Number(n),
      );
      return rows.length === 2 && rows.every((peer) => ids.includes(peer)) && received.every((bytes) => bytes > 0);
    });
  });

  test("with a damaged log gives up its id, says what and where, and votes again under a new one", async () => {
    const member = await follower();
    const before = await cluster.status(member);
    await cluster.end(member, "SIGKILL");
    flipMiddle(join(member.dataDir, "log"));
    const from = logLength(member);
    cluster.run(member);
    await cluster.healthy();
    const said = logOf(member, from).find(({ message }) => message.startsWith("The log is damaged"));
    expect(said?.segment).toMatch(/\.wal$/);
    const moved = readdirSync(member.dataDir).filter((name) => name.startsWith("damaged-"));
    expect(said?.directory).toBe(join(member.dataDir, moved[0] ?? ""));
    expect((await cluster.status(member))?.memberId).not.toBe(before?.memberId);
  });

  test("that finds its disk empty says so and ends", async () => {
    const member = await follower();
    await cluster.end(member, "SIGKILL");
    const kept = `${member.dataDir}-kept`;
    renameSync(member.dataDir, kept);
    const from = logLength(member);
    const child = cluster.run(member);
    await until("the member ends", () => child.exitCode !== null);
    expect(child.exitCode).toBe(78);
    expect(logOf(member, from).at(-1)).toMatchObject({
      code: "CONCORD_MEMBER_LOST_DATA",
      reason: expect.stringContaining("This member lost its data; replace it") as string,
    });
    rmSync(member.dataDir, { recursive: true });
    renameSync(kept, member.dataDir);
    cluster.run(member);
    await cluster.healthy();
  });

  test("with a damaged checkpoint asks for the state and goes on under its id", async () => {
    // The founder began with a checkpoint; the others may have none yet.
    const founder = cluster.members.find(({ dataDir }) =>
      readdirSync(dataDir).some((name) => name.startsWith("checkpoint-")),
    );
    if (founder === undefined) throw new Error("No member has a checkpoint");
    const id = (await cluster.status(founder))?.memberId;
    await cluster.end(founder, "SIGKILL");
    for (const name of readdirSync(founder.dataDir).filter((each) => each.startsWith("checkpoint-")))
      damageFiles(join(founder.dataDir, name));
    const from = logLength(founder);
    cluster.run(founder);
    await cluster.healthy();
    expect(logOf(founder, from).map(({ message }) => message)).toContain(
      "The checkpoint is damaged; asking the leader for a snapshot",
    );
    expect((await cluster.status(founder))?.memberId).toBe(id);
  });
});

function alone(directory: string): LocalMember {
  const member = localMembers({ directory, members: 1, port: 2379 })[0];
  if (member === undefined) throw new Error("No member");
  mkdirSync(member.dataDir, { mode: 0o700 });
  return member;
}

/** Turns bytes around in the middle of what is written in the log. */
function flipMiddle(directory: string): void {
  const name = readdirSync(directory)
    .filter((each) => !each.includes("tmp"))
    .sort()
    .at(-1);
  const path = join(directory, name ?? "");
  const bytes = readFileSync(path);
  let written = bytes.length;
  while (written > 0 && bytes[written - 1] === 0) written -= 1;
  for (let at = written >> 1; at < (written >> 1) + 8; at += 1) bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  writeFileSync(path, bytes);
}

function damageFiles(directory: string): void {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((each) =>
    /\.(ldb|log)$/.test(each),
  );
  expect(names).not.toEqual([]);
  for (const name of names) {
    const path = join(directory, name);
    const bytes = readFileSync(path);
    for (let at = bytes.length >> 1; at < Math.min(bytes.length, (bytes.length >> 1) + 16); at += 1)
      bytes[at] = (bytes[at] ?? 0) ^ 0xff;
    writeFileSync(path, bytes);
  }
}
