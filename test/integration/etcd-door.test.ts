import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConcordError, ERROR_TABLE } from "../../node/client/errors.ts";
import { etcdClient, openDoors, type EtcdTestClient, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;
let etcd: EtcdTestClient;
const bytes = (text: string): Buffer => Buffer.from(text);

beforeEach(async () => {
  doors = await openDoors();
  etcd = etcdClient(`127.0.0.1:${doors.port}`);
});

afterEach(async () => {
  etcd.close();
  await doors.close();
});

const put = (key: string, value: string) => etcd.call("KV", "Put", { key: bytes(key), value: bytes(value) });
const text = (value: Buffer | undefined): string | undefined => value?.toString();

describe("KV", () => {
  test("a write and a read carry the header etcd's clients rely on", async () => {
    const written = await put("k", "v");
    expect(written.header).toEqual({
      cluster_id: BigInt("0xc000000000000001").toString(),
      member_id: "161",
      revision: "2",
      raft_term: "2",
    });
    const { kvs, count, more, header } = await etcd.call("KV", "Range", { key: bytes("k") });
    expect(kvs).toHaveLength(1);
    expect(kvs[0]).toMatchObject({ create_revision: "2", mod_revision: "2", version: "1", lease: "0" });
    expect(text(kvs[0]?.value)).toBe("v");
    expect([count, more, header.revision]).toEqual(["1", false, "2"]);
  });

  test("put returns what it replaced, delete what it removed, when asked", async () => {
    await put("k", "1");
    const second = await etcd.call("KV", "Put", { key: bytes("k"), value: bytes("2"), prev_kv: true });
    expect(text(second.prev_kv?.value)).toBe("1");
    const removed = await etcd.call("KV", "DeleteRange", { key: bytes("a"), range_end: bytes("z"), prev_kv: true });
    expect(removed.deleted).toBe("1");
    expect(text(removed.prev_kvs[0]?.value)).toBe("2");
  });

  test("sorting comes before the limit, count ignores both, and more tells of the rest", async () => {
    for (const [key, value] of [
      ["a", "3"],
      ["b", "1"],
      ["c", "2"],
    ] as const)
      await put(key, value);
    const found = await etcd.call("KV", "Range", {
      key: bytes("a"),
      range_end: bytes("z"),
      limit: 2,
      sort_target: "VALUE",
      sort_order: "DESCEND",
    });
    expect(found.kvs.map((row) => text(row.key))).toEqual(["a", "c"]);
    expect([found.count, found.more]).toEqual(["3", true]);
  });

  test("a txn answers with the replies of the branch it took, nested ones included", async () => {
    const answer = await etcd.call("KV", "Txn", {
      compare: [{ key: bytes("k"), target: "CREATE", result: "EQUAL", create_revision: 0 }],
      success: [
        { request_put: { key: bytes("k"), value: bytes("v") } },
        { request_txn: { success: [{ request_range: { key: bytes("k") } }] } },
      ],
      failure: [],
    });
    expect(answer.succeeded).toBe(true);
    expect(answer.responses.map((each) => each.response)).toEqual(["response_put", "response_txn"]);
    const inner = answer.responses[1]!.response_txn.responses[0]!.response_range;
    expect(text(inner.kvs[0]?.value)).toBe("v");
    expect(inner.header.revision).toBe("2");
  });

  test("a txn that cannot write leaves no trace in the log", async () => {
    const before = doors.node.info().commitIndex;
    await etcd.call("KV", "Txn", { success: [{ request_range: { key: bytes("k") } }] });
    expect(doors.node.info().commitIndex).toBe(before);
  });

  test.each<[string, string, Record<string, unknown>, number, string]>([
    ["empty key", "Range", { key: bytes("") }, 3, "etcdserver: key is not provided"],
    [
      "future revision",
      "Range",
      { key: bytes("k"), revision: 99 },
      11,
      "etcdserver: mvcc: required revision is a future revision",
    ],
    ["unknown sort order", "Range", { key: bytes("k"), sort_order: 9 }, 3, "etcdserver: invalid sort option"],
    ["lease that is not there", "Put", { key: bytes("k"), lease: 7 }, 5, "etcdserver: requested lease not found"],
    [
      "value with ignore_value",
      "Put",
      { key: bytes("k"), value: bytes("v"), ignore_value: true },
      3,
      "etcdserver: value is provided",
    ],
    [
      "compaction in the future",
      "Compact",
      { revision: 99 },
      11,
      "etcdserver: mvcc: required revision is a future revision",
    ],
    ["operation without content", "Txn", { success: [{}] }, 3, "etcdserver: key not found"],
    [
      "key twice in a txn",
      "Txn",
      { success: [{ request_put: { key: bytes("k") } }, { request_put: { key: bytes("k") } }] },
      3,
      "etcdserver: duplicate key given in txn request",
    ],
    [
      "too many operations",
      "Txn",
      { success: Array.from({ length: 129 }, (_, at) => ({ request_put: { key: bytes(`k${at}`) } })) },
      3,
      "etcdserver: too many operations in txn request",
    ],
  ])("%s is refused with etcd's code and text", async (_what, method, request, code, details) => {
    await expect(etcd.call("KV", method, request)).rejects.toMatchObject({ code, details });
    expect(doors.node.info().revision).toBe(1);
  });

  test("numbers up to the ends of 64 bits are compared with", async () => {
    await put("k", "v");
    const largest = "9223372036854775807";
    const compare = [
      { key: bytes("k"), target: "VERSION", result: "LESS", version: largest },
      { key: bytes("k"), target: "MOD", result: "GREATER", mod_revision: "-9223372036854775808" },
      { key: bytes("k"), target: "CREATE", result: "NOT_EQUAL", create_revision: largest },
    ];
    const success = [{ request_put: { key: bytes("k"), value: bytes("w") } }];
    expect(await etcd.call("KV", "Txn", { compare, success })).toMatchObject({ succeeded: true });
    await expect(etcd.call("KV", "Compact", { revision: largest })).rejects.toMatchObject({
      code: 11,
      details: "etcdserver: mvcc: required revision is a future revision",
    });
  });

  test("a compacted revision is refused, the compacted one itself is not", async () => {
    await put("k", "1");
    await put("k", "2");
    await put("k", "3");
    await etcd.call("KV", "Compact", { revision: 3 });
    await expect(etcd.call("KV", "Range", { key: bytes("k"), revision: 2 })).rejects.toMatchObject({
      code: 11,
      details: "etcdserver: mvcc: required revision has been compacted",
    });
    const { kvs } = await etcd.call("KV", "Range", { key: bytes("k"), revision: 3 });
    expect(text(kvs[0]?.value)).toBe("2");
  });

  test("a message beyond the limit is refused and the connection goes on", async () => {
    await expect(etcd.call("KV", "Put", { key: bytes("k"), value: Buffer.alloc(2_200_000) })).rejects.toMatchObject({
      code: 8,
    });
    await put("k", "v");
  });

  test("a write whose fate is unknown is Unavailable with etcd's text, and so is one that timed out", async () => {
    doors.node.situation.nextWriteFails = new ConcordError("CONCORD_OUTCOME_UNKNOWN", "a text of our own");
    await expect(put("k", "v")).rejects.toMatchObject({ code: 14, details: "etcdserver: request timed out" });
  });
});

describe("without a leader, and at a learner", () => {
  test("a serializable read holds to the bounds in its metadata", async () => {
    await put("k", "v");
    const read = (metadata: Record<string, string>) =>
      etcd.call("KV", "Range", { key: bytes("k"), serializable: true }, metadata);
    expect(await read({ "concord-min-revision": "2", "concord-max-staleness-ms": "60000" })).toMatchObject({
      count: "1",
    });
    await expect(read({ "concord-min-revision": "99" })).rejects.toMatchObject({
      code: 11,
      details: "etcdserver: mvcc: required revision is a future revision",
    });
    await expect(read({ "concord-max-staleness-ms": "soon" })).rejects.toMatchObject({ code: 3 });
  });

  test("linearizable calls fail, serializable reads work", async () => {
    await put("k", "v");
    doors.node.situation.leaderless = true;
    await expect(put("k", "w")).rejects.toMatchObject({ code: 14, details: "etcdserver: no leader" });
    await expect(etcd.call("KV", "Range", { key: bytes("k") })).rejects.toMatchObject({
      details: "etcdserver: no leader",
    });
    const { kvs } = await etcd.call("KV", "Range", { key: bytes("k"), serializable: true });
    expect(text(kvs[0]?.value)).toBe("v");
    await expect(
      etcd.call("KV", "Range", { key: bytes("k"), serializable: true }, { hasleader: "true" }),
    ).rejects.toMatchObject({ code: 14, details: "etcdserver: no leader" });
  });

  test("a stream with hasleader ends, one without stays", async () => {
    const wants = etcd.watch({ hasleader: "true" });
    const stays = etcd.watch();
    for (const stream of [wants, stays]) {
      stream.send({ create_request: { key: bytes("k") } });
      await stream.next();
    }
    doors.node.situation.leaderless = true;
    expect(await wants.ended).toMatchObject({ code: 14, details: "etcdserver: no leader" });
    doors.node.situation.leaderless = false;
    await put("k", "v");
    expect((await stays.next()).events).toHaveLength(1);
    stays.cancel();
  });

  test("a learner serves serializable reads and status only", async () => {
    doors.node.situation.learner = true;
    const refusal = { code: 14, details: "etcdserver: rpc not supported for learner" };
    await expect(put("k", "v")).rejects.toMatchObject(refusal);
    await expect(etcd.call("KV", "Range", { key: bytes("k") })).rejects.toMatchObject(refusal);
    await expect(etcd.call("Cluster", "MemberList", {})).rejects.toMatchObject(refusal);
    await etcd.call("KV", "Range", { key: bytes("k"), serializable: true });
    expect((await etcd.call("Maintenance", "Status", {})).isLearner).toBe(true);
    expect(await etcd.watch().ended).toMatchObject(refusal);
  });
});

describe("Watch", () => {
  test("created first, then events in order from the start revision, with previous values", async () => {
    await put("k", "1");
    await put("k", "2");
    await etcd.call("KV", "DeleteRange", { key: bytes("k") });
    const stream = etcd.watch();
    stream.send({ create_request: { key: bytes("k"), start_revision: 2, prev_kv: true } });
    expect(await stream.next()).toMatchObject({ watch_id: "0", created: true, canceled: false, events: [] });
    const events: [string, string, string | undefined][] = [];
    while (events.length < 3) {
      for (const event of (await stream.next()).events) {
        events.push([event.type, event.kv.mod_revision, event.prev_kv?.value.toString()]);
      }
    }
    expect(events).toEqual([
      ["PUT", "2", undefined],
      ["PUT", "3", "1"],
      ["DELETE", "4", "2"],
    ]);
    stream.cancel();
  });

  test("many watches on one stream, filters, chosen ids, and nothing after a cancel", async () => {
    const stream = etcd.watch();
    stream.send({ create_request: { key: bytes("a"), range_end: bytes("z"), watch_id: 7, filters: ["NODELETE"] } });
    stream.send({ create_request: { key: bytes("a"), range_end: bytes("z"), filters: ["NOPUT"] } });
    expect([(await stream.next()).watch_id, (await stream.next()).watch_id]).toEqual(["7", "0"]);
    stream.send({ create_request: { key: bytes("x"), watch_id: 7 } });
    expect(await stream.next()).toMatchObject({
      watch_id: "-1",
      created: true,
      canceled: true,
      cancel_reason: "mvcc: duplicate watch ID provided on the WatchStream",
    });
    await put("b", "1");
    expect(await stream.next()).toMatchObject({ watch_id: "7", events: [{ type: "PUT" }] });
    await etcd.call("KV", "DeleteRange", { key: bytes("b") });
    expect(await stream.next()).toMatchObject({ watch_id: "0", events: [{ type: "DELETE" }] });
    stream.send({ cancel_request: { watch_id: 7 } });
    expect(await stream.next()).toMatchObject({ watch_id: "7", canceled: true });
    await put("b", "2");
    await etcd.call("KV", "DeleteRange", { key: bytes("b") });
    expect(await stream.next()).toMatchObject({ watch_id: "0", events: [{ type: "DELETE" }] });
    expect(stream.waiting).toBe(0);
    stream.finish();
    expect(await stream.ended).toMatchObject({ code: 0 });
  });

  test("a compacted start is cancelled with the revision to list from, a negative one is never begun", async () => {
    for (const value of ["1", "2", "3"]) await put("k", value);
    await etcd.call("KV", "Compact", { revision: 3 });
    const stream = etcd.watch();
    stream.send({ create_request: { key: bytes("k"), start_revision: 2 } });
    expect(await stream.next()).toMatchObject({ watch_id: "0", created: true, canceled: false });
    expect(await stream.next()).toMatchObject({ watch_id: "0", canceled: true, compact_revision: "3" });
    stream.send({ create_request: { key: bytes("k"), start_revision: -1 } });
    expect(await stream.next()).toMatchObject({
      watch_id: "-1",
      created: true,
      canceled: true,
      cancel_reason: "etcdserver: mvcc: required revision has been compacted",
    });
    stream.cancel();
  });

  test("a watch from the compacted revision is served, without what was before it", async () => {
    for (const value of ["1", "2"]) await put("k", value);
    await etcd.call("KV", "DeleteRange", { key: bytes("k") });
    await put("k", "3");
    await etcd.call("KV", "Compact", { revision: 4 });
    const stream = etcd.watch();
    stream.send({ create_request: { key: bytes("k"), start_revision: 4, prev_kv: true } });
    expect(await stream.next()).toMatchObject({ watch_id: "0", created: true, canceled: false });
    const { events } = await stream.next();
    expect(events.map((event) => [event.type, event.kv.mod_revision, event.prev_kv])).toEqual([
      ["DELETE", "4", null],
      ["PUT", "5", null],
    ]);
    stream.cancel();
  });

  test("a watch from the future gets nothing earlier, and no progress goes beyond what it was told", async () => {
    const stream = etcd.watch();
    stream.send({ create_request: { key: bytes("k"), start_revision: 4 } });
    await stream.next();
    stream.send({ progress_request: {} });
    await put("k", "2");
    await put("k", "3");
    await put("k", "4");
    let message = await stream.next();
    // The request is looked at at its own time: there is nothing to tell up to the revision before the first wanted one.
    const wasEarly = message.watch_id === "-1";
    if (wasEarly) {
      expect(message).toMatchObject({ header: { revision: "3" }, events: [] });
      message = await stream.next();
    }
    expect(message).toMatchObject({ watch_id: "0", events: [{ kv: { mod_revision: "4" } }] });
    if (wasEarly) stream.send({ progress_request: {} });
    expect(await stream.next()).toMatchObject({ watch_id: "-1", header: { revision: "4" }, events: [] });
    stream.cancel();
  });

  test("progress on request covers all watches; progress by time comes to idle watches that asked", async () => {
    const stream = etcd.watch();
    stream.send({ create_request: { key: bytes("a"), progress_notify: true } });
    stream.send({ create_request: { key: bytes("b") } });
    await stream.next();
    await stream.next();
    await put("elsewhere", "v");
    stream.send({ progress_request: {} });
    expect(await stream.next()).toMatchObject({ watch_id: "-1", header: { revision: "2" } });
    expect(await stream.next()).toMatchObject({ watch_id: "0", header: { revision: "2" }, events: [] });
    stream.cancel();
  });

  test("one revision comes in one response, or in fragments for a client that allows them", async () => {
    await etcd.call("KV", "Txn", {
      success: Array.from({ length: 3 }, (_, at) => ({
        request_put: { key: bytes(`k${at}`), value: Buffer.alloc(600_000) },
      })),
    });
    const small = await openDoors({ node: doors.node, maxRequestBytes: 600_000 });
    const client = etcdClient(`127.0.0.1:${small.port}`);
    const stream = client.watch();
    const range = { key: bytes("k"), range_end: bytes("l"), start_revision: 2 };
    stream.send({ create_request: range });
    await stream.next();
    expect((await stream.next()).events).toHaveLength(3);
    stream.send({ create_request: { ...range, fragment: true } });
    await stream.next();
    const parts = [await stream.next(), await stream.next(), await stream.next()];
    expect(parts.map((part) => [part.fragment, part.events.length])).toEqual([
      [true, 1],
      [true, 1],
      [false, 1],
    ]);
    client.close();
    await small.close();
  });

  test("a client that reads slowly gets everything, in order", async () => {
    const stream = etcd.watch();
    stream.send({ create_request: { key: bytes("k") } });
    await stream.next();
    stream.pause();
    for (let at = 0; at < 40; at += 1) {
      await etcd.call("KV", "Put", { key: bytes("k"), value: Buffer.alloc(200_000) });
    }
    stream.resume();
    const revisions: number[] = [];
    while (revisions.length < 40) {
      for (const event of (await stream.next()).events) revisions.push(Number(event.kv.mod_revision));
    }
    expect(revisions).toEqual(Array.from({ length: 40 }, (_, at) => at + 2));
    stream.cancel();
  });

  test("when the member stops, the stream ends with a status that sends the client elsewhere", async () => {
    const stream = etcd.watch();
    stream.send({ create_request: { key: bytes("k") } });
    await stream.next();
    doors.node.stop();
    expect(await stream.ended).toMatchObject({ code: 14, details: "etcdserver: server stopped" });
  });
});

describe("Cluster, Maintenance, and what is not there", () => {
  test("members and status", async () => {
    const { members } = await etcd.call("Cluster", "MemberList", { linearizable: true });
    expect(members).toEqual([
      {
        ID: "161",
        name: "a",
        peerURLs: ["http://127.0.0.1:2380"],
        clientURLs: ["http://127.0.0.1:2379"],
        isLearner: false,
      },
    ]);
    await put("k", "v");
    const status = await etcd.call("Maintenance", "Status", {});
    expect(status).toMatchObject({
      version: "3.6.0",
      storageVersion: "3.6.0",
      leader: "161",
      raftTerm: "2",
      errors: [],
    });
    expect(Number(status.dbSize)).toBeGreaterThan(0);
  });

  test("the NOSPACE alarm is set, seen and disarmed", async () => {
    await etcd.call("Maintenance", "Alarm", { action: "ACTIVATE", memberID: "161", alarm: "NOSPACE" });
    const get = { action: "GET", memberID: 0, alarm: "NONE" };
    expect((await etcd.call("Maintenance", "Alarm", get)).alarms).toEqual([{ memberID: "161", alarm: "NOSPACE" }]);
    await expect(put("k", "v")).rejects.toMatchObject({
      code: 8,
      details: "etcdserver: mvcc: database space exceeded",
    });
    await etcd.call("Maintenance", "Alarm", { action: "DEACTIVATE", memberID: 0, alarm: "NOSPACE" });
    await put("k", "v");
  });

  test("an empty store has a size: etcdctl divides by it", async () => {
    expect((await etcd.call("Maintenance", "Status", {})).dbSize).toBe("1");
  });

  test("defragmentation is done as soon as it is asked for", async () => {
    expect((await etcd.call("Maintenance", "Defragment", {})).header.member_id).toBe("161");
  });

  test("leadership is moved by the leader alone, to a voter that there is", async () => {
    const move = (targetID: number) => etcd.call("Maintenance", "MoveLeader", { targetID });
    await expect(move(0)).rejects.toMatchObject({ code: 9, details: "etcdserver: bad leader transferee" });
    doors.node.situation.leaderless = true;
    await expect(move(161)).rejects.toMatchObject({ code: 9, details: "etcdserver: not leader" });
  });

  test("every code of the error table has a gRPC status", () => {
    for (const [code, row] of Object.entries(ERROR_TABLE)) {
      expect(row.grpc, code).toBeGreaterThan(0);
      expect(row.grpc, code).toBeLessThanOrEqual(16);
    }
  });
});
