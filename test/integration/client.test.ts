import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Client, connect, type ConnectOptions, op, when } from "../../node/client/index.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freePort } from "../support/free-port.ts";
import { LocalNode } from "../support/local-node.ts";
import { openDoors, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;
let proxy: FaultProxy;
let client: Client;
const clients: Client[] = [];
const opened: OpenDoors[] = [];

beforeEach(async () => {
  doors = await openDoors({ maxSessionRequests: 20 });
  proxy = await FaultProxy.open(() => doors.port);
  client = await connectTo({ endpoints: [proxy.url] });
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map(async (each) => each.close()));
  await proxy.close();
  await Promise.all([doors, ...opened.splice(0)].map(async (each) => each.close()));
});

async function connectTo(options: ConnectOptions): Promise<Client> {
  const connected = await connect({ timeoutMs: 20_000, ...options });
  clients.push(connected);
  return connected;
}

/** Another member: doors of its own, before the same state. */
async function anotherMember(): Promise<OpenDoors> {
  const other = await openDoors({ node: doors.node });
  opened.push(other);
  return other;
}

async function applied(revision: number, at = doors): Promise<void> {
  while (at.node.machine.revision < revision) await new Promise((resolve) => setImmediate(resolve));
}

describe("a client", () => {
  test("reads what it wrote, and says what an answer is worth", async () => {
    const { revision } = await client.put("a", "1", { contentType: "text/plain" });
    expect(await client.read("a")).toMatchObject({ key: "a", modRevision: revision, contentType: "text/plain" });
    expect((await client.get("a"))?.text()).toBe("1");
    await client.put("b", "2");
    const page = await client.page({ prefix: "" }, { limit: 1, consistency: "leader" });
    expect(page).toMatchObject({ count: 2, more: true, revision: 3, consistency: "leader", term: 2 });
    expect(
      (await client.list({ prefix: "" }, { sortBy: "create", sortOrder: "descend", keysOnly: true }))[0]?.key,
    ).toBe("b");
    expect(await client.delete("a")).toEqual({ revision: 4, deleted: 1 });
    expect((await client.history("a")).changes.map(({ type }) => type)).toEqual(["delete", "put"]);
    const taken = await client.txn({
      if: [when.missing("l")],
      then: [op.put("l", "me")],
      else: [op.get({ key: "l" })],
    });
    expect(taken).toMatchObject({ succeeded: true, revision: 5 });
    expect(await client.touch("nothing", 1000)).toBe(false);
    expect(await client.status()).toMatchObject({ role: "leader", revision: 5 });
    await client.compact(5);
    await expect(client.list({ prefix: "" }, { revision: 2 })).rejects.toMatchObject({
      code: "CONCORD_COMPACTED",
      details: { compactRevision: 5 },
    });
  });

  test("sends as many requests as it is asked to, beyond what a session may have at a time", async () => {
    const done = await Promise.all(Array.from({ length: 300 }, (_, at) => client.put(`k${at % 7}`, String(at))));
    expect(done.map(({ revision }) => revision)).toEqual(Array.from({ length: 300 }, (_, at) => at + 2));
  });

  test("refuses what has no form, and the rest goes on", async () => {
    const refused = client.put("k", new Uint8Array(3_000_000));
    const good = client.put("k", "v");
    await expect(refused).rejects.toMatchObject({ code: "CONCORD_REQUEST_TOO_LARGE" });
    await expect(good).resolves.toEqual({ revision: 2 });
    await expect(client.list({ key: "k" }, { limit: -1 })).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
    await expect(client.put("", "v")).rejects.toMatchObject({ code: "CONCORD_KEY_EMPTY" });
    await expect(client.put("k", "v", { ttlMs: 1.5 })).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
  });

  test("after its end refuses what comes, and ends what runs", async () => {
    const watch = client.watch({ key: "k" });
    const pending = watch.next();
    await watch.started;
    await client.close();
    expect(await pending).toMatchObject({ done: true });
    await expect(client.put("k", "v")).rejects.toMatchObject({ code: "CONCORD_STOPPED" });
  });
});

