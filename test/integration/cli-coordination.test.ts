import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LeaseClient } from "../../node/client/lease-client.ts";
import { type CommandOptions, runCommand } from "../support/command.ts";
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

const run = (argv: readonly string[], options: CommandOptions = {}) =>
  runCommand(argv, { endpoints: doors.url, ...options });

describe("lease", () => {
  test("grant, ttl, list, keep-alive, revoke", async () => {
    expect((await run(["lease", "grant", "60", "--id", "2a"])).out).toBe("OK, lease 000000000000002a for 60 s\n");
    await run(["put", "k", "v", "--lease", "2a"]);
    expect((await run(["lease", "ttl", "2a", "--keys"])).out).toMatch(/^(59|60) s left of 60 s\nk\n$/);
    expect((await run(["lease", "list"])).out).toBe("000000000000002a\n");
    expect((await run(["lease", "keep-alive", "2a", "--once"])).out).toBe("Renewed for 60 s\n");
    expect((await run(["lease", "revoke", "2a"])).out).toBe("OK, 1 deleted, revision 3\n");
    for (const gone of [
      ["ttl", "2a"],
      ["revoke", "2a"],
      ["keep-alive", "2a"],
    ])
      expect(await run(["lease", ...gone])).toMatchObject({
        status: 1,
        err: expect.stringContaining("CONCORD_LEASE_NOT_FOUND"),
      });
  });

  test("keep-alive goes on until it is told to end, or the lease is gone", async () => {
    await run(["lease", "grant", "2", "--id", "7"]);
    const stop = new AbortController();
    let renewals = 0;
    const onOut = (): void => {
      renewals += 1;
      if (renewals === 3) stop.abort();
    };
    expect(await run(["lease", "keep-alive", "7"], { interrupted: stop.signal, onOut })).toMatchObject({ status: 0 });
    expect(renewals).toBe(3);
    const revoke = (): void => void doors.node.propose({ type: "leaseRevoke", id: 7n });
    expect(await run(["lease", "keep-alive", "7"], { onOut: revoke })).toMatchObject({ status: 1 });
  });
});

describe("lock", () => {
  const script = (text: string): readonly string[] => ["--", "sh", "-c", text];
  const seen = (): string => join(directory, "seen");
  const free = async (): Promise<void> => {
    expect((await run(["get", "jobs", "--prefix", "--count"])).out).toBe("0\n");
    expect((await run(["lease", "list"])).out).toBe("");
  };

  test("the command has the token in its environment, its status is ours, and the lock is free behind it", async () => {
    const text = `echo "$CONCORD_LOCK_KEY $CONCORD_LEASE_ID $CONCORD_FENCING_TOKEN" > ${seen()}; exit 7`;
    expect(await run(["lock", "jobs", ...script(text)])).toMatchObject({ status: 7, err: "" });
    expect(readFileSync(seen(), "utf8")).toMatch(/^jobs\/[0-9a-f]+ [0-9a-f]{16} 2\n$/);
    await free();
    expect(await run(["lock", "jobs", "--", join(directory, "nothing")])).toMatchObject({ status: 127 });
    await free();
  });

  test("it waits for the holder before, with a greater token, or gives up", async () => {
    await using client = new LeaseClient(doors.url);
    const { id } = await client.grant({ ttlSeconds: 60 });
    const before = await client.acquire("jobs", { leaseId: id });
    expect(await run(["lock", "jobs", "--wait", "0", ...script("exit 0")])).toMatchObject({
      status: 65,
      err: expect.stringContaining("CONCORD_LOCK_HELD"),
    });
    expect((await client.list()).leases).toEqual([{ id }]);
    const waiting = run(["lock", "jobs", ...script(`echo $CONCORD_FENCING_TOKEN > ${seen()}`)]);
    await vi.waitFor(async () => expect((await client.list()).leases).toHaveLength(2));
    await client.revoke(id);
    expect(await waiting).toMatchObject({ status: 0 });
    expect(Number(readFileSync(seen(), "utf8"))).toBeGreaterThan(before.fencingToken);
    await free();
  });

  test("without a command it is held until Ctrl-C", async () => {
    const stop = new AbortController();
    const holding = await run(["lock", "jobs"], { interrupted: stop.signal, onOut: () => stop.abort("SIGINT") });
    expect(holding).toMatchObject({ status: 0, out: "Holding jobs, fencing token 2\n" });
    await free();
  });

  test("a signal goes to the command, and while waiting for the lock it ends the wait", async () => {
    const stop = new AbortController();
    const text = `trap 'exit 9' INT; touch ${seen()}; while :; do sleep 0.05; done`;
    const running = run(["lock", "jobs", ...script(text)], { interrupted: stop.signal });
    await vi.waitFor(() => expect(existsSync(seen())).toBe(true), { timeout: 10_000 });
    const impatient = new AbortController();
    const waiting = run(["lock", "jobs", ...script("exit 0")], { interrupted: impatient.signal });
    await vi.waitFor(async () => expect((await run(["lease", "list"])).out.split("\n")).toHaveLength(3));
    impatient.abort("SIGINT");
    expect(await waiting).toMatchObject({ status: 130, err: expect.stringContaining("CONCORD_CANCELLED") });
    stop.abort("SIGINT");
    expect(await running).toMatchObject({ status: 9 });
    await free();
  });

  test("a command whose lock is lost is told to end", async () => {
    const running = run(["lock", "jobs", "--ttl", "2", ...script(`touch ${seen()}; exec sleep 60`)]);
    await vi.waitFor(() => expect(existsSync(seen())).toBe(true), { timeout: 10_000 });
    const [lease] = doors.node.leases();
    await doors.node.propose({ type: "leaseRevoke", id: lease!.id });
    expect(await running).toMatchObject({ status: 1, err: expect.stringContaining("CONCORD_LEASE_NOT_FOUND") });
  });
});

