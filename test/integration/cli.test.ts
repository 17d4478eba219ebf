import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConcordError } from "../../node/client/errors.ts";
import { type CommandOptions, type CommandResult, runCommand } from "../support/command.ts";
import { openDoors, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;
let directory: string;

beforeEach(async () => {
  doors = await openDoors();
  directory = mkdtempSync(join(tmpdir(), "concord-cli-"));
});

afterEach(async () => {
  await doors.close();
  rmSync(directory, { recursive: true, force: true });
});

const run = (argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> =>
  runCommand(argv, { endpoints: doors.url, ...options });

test("put, get, get --prefix, del", async () => {
  expect(await run(["put", "a/1", "one"])).toEqual({ status: 0, out: "OK, revision 2\n", err: "" });
  await run(["put", "a/2"], { stdin: Uint8Array.of(0x1b, 0x5b) });
  expect((await run(["get", "a/1"])).out).toBe("one\n");
  // A value that a terminal would obey is not printed as it is.
  expect((await run(["get", "a/", "--prefix"])).out).toBe("a/1\none\na/2\nbase64:G1s=\n");
  expect((await run(["get", "a/", "--prefix", "--limit", "1", "--keys-only"])).out).toBe("a/1\n");
  expect(JSON.parse((await run(["get", "a/1", "-o", "json"])).out)).toMatchObject({ valueText: "one", modRevision: 2 });
  expect((await run(["get", "a/", "--prefix", "--count"])).out).toBe("2\n");
  expect((await run(["get", "a/3", "--count", "-o", "json"])).out).toBe('{"count":0}\n');
  for (const level of ["leader", "eventual"])
    expect((await run(["get", "a/1", "--consistency", level])).out).toBe("one\n");
  expect((await run(["del", "a/1"])).out).toBe("OK, 1 deleted, revision 4\n");
  expect((await run(["get", "a/1", "--revision", "3"])).out).toBe("one\n");
  expect((await run(["del", "a/", "--prefix"])).out).toBe("OK, 1 deleted, revision 5\n");
  expect((await run(["del", "a/", "--prefix"])).out).toBe("OK, 0 deleted, revision 5\n");
});

test("conditions, a lease, a time to live, a value from a file", async () => {
  const file = join(directory, "value");
  writeFileSync(file, "from a file");
  expect((await run(["put", "k", "--file", file, "--if-absent"])).out).toBe("OK, revision 2\n");
  expect(await run(["put", "k", "v", "--if-absent"])).toMatchObject({
    status: 65,
    err: "Failed: the condition of the request does not hold (CONCORD_CONDITION_FAILED)\n",
  });
  expect((await run(["put", "k", "v", "--if-revision", "2", "--ttl", "60"])).out).toBe("OK, revision 3\n");
  expect((await run(["touch", "k", "90"])).out).toBe("OK, revision 3\n");
  const granted = await doors.node.grantLease(0x2an, 60);
  expect(granted.ok).toBe(true);
  expect((await run(["put", "l", "v", "--lease", "2a"])).out).toBe("OK, revision 4\n");
  expect((await run(["list"])).out).toBe(
    [
      "MODIFIED  CREATED  VERSION  LEASE             TTL  KEY",
      "3         2        2        -                 90s  k",
      "4         4        1        000000000000002a  -    l",
      "",
    ].join("\n"),
  );
  expect(await run(["touch", "nobody", "5"])).toMatchObject({ status: 1 });
});

test("a write with an idempotency key is applied once, at whichever member it is tried again", async () => {
  const key = ["--idempotency-key", "größe 1"];
  expect((await run(["put", "k", "v", ...key])).out).toBe("OK, revision 2\n");
  expect((await run(["put", "k", "v", ...key])).out).toBe("OK, revision 2\n");
  expect(await run(["put", "k", "other", ...key])).toMatchObject({ status: 65 });
  // Its fate is not known at the first endpoint; the key makes it safe to ask the second.
  const twice = { endpoints: `${doors.url},${doors.url}` };
  doors.node.situation.nextWriteFails = new ConcordError("CONCORD_OUTCOME_UNKNOWN");
  expect((await run(["put", "k", "v2", "--idempotency-key", "2"], twice)).out).toBe("OK, revision 3\n");
  doors.node.situation.nextWriteFails = new ConcordError("CONCORD_OUTCOME_UNKNOWN");
  expect((await run(["put", "k", "v3"], twice)).status).toBe(76);
});

test("txns from standard input and from a file", async () => {
  const txn = {
    compare: [{ keyText: "t", target: "exists", exists: false }],
    success: [{ put: { keyText: "t", valueText: "1" } }],
    failure: [{ get: { keyText: "t" } }, { txn: { success: [{ delete: { keyText: "t" } }] } }],
  };
  const file = join(directory, "txn.json");
  writeFileSync(file, JSON.stringify(txn));
  expect((await run(["txn", file])).out).toBe('OK, carried out "success", revision 2\nput\n');
  expect((await run(["txn"], { stdin: Buffer.from(JSON.stringify(txn)) })).out).toBe(
    'OK, carried out "failure", revision 3\nget: 1 found\n  t\n  1\ntxn: "success"\n  delete: 1 deleted\n',
  );
  expect(await run(["txn"], { stdin: Buffer.from("{") })).toMatchObject({ status: 64 });
  expect(await run(["txn"], { stdin: Buffer.from('{"sucess":[]}') })).toMatchObject({ status: 64 });
  expect(await run(["txn", join(directory, "nothing")])).toMatchObject({ status: 74 });
});

test("a watch prints what happened and what happens, and goes on at another member", async () => {
  await run(["put", "w/1", "one"]);
  await run(["del", "w/1"]);
  const past = await run(["watch", "w/", "--from-revision", "2", "--limit", "2", "--previous"]);
  expect(past).toEqual({ status: 0, out: "PUT\nw/1\none\nDELETE\nw/1\none\n", err: "" });

  // The server ends every stream when the member behind it stops: the watch goes on, without a gap.
  let out = "";
  const watching = run(["watch", "w/", "--from-revision", "4", "--limit", "2", "-o", "json"], {
    onOut: (text) => {
      if (out === "") doors.node.stop();
      out += text;
      if (out === text) void run(["put", "w/3", "three"]);
    },
  });
  await run(["put", "w/2", "two"]);
  expect((await watching).status).toBe(0);
  expect(
    out
      .trim()
      .split("\n")
      .map((line): unknown => JSON.parse(line)),
  ).toMatchObject([
    { revision: 4, type: "put", row: { keyText: "w/2" } },
    { revision: 5, type: "put", row: { keyText: "w/3" } },
  ]);
});

test("a watch ends when it is told to, when history is gone, and when nobody is there", async () => {
  const stop = new AbortController();
  const stopped = run(["watch"], { interrupted: stop.signal, onOut: () => stop.abort() });
  const writing = setInterval(() => void run(["put", "k", "v"]), 50);
  expect((await stopped).status).toBe(0);
  clearInterval(writing);
  await doors.node.propose({ type: "compact", revision: 2 });
  expect(await run(["watch", "--from-revision", "1"])).toMatchObject({
    status: 65,
    err: expect.stringContaining("CONCORD_COMPACTED"),
  });
  expect((await run(["watch"], { endpoints: "http://127.0.0.1:1" })).status).toBe(69);
});

test("more than a page of keys comes whole and at one revision", async () => {
  for (let at = 0; at < 1500; at += 1) {
    const key = Buffer.from(`k${String(at).padStart(4, "0")}`);
    await doors.node.propose({
      type: "put",
      key,
      value: key,
      lease: 0n,
      previous: false,
      ignoreValue: false,
      ignoreLease: false,
    });
  }
  const { out } = await run(["get", "k", "--prefix", "--keys-only"]);
  expect(out.trim().split("\n")).toHaveLength(1500);
});

test("status and members", async () => {
  expect((await run(["status"])).out).toMatch(/NAME +STATE +ROLE[^]*a +running +leader/);
  expect((await run(["members"])).out).toMatch(/00000000000000a1 +a +leader/);
  const dead = "http://127.0.0.1:1";
  const partly = await run(["status", "-o", "json"], { endpoints: `${dead},${doors.url}` });
  expect(partly.status).toBe(1);
  expect(JSON.parse(partly.out)).toMatchObject([{ error: { code: "CONCORD_UNREACHABLE" } }, { status: { name: "a" } }]);
  // A command that needs one member goes to the next when the first is not there.
  expect((await run(["get", "nothing"], { endpoints: `${dead},${doors.url}` })).err).toContain("CONCORD_KEY_NOT_FOUND");
});

test("members are added, promoted and removed, and leadership is handed over, by name or id", async () => {
  expect((await run(["members", "add", "b", "http://127.0.0.1:1,http://127.0.0.1:2"])).out).toBe(
    "OK, b is added as a learner; 2 members\n",
  );
  expect((await run(["members", "list"])).out).toMatch(/00000000000000b2 +b +learner +http:..127.0.0.1:1,http/);
  expect((await run(["members", "promote", "b"])).out).toBe("OK, b has a vote; 2 members\n");
  expect((await run(["members", "remove", "00000000000000b2"])).out).toMatch(/is removed; 1 members\n$/);
  expect((await run(["members", "transfer-leadership", "a"])).out).toBe("OK, leader is 00000000000000a1\n");
  for (const verb of ["promote", "remove", "transfer-leadership"])
    expect(await run(["members", verb, "z"])).toMatchObject({
      status: 1,
      err: expect.stringContaining('"z" is neither'),
    });
});

test("status of the whole cluster, from one endpoint", async () => {
  const urls = { peerUrls: ["http://127.0.0.1:1"], clientUrls: [doors.url] };
  await doors.node.propose({ type: "publish", member: "00000000000000a1", name: "a", ...urls });
  expect(JSON.parse((await run(["status", "--cluster", "-o", "json"])).out)).toMatchObject([{ endpoint: doors.url }]);
});

test("the history of a key, as far back as there is one", async () => {
  for (const value of ["1", "2"]) await run(["put", "h", value]);
  await run(["del", "h"]);
  expect((await run(["history", "h"])).out).toBe(
    "REVISION  WHAT    VERSION  LEASE  VALUE\n4         delete  -        -\n3         put     2        -      2\n2         put     1        -      1\n",
  );
  const part = await run(["history", "h", "--to", "3", "--limit", "1", "-o", "json"]);
  expect(JSON.parse(part.out)).toMatchObject({ items: [{ modRevision: 3, valueText: "2" }] });
  expect((await run(["history", "h", "--from", "4"])).out).not.toContain("put");
});

test("a configuration is checked as a member takes it", async () => {
  const file = join(directory, "concord.yaml");
  writeFileSync(file, "name: n1\nquota-backend-bytes: 1000000000\n");
  expect(await run(["config", "check", file, "--force-new-cluster=false"])).toMatchObject({
    status: 0,
    out: expect.stringContaining('OK, a configuration for member "n1"'),
  });
  const json = await run(["config", "check", file, "--name=n2", "-o", "json"]);
  expect(JSON.parse(json.out)).toMatchObject({
    settings: { name: "n2", quotaBackendBytes: 1_000_000_000 },
    warnings: [],
  });
  writeFileSync(file, "nmae: n1\n");
  expect(await run(["config", "check", file])).toMatchObject({ status: 78, err: expect.stringContaining("nmae") });
  expect(await run(["config", "check", "--heartbeat-interval=x"])).toMatchObject({ status: 64 });
});

test("a small load: what was asked for is done, and counted", async () => {
  const flags = ["--total", "60", "--clients", "4", "--keys", "10", "--size", "10", "-o", "json"];
  const put = JSON.parse((await run(["bench", "put", ...flags])).out) as object;
  expect(put).toMatchObject({ operation: "put", clients: 4, requests: 60, failed: 0 });
  expect((await run(["get", "concord-bench/", "--prefix", "--count"])).out).toBe("10\n");
  expect((await run(["bench", "get", "--total", "20"])).out).toMatch(/P99 MS +MAX MS\nget +16 +10 +10 /);
  expect(await run(["bench", "put", "--clients", "1001"])).toMatchObject({ status: 64 });
  expect(await run(["bench", "put"], { endpoints: "http://127.0.0.1:1" })).toMatchObject({ status: 69 });
});

test("completion knows every command and flag", async () => {
  const bash = (await run(["completion", "bash"])).out;
  const complete = (...words: readonly string[]): string[] => {
    const script = `${bash}\nCOMP_WORDS=(concord ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _concord; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["-c", script]).toString().trim().split("\n");
  };
  expect(complete("me")).toEqual(["members"]);
  expect(complete("members", "")).toEqual(expect.arrayContaining(["list", "add", "transfer-leadership"]));
  expect(complete("--endpoints", "x", "snapshot", "restore", "--rev")).toEqual(["--revision-bump"]);
  expect(complete("lock", "a", "--w")).toEqual(["--wait"]);
  expect((await run(["completion", "zsh"])).out).toMatch(/^#compdef concord\n/);
  expect((await run(["completion", "fish"])).out).toContain(
    "complete -c concord -n '__fish_seen_subcommand_from members; and not __fish_seen_subcommand_from list add promote remove transfer-leadership' -f -a add",
  );
  expect(await run(["completion", "tcsh"])).toMatchObject({ status: 64 });
});

test.each<[string, readonly string[], number, RegExp]>([
  ["unknown command", ["frobnicate"], 64, /unknown command/],
  ["unknown flag", ["get", "k", "--frobnicate"], 64, /unknown option/],
  ["missing argument", ["get"], 64, /missing required argument/],
  ["bad number", ["get", "k", "--revision", "x"], 64, /--revision is "x", expected a whole number/],
  ["bad level", ["get", "k", "--consistency", "leaderish"], 64, /Allowed choices are strong, leader, eventual/],
  ["bad lease", ["put", "k", "v", "--lease", "xyz"], 64, /--lease is "xyz", expected a lease id/],
  ["two values", ["put", "k", "v", "--file", "f"], 64, /exclude each other/],
  ["two conditions", ["del", "k", "--if-absent", "--if-revision", "2"], 64, /exclude each other/],
  ["a condition on many keys", ["del", "k", "--prefix", "--if-absent"], 64, /--prefix takes neither/],
  ["bad idempotency key", ["put", "k", "v", "--idempotency-key", " "], 64, /no control characters, and no blanks/],
  ["bad time to live", ["touch", "k", "soon"], 64, /<seconds> is "soon"/],
  ["bad URL", ["get", "k", "--endpoints", "ftp://x"], 64, /"ftp:\/\/x" is not a URL/],
  ["certificate without key", ["get", "k", "--cert", "c"], 64, /--cert and --key/],
  ["file that is not there", ["get", "k", "--cacert", "/nowhere"], 64, /Cannot read the file/],
  ["no such key", ["get", "k"], 1, /key not found/],
  ["nobody there", ["get", "k", "--endpoints", "http://127.0.0.1:1"], 69, /does not answer/],
])("%s: exit status and one clear line", async (_what, argv, status, line) => {
  const result = await run(argv);
  expect(result.status).toBe(status);
  expect(result.err).toMatch(line);
  expect(result.err).not.toContain(".ts:");
  expect(result.out).toBe("");
});

test("a write whose fate is unknown has its own status and says what to do", async () => {
  doors.node.situation.nextWriteFails = new ConcordError("CONCORD_OUTCOME_UNKNOWN");
  const result = await run(["put", "k", "v"]);
  expect(result).toMatchObject({ status: 76, err: expect.stringMatching(/^Unknown: .*read before/) });
});

test("help and version", async () => {
  expect(await run(["--version"])).toMatchObject({ status: 0, out: "1.2.3\n" });
  expect((await run(["--help"])).out).toContain("snapshot");
});