describe("finding a member", () => {
  test("goes on to the next one where nobody listens", async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const found = await connectTo({ endpoints: [nobody, nobody, doors.url] });
    expect(await found.put("a", "1")).toEqual({ revision: 2 });
  });

  test("says why there is none", async () => {
    const port = await freePort();
    await expect(connect({ endpoints: [`http://127.0.0.1:${port}`] })).rejects.toMatchObject({
      code: "CONCORD_UNREACHABLE",
      message: expect.stringContaining(`http://127.0.0.1:${port} does not answer: connect ECONNREFUSED`) as string,
    });
    await expect(connect({ endpoints: [] })).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
    await expect(connect({ endpoints: ["ftp://x"] })).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
    await expect(connect({ endpoints: [doors.metricsUrl] })).rejects.toMatchObject({ code: "CONCORD_NOT_FOUND" });
  });

  test("never goes from one cluster to another", async () => {
    const stranger = await openDoors({ node: new LocalNode({ clusterId: "c000000000000002" }) });
    opened.push(stranger);
    const target = { port: doors.port };
    const turncoat = await FaultProxy.open(() => target.port);
    const loyal = await connectTo({ endpoints: [turncoat.url] });
    await loyal.put("a", "1");
    target.port = stranger.port;
    turncoat.cut();
    await expect(loyal.read("a")).rejects.toMatchObject({ code: "CONCORD_CLUSTER_MISMATCH" });
    await turncoat.close();
  });

  test("a member that stops hands over to another one without a request lost", async () => {
    const other = await anotherMember();
    const both = await connectTo({ endpoints: [proxy.url, other.url] });
    const writes = Array.from({ length: 50 }, (_, at) => both.put("k", String(at)));
    proxy.cut();
    expect(await Promise.all(writes)).toHaveLength(50);
    expect(doors.node.machine.revision).toBe(51);
  });
});