describe("compact and hash", () => {
  const MEMBER = "00000000000000a1";
  const publish = (member: string, name: string, clientUrl: string) =>
    doors.node.propose({ type: "publish", member, name, peerUrls: ["http://127.0.0.1:1"], clientUrls: [clientUrl] });

  test("history goes, and what is compacted already cannot be again", async () => {
    for (const value of ["1", "2", "3"]) await run(["put", "k", value]);
    expect((await run(["compact", "3"])).out).toBe("OK, compacted at revision 3\n");
    expect(await run(["get", "k", "--revision", "2"])).toMatchObject({ status: 65 });
    expect(await run(["compact", "3"])).toMatchObject({
      status: 65,
      err: expect.stringContaining("CONCORD_COMPACTED"),
    });
    expect(await run(["compact", "9"])).toMatchObject({ status: 65 });
  });

  test("members that are equal, that differ, and that do not answer", async () => {
    const other = await openDoors();
    try {
      await publish(MEMBER, "a", doors.url);
      await run(["put", "k", "1"]);
      expect(await run(["hash"])).toMatchObject({
        status: 0,
        out: expect.stringMatching(/All 1 members are equal at revision 2\n$/),
      });
      await doors.node.addLearner({ name: "b", peerUrls: ["http://127.0.0.1:2"] });
      expect(await run(["hash"])).toMatchObject({
        status: 1,
        out: expect.stringMatching(/has not told its client URL yet\nNot every member/),
      });
      await publish("00000000000000b2", "b", other.url);
      await runCommand(["put", "k", "1"], { endpoints: other.url });
      // One that is behind is compared at the revision that it has.
      await run(["put", "k", "2"]);
      expect(await run(["hash"])).toMatchObject({
        status: 0,
        out: expect.stringMatching(/All 2 members are equal at revision 2\n$/),
      });
      await runCommand(["put", "k", "other"], { endpoints: other.url });
      const differ = await run(["hash", "-o", "json"]);
      expect(differ.status).toBe(1);
      expect(JSON.parse(differ.out)).toMatchObject({
        equal: false,
        revision: 3,
        members: [{ name: "a" }, { name: "b" }],
      });
    } finally {
      await other.close();
    }
  });
});
