import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openRestoredDirectory, openDataDirectory } from "../../node/storage/data-directory.ts";
import { runCommand } from "../support/command.ts";
import { etcdClient, openDoors, type EtcdMessage, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;
let directory: string;
let file: string;

beforeEach(async () => {
  doors = await openDoors();
  directory = mkdtempSync(join(tmpdir(), "concord-snapshot-"));
  file = join(directory, "snap");
});

afterEach(async () => {
  await doors.close();
  rmSync(directory, { recursive: true, force: true });
});

const run = (...argv: readonly string[]) => runCommand(argv, { endpoints: doors.url });

async function save(): Promise<void> {
  await doors.node.grantLease(7n, 600);
  for (let at = 0; at < 20; at += 1) await run("put", `k${at}`, "v".repeat(20_000));
  await run("put", "leased", "v", "--lease", "7");
  expect(await run("snapshot", "save", file)).toMatchObject({ status: 0 });
}

/** What `etcdctl snapshot save` writes: the pieces of the stream one behind the other. */
async function saveAsEtcdctl(to: string): Promise<void> {
  const etcd = etcdClient(`127.0.0.1:${doors.port}`);
  const stream = etcd.serverStream("Maintenance", "Snapshot", {});
  const blobs: Buffer[] = [];
  for (let remaining = "1"; remaining !== "0";) {
    const piece = (await stream.next()) as EtcdMessage & { readonly blob: Buffer; readonly remaining_bytes: string };
    blobs.push(piece.blob);
    remaining = piece.remaining_bytes;
  }
  etcd.close();
  writeFileSync(to, Buffer.concat(blobs));
}

describe("snapshot save", () => {
  test("is whole, private, and never half there", async () => {
    const { out } = await run("snapshot", "save", file, "-o", "json");
    const content = readFileSync(file);
    const sha256 = createHash("sha256").update(content).digest("hex");
    expect(JSON.parse(out)).toEqual({ file, bytes: content.length, sha256 });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(["snap"]);
    expect((await run("snapshot", "save", join(directory, "no", "snap"))).status).toBe(74);
  });
});

describe("snapshot verify", () => {
  test("says what is in a backup, whoever saved it", async () => {
    await save();
    const facts = JSON.parse((await run("snapshot", "verify", file, "-o", "json")).out) as object;
    const common = { clusterId: "c000000000000001", revision: 22, compactRevision: -1, keys: 21, leases: 1 };
    expect(facts).toMatchObject({
      ...common,
      file,
      format: { version: 1, savedBy: "concord" },
      members: [{ name: "a" }],
    });
    expect((await run("snapshot", "verify", file)).out).toMatch(
      /^Revision +22, compacted never\nKeys +21\nLeases +1\n/m,
    );
    const other = join(directory, "etcdctl");
    await saveAsEtcdctl(other);
    const saved = JSON.parse((await run("snapshot", "verify", other, "-o", "json")).out) as object;
    expect(saved).toMatchObject({ ...common, format: { savedBy: "etcdctl" } });
  });

  test("finds every byte that is wrong or missing, and tells what a file is instead", async () => {
    await save();
    const whole = readFileSync(file);
    const etcdctls = join(directory, "etcdctl");
    await saveAsEtcdctl(etcdctls);
    const padded = readFileSync(etcdctls);
    const flipped = (content: Buffer, at: number): Buffer => {
      const copy = Buffer.from(content);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    const bolt = Buffer.alloc(32_768);
    bolt.writeUInt32LE(0xed0cdaed, 16);
    const bad: [Buffer, RegExp][] = [
      [Buffer.alloc(0), /no whole backup of Concord: Snapshot ends early/],
      [Buffer.from("something else"), /Not a snapshot of Concord/],
      [bolt, /is a database of etcd, not a backup of Concord/],
      [whole.subarray(0, -1), /ends early/],
      [whole.subarray(0, whole.length / 2), /ends early/],
      [Buffer.concat([whole, Buffer.alloc(1)]), /behind the end/],
      [padded.subarray(0, -32), /behind the end/],
      [flipped(padded, padded.length - 1), /behind the end/],
      [flipped(padded, padded.length - 40), /damaged|behind the end/],
      ...[8, 20, 500, whole.length - 9].map((at): [Buffer, RegExp] => [flipped(whole, at), /no whole backup/]),
    ];
    for (const [content, message] of bad) {
      writeFileSync(file, content);
      const verified = await run("snapshot", "verify", file);
      expect(verified).toMatchObject({ status: 74, out: "" });
      expect(verified.err).toMatch(message);
      const target = join(directory, "restored");
      expect(await run("snapshot", "restore", file, "--data-dir", target)).toMatchObject({ status: 74 });
      expect(readdirSync(directory)).not.toContain("restored");
    }
    expect((await run("snapshot", "verify", join(directory, "nothing"))).status).toBe(74);
  });
});

describe("snapshot restore", () => {
  const list = "a=http://127.0.0.1:2380,b=http://127.0.0.1:12380";
  const urls = { a: "http://127.0.0.1:2380", b: "http://127.0.0.1:12380" };
  const restore = async (name: "a" | "b", target: string, ...more: readonly string[]) => {
    const own = ["--name", name, "--initial-cluster", list, "--initial-advertise-peer-urls", urls[name]];
    const argv = ["snapshot", "restore", file, "--data-dir", join(directory, target), ...own, "-o", "json", ...more];
    const { status, out, err } = await run(...argv);
    return { status, err, answer: (out === "" ? {} : JSON.parse(out)) as Record<string, unknown> };
  };

  test("the members of one list come to the same cluster by themselves; anything else makes another", async () => {
    await save();
    const first = await restore("a", "1");
    const second = await restore("b", "2");
    expect(first.answer).toMatchObject({ revision: 1_000_000_022, keys: 21, leases: 1 });
    expect(second.answer["clusterId"]).toBe(first.answer["clusterId"]);
    expect(second.answer["members"]).toEqual(first.answer["members"]);
    expect(second.answer["memberId"]).not.toBe(first.answer["memberId"]);
    const token = await restore("a", "3", "--initial-cluster-token", "again");
    expect(token.answer["clusterId"]).not.toBe(first.answer["clusterId"]);
    const bump = await restore("a", "4", "--revision-bump", "0");
    expect(bump.answer).toMatchObject({ revision: 22 });
    expect(bump.answer["clusterId"]).not.toBe(first.answer["clusterId"]);
  });

  test("a directory that holds anything is left alone", async () => {
    await save();
    mkdirSync(join(directory, "full"));
    writeFileSync(join(directory, "full", "precious"), "");
    expect(await restore("a", "full")).toMatchObject({
      status: 64,
      err: expect.stringContaining("is not empty: it holds precious"),
    });
    expect(readdirSync(join(directory, "full"))).toEqual(["precious"]);
    expect(await restore("a", "snap")).toMatchObject({ status: 74, err: expect.stringContaining("ENOTDIR") });
    expect(await restore("a", "once")).toMatchObject({ status: 0 });
    expect(await restore("a", "once")).toMatchObject({ status: 64, err: expect.stringContaining("is not empty") });
  });

  test("wrong flags are refused before anything is made", async () => {
    await save();
    for (const more of [
      ["--name", "z"],
      ["--revision-bump", "-1"],
      ["--revision-bump", "1000000000001"],
      ["--initial-cluster", "a"],
    ])
      expect([64, 78]).toContain((await run("snapshot", "restore", file, "--initial-cluster", list, ...more)).status);
    expect(await runCommand(["snapshot", "restore", file], { env: { CONCORD_START_MODE: "wait" } })).toMatchObject({
      status: 64,
    });
    expect(readdirSync(directory)).toEqual(["snap"]);
  });

  test("while it is unfinished no member starts in the directory, and it can be begun anew", async () => {
    await save();
    const target = join(directory, "restored");
    const held = await openRestoredDirectory(target);
    expect(await restore("a", "restored")).toMatchObject({
      status: 65,
      err: expect.stringContaining("is used by process"),
    });
    held.close();
    await expect(openDataDirectory(target)).rejects.toMatchObject({ code: "CONCORD_RESTORE_UNFINISHED" });
    writeFileSync(join(target, "half"), "");
    expect(await restore("a", "restored")).toMatchObject({ status: 0 });
    (await openDataDirectory(target)).close();
    expect(readdirSync(target).sort()).toEqual(["checkpoint-1", "lock", "lock-holder", "log"]);
  });
});
