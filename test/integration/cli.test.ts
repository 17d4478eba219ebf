import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runProgram } from "../../node/cli/program.ts";
import { ConcordError } from "../../node/client/errors.ts";
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

/** Runs one command line as the executable does. */
async function run(
  argv: readonly string[],
  options: { readonly stdin?: Uint8Array; readonly endpoints?: string } = {},
): Promise<{ readonly status: number; readonly out: string; readonly err: string }> {
  let out = "";
  let err = "";
  const status = await runProgram(argv, {
    version: "1.2.3",
    registrations: [],
    io: {
      env: { CONCORD_ENDPOINTS: options.endpoints ?? doors.url },
      stdout: (text) => void (out += text),
      stderr: (text) => void (err += text),
      readStdin: () => Promise.resolve(options.stdin ?? new Uint8Array(0)),
    },
  });
  return { status, out, err };
}

test("put, get, get --prefix, del", async () => {
  expect(await run(["put", "a/1", "one"])).toEqual({ status: 0, out: "OK, revision 2\n", err: "" });
  await run(["put", "a/2"], { stdin: Uint8Array.of(0x1b, 0x5b) });
  expect((await run(["get", "a/1"])).out).toBe("one\n");
  // A value that a terminal would obey is not printed as it is.
  expect((await run(["get", "a/", "--prefix"])).out).toBe("a/1\none\na/2\nbase64:G1s=\n");
  expect((await run(["get", "a/", "--prefix", "--limit", "1", "--keys-only"])).out).toBe("a/1\n");
  expect(JSON.parse((await run(["get", "a/1", "-o", "json"])).out)).toMatchObject({ valueText: "one", modRevision: 2 });
  expect((await run(["del", "a/1"])).out).toBe("1 deleted, revision 4\n");
  expect((await run(["get", "a/1", "--revision", "3"])).out).toBe("one\n");
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

test("transfer by name; a name that nobody has", async () => {
  expect((await run(["transfer", "a"])).out).toBe("Leader is 00000000000000a1\n");
  expect(await run(["transfer", "z"])).toMatchObject({ status: 1, err: expect.stringContaining('"z" is neither') });
});

test("a snapshot is whole, private, and never half there", async () => {
  const file = join(directory, "snap");
  const { out } = await run(["snapshot", file, "-o", "json"]);
  expect(JSON.parse(out)).toMatchObject({ file, bytes: readFileSync(file).length });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(directory)).toEqual(["snap"]);
  expect((await run(["snapshot", join(directory, "no", "snap")])).status).toBe(74);
});

test.each<[string, readonly string[], number, RegExp]>([
  ["unknown command", ["frobnicate"], 64, /unknown command/],
  ["unknown flag", ["get", "k", "--frobnicate"], 64, /unknown option/],
  ["missing argument", ["get"], 64, /missing required argument/],
  ["bad number", ["get", "k", "--revision", "x"], 64, /--revision is "x", expected a whole number/],
  ["bad level", ["get", "k", "--consistency", "leaderish"], 64, /expected strong or eventual/],
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
  expect(result).toMatchObject({ status: 76, err: expect.stringContaining("read before trying again") });
});

test("help and version", async () => {
  expect(await run(["--version"])).toMatchObject({ status: 0, out: "1.2.3\n" });
  expect((await run(["--help"])).out).toContain("snapshot");
});