describe("the outcome of a write", () => {
  test("whose answer was lost is found out, and the write done once", async () => {
    proxy.answersToPass = 0;
    const write = client.put("a", "1");
    await applied(2);
    proxy.answersToPass = Infinity;
    proxy.cut();
    expect(await write).toEqual({ revision: 2 });
    expect(doors.node.machine.revision).toBe(2);
    const idempotencyKey = Buffer.from("mine");
    await client.put("a", "2", { idempotencyKey });
    expect(await client.writeRevision(idempotencyKey)).toBe(3);
  });

  test("is unknown when there was no room for an idempotency key and the answer was lost", async () => {
    const full = await openDoors({ idempotency: { ttlMs: 86_400_000, budgetBytes: 0 } });
    opened.push(full);
    const between = await FaultProxy.open(() => full.port);
    const writer = await connectTo({ endpoints: [between.url] });
    expect(await writer.put("a", "1")).toEqual({ revision: 2 });
    // Without room for keys every first attempt is refused: that answer comes, the one to the second attempt does not.
    between.answersToPass = 1;
    const write = writer.put("a", "2");
    const outcome = expect(write).rejects.toMatchObject({ code: "CONCORD_OUTCOME_UNKNOWN", outcome: "unknown" });
    await applied(3, full);
    between.cut();
    await outcome;
    await between.close();
  });

  test("is unknown when nobody answers in time, and failed when it was never sent", async () => {
    proxy.answersToPass = 0;
    await expect(client.put("a", "1", { timeoutMs: 200 })).rejects.toMatchObject({ code: "CONCORD_OUTCOME_UNKNOWN" });
    await expect(client.read("a", { timeoutMs: 200 })).rejects.toMatchObject({ code: "CONCORD_TIMEOUT" });
    const stop = new AbortController();
    const aborted = client.put("a", "2", { signal: stop.signal });
    const read = client.read("a", { signal: stop.signal });
    setImmediate(() => stop.abort());
    await expect(aborted).rejects.toMatchObject({ code: "CONCORD_OUTCOME_UNKNOWN" });
    await expect(read).rejects.toMatchObject({ code: "CONCORD_CANCELLED" });
    await expect(client.put("a", "3", { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "CONCORD_CANCELLED",
      outcome: "failed",
    });
    await proxy.close();
    await expect(client.read("a", { timeoutMs: 300 })).rejects.toMatchObject({ code: "CONCORD_UNREACHABLE" });
    await expect(client.put("a", "4", { timeoutMs: 500 })).rejects.toMatchObject({
      code: "CONCORD_UNREACHABLE",
      outcome: "failed",
    });
    proxy = await FaultProxy.open(() => doors.port);
  });

  test("waits for a leader, and fails when there is none in time", async () => {
    doors.node.situation.leaderless = true;
    // The time may also end while an attempt is on its way.
    await expect(client.put("a", "1", { timeoutMs: 300 })).rejects.toMatchObject({
      code: expect.stringMatching(/^CONCORD_(NO_LEADER|OUTCOME_UNKNOWN)$/) as string,
    });
    const write = client.put("a", "1");
    doors.node.situation.leaderless = false;
    expect(await write).toEqual({ revision: 2 });
  });
});

describe("a watch", () => {
  const valuesOf = async (watch: AsyncIterable<{ readonly revision: number }>, last: number): Promise<number[]> => {
    const seen: number[] = [];
    for await (const { revision } of watch) {
      seen.push(revision);
      if (revision >= last) break;
    }
    return seen;
  };
  const from = (first: number, last: number): number[] =>
    Array.from({ length: last - first + 1 }, (_, at) => first + at);

  test("outlives its connections without a gap and without a change twice", async () => {
    const writer = await connectTo({ endpoints: [doors.url] });
    const watch = client.watch({ prefix: "k" });
    await watch.started;
    const seen = valuesOf(watch, 201);
    for (let at = 0; at < 200; at += 1) {
      await writer.put("k", String(at));
      if (at % 23 === 0) proxy.cut();
    }
    expect(await seen).toEqual(from(2, 201));
    expect(proxy.connections).toBeGreaterThan(2);
  });

  test("begins before what the program does next", async () => {
    const watch = client.watch({ key: "k" });
    const { revision } = await client.put("k", "1");
    expect(await watch.next()).toMatchObject({ value: { revision } });
    expect(await watch.started).toBe(2);
    await watch.return?.();
  });

  test("of a program that is slow keeps a bounded queue, and misses nothing", async () => {
    const watch = client.watch({ key: "k" });
    await watch.started;
    const value = new Uint8Array(500_000);
    for (let at = 0; at < 40; at += 1) await client.put("k", value);
    expect(await valuesOf(watch, 41)).toEqual(from(2, 41));
  });

  test("tells of puts or deletes alone, and of what was there before", async () => {
    const deletes = client.watch({ key: "k" }, { only: "delete", previous: true });
    const puts = client.watch({ key: "k" }, { only: "put" });
    await client.put("k", "1");
    await client.delete("k");
    await client.put("k", "2");
    expect(await deletes.next()).toMatchObject({
      value: { type: "delete", revision: 3, previous: { modRevision: 2 } },
    });
    expect(await valuesOf(puts, 4)).toEqual([2, 4]);
    await deletes.return?.();
  });

  test("says when compaction overtook it, and ends with its signal", async () => {
    await client.put("k", "1");
    await client.put("k", "2");
    await client.compact(3);
    await expect(client.watch({ key: "k" }, { fromRevision: 2 }).next()).rejects.toMatchObject({
      code: "CONCORD_COMPACTED",
      details: { compactRevision: 3 },
    });
    const stop = new AbortController();
    const watch = client.watch({ key: "k" }, { signal: stop.signal });
    const pending = watch.next();
    stop.abort();
    expect(await pending).toMatchObject({ done: true });
    expect(await client.watch({ key: "k" }, { signal: AbortSignal.abort() }).next()).toMatchObject({ done: true });
  });

  test("of a member that stops goes on at another one", async () => {
    const other = await anotherMember();
    const both = await connectTo({ endpoints: [doors.url, other.url] });
    const watch = both.watch({ key: "k" });
    await watch.started;
    await both.put("k", "1");
    doors.node.stop();
    await both.put("k", "2");
    expect(await valuesOf(watch, 3)).toEqual([2, 3]);
  });
});

describe("leases and locks", () => {
  test("a lease takes its keys along", async () => {
    const lease = await client.lease(60);
    await client.put("a", "1", { lease: lease.id });
    expect((await client.read("a"))?.lease).toBe(lease.id);
    expect(await lease.timeToLive({ keys: true })).toMatchObject({ grantedSeconds: 60, keys: [Uint8Array.of(97)] });
    await lease.renew();
    expect(await client.leases()).toEqual([lease.id]);
    expect(await lease.revoke()).toBe(1);
    expect(await client.read("a")).toBeUndefined();
    await expect(lease.renew()).rejects.toMatchObject({ code: "CONCORD_LEASE_NOT_FOUND" });
    expect(await lease.timeToLive()).toBeUndefined();
    await lease[Symbol.asyncDispose]();
    await expect(client.lease(60, { id: 7n }).then(async () => client.lease(60, { id: 7n }))).rejects.toMatchObject({
      code: "CONCORD_LEASE_EXISTS",
    });
  });

  test("a lease that is kept alive tells when it is gone", async () => {
    const lease = await client.lease(2);
    const stop = new AbortController();
    const lost = lease.keepAlive(stop.signal);
    await client.leaseOf(lease.id, 2).revoke();
    await expect(lost).rejects.toMatchObject({ code: "CONCORD_LEASE_NOT_FOUND" });
    const other = await client.lease(60);
    const kept = other.keepAlive(stop.signal);
    stop.abort();
    await kept;
  });

  test("a lock has one holder at a time, over REST too", async () => {
    const first = await client.lock("jobs");
    await expect(client.lock("jobs")).rejects.toMatchObject({ code: "CONCORD_LOCK_HELD" });
    const rest = await fetch(`${doors.url}/api/v1/locks/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ttlSeconds: 10 }),
    });
    expect(rest.status).toBe(409);
    const waiting = client.lock("jobs", { waitMs: 20_000 });
    await first.release();
    const second = await waiting;
    expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
    const stop = new AbortController();
    const given = client.lock("jobs", { waitMs: 20_000, signal: stop.signal });
    stop.abort();
    await expect(given).rejects.toMatchObject({ code: "CONCORD_CANCELLED" });
    await second[Symbol.asyncDispose]();
    const lease = await client.lease(60);
    {
      await using lock = await client.lock("jobs", { lease });
      expect(lock.lease.id).toBe(lease.id);
    }
    expect(await lease.timeToLive({ keys: true })).toMatchObject({ keys: [] });
  });
});
