import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type WebSocket } from "ws";
import { ConcordError } from "../../node/client/errors.ts";
import { encodeClientMessages } from "../../node/client/wire/requests.ts";
import { type SessionRequest } from "../../node/client/wire/types.ts";
import { openDoors, rawExchange, type OpenDoors } from "../support/open-doors.ts";
import { get, put, SessionTester, utf8, watchOf } from "../support/session-tester.ts";

let doors: OpenDoors;
let session: SessionTester;
const others: SessionTester[] = [];

beforeEach(async () => {
  doors = await openDoors({ maxSessionRequests: 50, maxSessionWatches: 3, maxSessions: 3 });
  session = await SessionTester.connect(doors.url);
});

afterEach(async () => {
  await Promise.all([session, ...others.splice(0)].map(async (each) => each.close()));
  await doors.close();
});

async function another(options?: Parameters<typeof SessionTester.connect>[1]): Promise<SessionTester> {
  const opened = await SessionTester.connect(doors.url, options);
  others.push(opened);
  return opened;
}

const NO_BYTES = new Uint8Array(0);
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const metric = async (name: string): Promise<number> => {
  const body = await (await fetch(`${doors.metricsUrl}/metrics`)).text();
  const line = body.split("\n").find((each) => each.startsWith(name));
  return Number(line?.slice(line.lastIndexOf(" ")));
};

describe("requests", () => {
  test("many in one frame, begun in their order, are answered under their ids", async () => {
    session.send(
      { type: "request", id: 900, request: put("a", "1"), settings: {} },
      { type: "request", id: 7, request: put("a", "2", { previous: true }), settings: {} },
      { type: "request", id: 8, request: get("a"), settings: { level: "leader" } },
    );
    expect(await session.take(900, "answer")).toMatchObject({ revision: 2, replayed: false });
    const second = await session.take(7, "answer");
    expect(second).toMatchObject({ revision: 3, reply: { type: "put", previous: { modRevision: 2 } } });
    const read = await session.take(8, "answer");
    expect(read).toMatchObject({ revision: 3, freshness: { level: "leader", term: 2, stalenessMs: 0 } });
    expect(read.reply).toMatchObject({ type: "range", count: 1, more: false, rows: [{ version: 2 }] });
  });

  test("every kind of request has its answer", async () => {
    const compare = { key: utf8("k"), rangeEnd: NO_BYTES, target: "version", result: "equal", operand: 0 } as const;
    const txn: SessionRequest = {
      type: "txn",
      compares: [compare],
      success: [put("k", "v"), { type: "txn", compares: [], success: [get("k")], failure: [] }],
      failure: [],
    };
    expect((await session.answer(txn)).reply).toMatchObject({
      succeeded: true,
      replies: [{ type: "put" }, { type: "txn", replies: [{ type: "range", rows: [{ value: utf8("v") }] }] }],
    });
    expect((await session.answer({ type: "touch", key: utf8("k"), ttlMs: 5000 })).reply).toMatchObject({
      touched: true,
    });
    const remove = { type: "delete", key: utf8("k"), rangeEnd: NO_BYTES, previous: true } as const;
    expect((await session.answer(remove)).reply).toMatchObject({ deleted: 1, previous: [{ value: utf8("v") }] });
    const { reply: granted } = await session.answer({ type: "leaseGrant", id: 0n, ttlSeconds: 60 });
    const { id } = granted as { readonly id: bigint };
    expect(id).not.toBe(0n);
    await session.answer(put("leased", "v", { lease: id }));
    expect((await session.answer({ type: "leaseKeepAlive", id })).reply).toMatchObject({ ttlSeconds: 60 });
    expect((await session.answer({ type: "leaseTimeToLive", id, keys: true })).reply).toMatchObject({
      grantedSeconds: 60,
      keys: [utf8("leased")],
    });
    expect((await session.answer({ type: "leases" })).reply).toMatchObject({ ids: [id] });
    const lock = { type: "lock", name: "l", lease: id, ttlSeconds: 0, waitMs: 0 } as const;
    const { reply: held } = await session.answer(lock);
    expect(held).toMatchObject({ type: "lock", lease: id });
    expect((await session.answer({ type: "unlock", name: "l", lease: id })).reply).toMatchObject({ deleted: 1 });
    expect((await session.answer({ type: "leaseRevoke", id })).reply).toMatchObject({ deleted: 1 });
    expect((await session.answer({ type: "leaseKeepAlive", id })).reply).toMatchObject({ ttlSeconds: 0 });
    const gone = await session.answer({ type: "leaseTimeToLive", id, keys: false });
    expect(gone.reply).toMatchObject({ ttlSeconds: undefined });
    const { reply: history } = await session.answer({
      type: "history",
      key: utf8("k"),
      fromRevision: 0,
      toRevision: 0,
      limit: 1,
    });
    expect(history).toMatchObject({ more: true, rows: [{ version: 0 }] });
    const { revision } = await session.answer(put("x", "1", { contentType: "text/plain" }));
    expect((await session.answer(get("x"))).reply).toMatchObject({ rows: [{ contentType: "text/plain" }] });
    await session.answer({ type: "compact", revision });
    expect((await session.answer({ type: "status" })).reply).toMatchObject({
      status: { role: "leader", state: "running", compactRevision: revision, clusterId: "c000000000000001" },
    });
    expect(await session.refusal(get("x", { revision: revision - 1 }))).toMatchObject({
      code: "CONCORD_COMPACTED",
      compactRevision: revision,
      revision,
    });
  });

  test("a write with an idempotency key is done once, over REST and here", async () => {
    const settings = { idempotencyKey: utf8("once") };
    const first = await session.answer(put("a", "1"), settings);
    expect(await session.answer(put("a", "1"), settings)).toMatchObject({ revision: first.revision, replayed: true });
    const headers = { "idempotency-key": "once" };
    const rest = await fetch(`${doors.url}/api/v1/kv/a`, { method: "PUT", body: Buffer.from("1"), headers });
    expect(await rest.json()).toEqual({ revision: first.revision });
    expect(rest.headers.get("concord-replayed")).toBe("true");
    expect(await session.refusal(put("a", "2"), settings)).toMatchObject({ code: "CONCORD_IDEMPOTENCY_CONFLICT" });
    const known = await session.answer({ type: "writeRevision", key: utf8("once") });
    expect(known.reply).toMatchObject({ writtenAt: first.revision });
    const none = await session.answer({ type: "writeRevision", key: utf8("never") });
    expect(none.reply).toMatchObject({ writtenAt: undefined });
  });

  test("the outcome of a write that nobody knows is said to be unknown", async () => {
    doors.node.situation.nextWriteFails = new ConcordError("CONCORD_OUTCOME_UNKNOWN");
    expect(await session.refusal(put("a", "1"))).toMatchObject({ code: "CONCORD_OUTCOME_UNKNOWN" });
    doors.node.situation.leaderless = true;
    expect(await session.refusal(get("a"))).toMatchObject({ code: "CONCORD_NO_LEADER" });
    expect((await session.answer(get("a"), { level: "eventual" })).freshness?.level).toBe("eventual");
  });

  test.each<[string, SessionRequest, object, string, string]>([
    ["an empty key", put("", "v"), {}, "CONCORD_KEY_EMPTY", "key is not provided"],
    ["a long key", put("k".repeat(1025), "v"), {}, "CONCORD_INVALID_ARGUMENT", "key has 1025 bytes, at most 1024"],
    ["a key long in bytes", put("😀".repeat(257), "v"), {}, "CONCORD_INVALID_ARGUMENT", "key has 1028 bytes"],
    ["a large value", put("k", new Uint8Array(1_572_865)), {}, "CONCORD_REQUEST_TOO_LARGE", "request is too large"],
    ["a row that ends at once", put("k", "v", { ttlMs: 0 }), {}, "CONCORD_INVALID_ARGUMENT", "ttlMs is 0"],
    ["a row that outlives us", put("k", "v", { ttlMs: 2 ** 53 - 1 }), {}, "CONCORD_TTL_TOO_LARGE", "too large"],
    [
      "a lease of no time",
      { type: "leaseGrant", id: 0n, ttlSeconds: 0 },
      {},
      "CONCORD_INVALID_ARGUMENT",
      "expected at least 1",
    ],
    ["a lease that is not there", put("k", "v", { lease: 77n }), {}, "CONCORD_LEASE_NOT_FOUND", "lease not found"],
    ["a future revision", get("k", { revision: 2 ** 40 }), {}, "CONCORD_FUTURE_REVISION", "future revision"],
    ["a future minimum", get("k"), { level: "eventual", minRevision: 99 }, "CONCORD_FUTURE_REVISION", "future"],
    [
      "an idempotency key of nothing",
      put("k", "v"),
      { idempotencyKey: NO_BYTES },
      "CONCORD_INVALID_ARGUMENT",
      "0 bytes",
    ],
    ["an endless wait", get("k"), { timeoutMs: 60_001 }, "CONCORD_INVALID_ARGUMENT", "expected 1 to 60000"],
    ["a wait of nothing", get("k"), { timeoutMs: 0 }, "CONCORD_INVALID_ARGUMENT", "timeoutMs is 0"],
    [
      "a lock on nothing",
      { type: "lock", name: "l", lease: 0n, ttlSeconds: 0, waitMs: 0 },
      {},
      "CONCORD_INVALID_ARGUMENT",
      "either a lease or",
    ],
    [
      "a lock without a name",
      { type: "lock", name: "", lease: 1n, ttlSeconds: 0, waitMs: 0 },
      {},
      "CONCORD_KEY_EMPTY",
      "name of the lock",
    ],
  ])("%s is refused", async (_what, request, settings, code, sentence) => {
    const refusal = await session.refusal(request, settings);
    expect(refusal).toMatchObject({ code, message: expect.stringContaining(sentence) as string });
    expect(doors.node.machine.revision).toBe(1);
  });

  test("of 500 operations in a txn all happen, of 501 none", async () => {
    const puts = (count: number) => Array.from({ length: count }, (_, at) => put(`k${at}`, "v"));
    const txn = (count: number) => ({ type: "txn", compares: [], success: puts(count), failure: [] }) as const;
    expect(await session.refusal(txn(501))).toMatchObject({ code: "CONCORD_TOO_MANY_OPERATIONS" });
    expect(await session.answer(txn(500))).toMatchObject({ revision: 2 });
    const duplicate = { type: "txn", compares: [], success: [put("d", "1"), put("d", "2")], failure: [] } as const;
    expect(await session.refusal(duplicate)).toMatchObject({ code: "CONCORD_DUPLICATE_KEY" });
  });

  test("names of JavaScript are ordinary keys", async () => {
    for (const key of ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "a\0b", "\n", "é"]) {
      await session.answer(put(key, key));
      const { reply } = await session.answer(get(key));
      expect(reply).toMatchObject({ rows: [{ key: utf8(key), value: utf8(key) }] });
    }
    const bytes = Uint8Array.of(0xff, 0xc0, 0x80, 0);
    await session.answer({ ...put("", "v"), key: bytes });
    expect((await session.answer({ ...get(""), key: bytes })).reply).toMatchObject({ rows: [{ key: bytes }] });
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

describe("watches", () => {
  test("tell of every change from where they began, in order, with what was there before", async () => {
    await session.answer(put("k", "1"));
    const id = await session.watch("k", { startRevision: 2, previous: true });
    await session.answer(put("k", "2"));
    await session.answer({ type: "delete", key: utf8("k"), rangeEnd: NO_BYTES, previous: false });
    const seen: string[] = [];
    while (seen.length < 3) {
      const { changes, fragment } = await session.take(id, "changes");
      expect(fragment).toBe(false);
      for (const { type, row, previous } of changes)
        seen.push(`${row.modRevision} ${type} ${previous === undefined ? "-" : text(previous.value)}`);
    }
    expect(seen).toEqual(["2 put -", "3 put 1", "4 delete 2"]);
    session.send({ type: "cancel", id });
    expect(await session.take(id, "ended")).toMatchObject({ reason: "cancelled", nextRevision: 5 });
  });

  test("filter, and say how far they have come", async () => {
    const id = await session.watch("k", { rangeEnd: utf8("l"), filterPut: true });
    await session.answer(put("k", "1"));
    session.send({ type: "progress", id });
    expect(await session.take(id, "progress")).toMatchObject({ revision: 2 });
    await session.answer({ type: "delete", key: utf8("k"), rangeEnd: NO_BYTES, previous: false });
    expect(await session.take(id, "changes")).toMatchObject({ revision: 3, changes: [{ type: "delete" }] });
    // Without being asked, from time to time.
    expect(await session.take(id, "progress")).toMatchObject({ revision: 3 });
  });

  test("from the future promise nothing before it", async () => {
    const id = await session.watch("k", { startRevision: 4 });
    session.send({ type: "progress", id });
    await session.answer(put("k", "2"));
    await session.answer(put("k", "3"));
    await session.answer(put("k", "4"));
    const { changes } = await session.take(id, "changes");
    expect(changes.map(({ row }) => row.modRevision)).toEqual([4]);
    expect(session.messages.filter((each) => each.type === "progress" && each.revision < 3)).toEqual([]);
  });

  test("below the compaction end with where history begins, and one from there goes on", async () => {
    for (const value of ["1", "2", "3"]) await session.answer(put("k", value));
    await session.answer({ type: "compact", revision: 4 });
    const id = await session.watch("k", { startRevision: 2 });
    expect(await session.take(id, "ended")).toMatchObject({ reason: "compacted", nextRevision: 4 });
    const again = await session.watch("k", { startRevision: 4 });
    expect((await session.take(again, "changes")).changes).toMatchObject([{ row: { modRevision: 4 } }]);
  });

  test("a large revision comes in fragments where that is allowed, else whole", async () => {
    const value = new Uint8Array(400_000);
    const whole = await session.watch("k", { rangeEnd: utf8("l") });
    const parts = await session.watch("k", { rangeEnd: utf8("l"), fragment: true });
    const success = ["k1", "k2", "k3"].map((key) => put(key, value));
    await session.answer({ type: "txn", compares: [], success, failure: [] });
    expect((await session.take(whole, "changes")).changes).toHaveLength(3);
    const fragments = [];
    for (let more = true; more; more = fragments.at(-1)?.fragment === true)
      fragments.push(await session.take(parts, "changes"));
    expect(fragments.map(({ changes, fragment }) => [changes.length, fragment])).toEqual([
      [1, true],
      [1, true],
      [1, false],
    ]);
  });

  test("of a member that stops end with where to go on", async () => {
    const id = await session.watch("k");
    doors.node.stop();
    expect(await session.take(id, "ended")).toMatchObject({ reason: "stopped", nextRevision: 2 });
  });

  test("of a key that is empty or too long are refused", async () => {
    session.send({ type: "watch", id: 50, watch: watchOf("") });
    expect(await session.take(50, "error")).toMatchObject({ code: "CONCORD_KEY_EMPTY" });
    session.send({ type: "watch", id: 51, watch: watchOf("k".repeat(1026)) });
    expect(await session.take(51, "error")).toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
  });
});

describe("locks", () => {
  test("wait for their turn, and a wait can be cancelled", async () => {
    const acquire = { type: "lock", name: "l", lease: 0n, ttlSeconds: 60, waitMs: 60_000 } as const;
    const { reply } = await session.answer(acquire);
    const other = await another();
    other.send({ type: "request", id: 5, request: acquire, settings: {} });
    await other.answer(get("x"));
    other.send({ type: "cancel", id: 5 });
    expect(await other.take(5, "error")).toMatchObject({ code: "CONCORD_CANCELLED" });
    other.send({ type: "request", id: 6, request: acquire, settings: {} });
    await session.answer({ type: "unlock", name: "l", lease: (reply as { readonly lease: bigint }).lease });
    const { reply: second } = await other.take(6, "answer");
    expect((second as { readonly fencingToken: number }).fencingToken).toBeGreaterThan(
      (reply as { readonly fencingToken: number }).fencingToken,
    );
  });
});

describe("limits", () => {
  test("requests beyond what a session may have in flight are refused, the others answered", async () => {
    const frame = Array.from({ length: 53 }, (_, at) => at + 100);
    session.send(...frame.map((id) => ({ type: "request", id, request: get("k"), settings: {} }) as const));
    const answers = await Promise.all(frame.map((id) => session.take(id, "answer", "error")));
    expect(answers.filter(({ type }) => type === "answer")).toHaveLength(50);
    expect(answers.filter(({ type }) => type === "error")).toMatchObject([
      { id: 150, code: "CONCORD_TOO_MANY_REQUESTS" },
      { id: 151 },
      { id: 152 },
    ]);
    expect(await metric('concord_session_limit_hits_total{limit="requests"}')).toBe(3);
  });

  test("a frame of more records than requests and watches there may be ends the session, and does nothing", async () => {
    session.send(
      ...Array.from({ length: 54 }, (_, at) => {
        return { type: "request", id: at + 1, request: put("k", "v"), settings: {} } as const;
      }),
    );
    expect(await session.closed).toEqual({ code: 1002, reason: "The frame has more than 53 records" });
    expect(doors.node.machine.revision).toBe(1);
  });

  test("watches beyond the limit are refused", async () => {
    for (const key of ["a", "b", "c"]) await session.watch(key);
    session.send({ type: "watch", id: 99, watch: watchOf("d") });
    expect(await session.take(99, "error")).toMatchObject({
      code: "CONCORD_TOO_MANY_REQUESTS",
      message: "The session has 3 watches, the most it may have",
    });
    expect(await metric("concord_watches_open")).toBe(3);
  });

  test("sessions beyond the limit are refused before they begin", async () => {
    await another();
    await another();
    await expect(SessionTester.connect(doors.url)).rejects.toThrow("Unexpected server response: 429");
    expect(await metric("concord_sessions_open")).toBe(3);
    expect(await metric('concord_session_limit_hits_total{limit="sessions"}')).toBe(1);
  });

  test("a frame that is too large ends the session with 1009, whether it comes at once or in pieces", async () => {
    session.sendFrame(new Uint8Array(1_572_864 + 524_289));
    expect((await session.closed).code).toBe(1009);
    const other = await another();
    for (let part = 0; part < 3; part += 1) other.socket.send(new Uint8Array(1_000_000), { fin: false });
    expect((await other.closed).code).toBe(1009);
  });

  test("a client that does not read costs a bounded buffer; its watch ends with where to go on", async () => {
    const slow = await openDoors({ maxSessionBufferBytes: 65_536, sessionSlowMs: 50 });
    const reader = await SessionTester.connect(slow.url);
    const writer = await SessionTester.connect(slow.url);
    const id = await reader.watch("k");
    reader.socket.pause();
    const value = new Uint8Array(500_000);
    let last = 0;
    const numbers = async (): Promise<string> => (await fetch(`${slow.metricsUrl}/metrics`)).text();
    // As many as it takes to fill what the kernel holds, and the buffer behind it.
    for (let ended = false; !ended; ended = (await numbers()).includes('limit_hits_total{limit="buffer"} 1'))
      last = (await writer.answer(put("k", value))).revision;
    const buffered = /concord_session_buffered_bytes (\d+)/.exec(await numbers());
    expect(Number(buffered?.[1])).toBeLessThan(4_000_000);
    reader.socket.resume();
    const { nextRevision, reason } = await reader.take(id, "ended");
    expect(reason).toBe("slow");
    const before = reader.messages.flatMap((each) => (each.type === "changes" && each.id === id ? each.changes : []));
    expect(before.at(-1)?.row.modRevision).toBe(nextRevision - 1);
    const again = await reader.watch("k", { startRevision: nextRevision });
    const rest: number[] = [];
    while (rest.at(-1) !== last) {
      const { changes } = await reader.take(again, "changes");
      rest.push(...changes.map(({ row }) => row.modRevision));
    }
    expect(rest).toEqual(Array.from({ length: last - nextRevision + 1 }, (_, at) => nextRevision + at));
    await Promise.all([reader.close(), writer.close()]);
    await slow.close();
  }, 60_000);

  test("a client that answers no ping is gone", async () => {
    const pinging = await openDoors({ sessionPingMs: 30 });
    const deaf = await SessionTester.connect(pinging.url, { autoPong: false });
    expect((await deaf.closed).code).toBe(1006);
    const mute = await SessionTester.connect(pinging.url, { hello: false });
    expect((await mute.closed).code).toBe(1006);
    const alive = await SessionTester.connect(pinging.url);
    for (let pings = 0; pings < 5; pings += 1) await new Promise((resolve) => alive.socket.once("ping", resolve));
    await alive.answer(get("k"));
    await alive.close();
    await pinging.close();
  });
});

describe("frames that are not right", () => {
  const good = encodeClientMessages([{ type: "request", id: 9, request: put("half", "done"), settings: {} }]);
  const bad = (hex: string): Uint8Array => Buffer.concat([good, Buffer.from(hex.replaceAll(" ", ""), "hex")]);

  test.each<[string, Uint8Array, string]>([
    ["cut off", bad("03 01 05"), "The frame ends within field 0 or its length"],
    ["with the id 0", bad("08 00 00"), "A request has the id 0, expected one of its own"],
    ["with an id twice", bad("08 09 00"), "The id 9 is in use already"],
    ["with a second hello", bad("40 00 03 010101"), "A hello comes first, and once"],
    ["empty", new Uint8Array(0), "The frame is empty"],
    ["of random bytes", Uint8Array.of(0xde, 0xad, 0xbe, 0xef), "The frame ends within field 0 or its length"],
  ])("%s, end the session with 1002 and one sentence, and do nothing", async (_what, frame, sentence) => {
    session.sendFrame(frame);
    expect(await session.take(0, "error")).toMatchObject({ code: "CONCORD_INVALID_ARGUMENT", message: sentence });
    expect(await session.closed).toEqual({ code: 1002, reason: sentence });
    expect(doors.node.machine.revision).toBe(1);
  });

  test.each<[string, string, string, string]>([
    ["a field that nobody knows", "02 05 02 3000", "CONCORD_UNIMPLEMENTED", "Field 48 is not known here"],
    ["a kind that nobody knows", "3f 05 00", "CONCORD_UNIMPLEMENTED", "Request of kind 63 is not known here"],
    ["a field twice", "03 05 06 010161 010162", "CONCORD_INVALID_ARGUMENT", "Field 1 is given twice"],
    ["a number beyond 2^53", "06 05 09 010720000000000000", "CONCORD_INVALID_ARGUMENT", "beyond 2^53"],
  ])("%s in a request refuses that request alone", async (_what, hex, code, sentence) => {
    session.sendFrame(bad(hex));
    expect(await session.take(5, "error")).toMatchObject({
      code,
      message: expect.stringContaining(sentence) as string,
    });
    expect(await session.take(9, "answer")).toMatchObject({ revision: 2 });
  });

  test("text is refused with 1003, a session without a hello with 1002, an old version with 1008", async () => {
    session.socket.send("hello");
    expect(await session.closed).toEqual({ code: 1003, reason: "The frame is text, expected binary" });
    const rude = await another({ hello: false });
    rude.sendFrame(good);
    expect((await rude.closed).reason).toBe("The first record of a session is not a hello");
    const old = await another({ hello: false });
    old.send({ type: "hello", id: 0, version: 0 });
    expect(await old.closed).toEqual({ code: 1008, reason: "The hello has version 0, expected at least 1" });
    expect(doors.node.machine.revision).toBe(1);
  });

  test("a newer client is greeted with the version that is spoken here", async () => {
    const newer = await another({ hello: false });
    newer.send({ type: "hello", id: 0, version: 9 }, { type: "request", id: 1, request: get("k"), settings: {} });
    expect(await newer.take(0, "welcome")).toMatchObject({
      version: 1,
      clusterId: "c000000000000001",
      memberId: "00000000000000a1",
      revision: 1,
      limits: { frameBytesMax: 2_097_152, requestsMax: 50, watchesMax: 3 },
    });
    expect(await newer.take(1, "answer")).toMatchObject({ revision: 1 });
  });

  test.each<[string, (socket: WebSocket) => void, number]>([
    ["with reserved bits", (socket) => void socketOf(socket).write(Buffer.from("f28000000000", "hex")), 1002],
    ["without a mask", (socket) => void socketOf(socket).write(Buffer.from("8200", "hex")), 1002],
    ["of text that is no UTF-8", (socket) => socket.send(Buffer.from("ff", "hex"), { binary: false }), 1007],
    ["of a reserved opcode", (socket) => void socketOf(socket).write(Buffer.from("838000000000", "hex")), 1002],
  ])("%s, are what WebSocket itself refuses", async (_what, send, code) => {
    send(session.socket);
    expect((await session.closed).code).toBe(code);
  });
});

/** The connection below a WebSocket, for frames that no library writes. */
function socketOf(socket: WebSocket): { write(bytes: Buffer): boolean } {
  return (socket as unknown as { readonly _socket: { write(bytes: Buffer): boolean } })._socket;
}

describe("the handshake", () => {
  const handshake = (headers: Readonly<Record<string, string>>, path = "/api/v1/session", method = "GET"): string =>
    [
      `${method} ${path} HTTP/1.1`,
      "Host: localhost",
      ...Object.entries({
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "concord.v1",
        ...headers,
      }).map(([name, value]) => `${name}: ${value}`),
      "",
      "",
    ].join("\r\n");

  test.each<[string, string, number, string]>([
    [
      "without the subprotocol",
      handshake({ "Sec-WebSocket-Protocol": "chat" }),
      400,
      "Expected Sec-WebSocket-Protocol concord.v1",
    ],
    [
      "of another WebSocket version",
      handshake({ "Sec-WebSocket-Version": "8" }),
      426,
      "Expected Sec-WebSocket-Version 13",
    ],
    ["without a key", handshake({ "Sec-WebSocket-Key": "x" }), 400, "Sec-WebSocket-Key is missing"],
    ["of a web page", handshake({ Origin: "https://example.org" }), 403, "Web pages may not open sessions"],
    ["at another path", handshake({}, "/api/v1/other"), 404, "There is nothing at GET /api/v1/other"],
    ["with a query", handshake({}, "/api/v1/session?a=1"), 400, "Unknown query parameter"],
    ["with another method", handshake({}, "/api/v1/session", "POST"), 405, "expected GET"],
    ["that is none", handshake({ Upgrade: "h2c" }), 426, "a session is opened as a WebSocket"],
  ])("%s is refused", async (_what, request, status, sentence) => {
    const closing = request.replace(
      "Connection: Upgrade",
      request.includes("h2c") ? "Connection: close" : "Connection: Upgrade",
    );
    const answer = await rawExchange(doors.port, closing);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toContain("application/problem+json");
    expect(answer).toContain(sentence);
  });

  test("frames that come with it are not lost", async () => {
    const frame = encodeClientMessages([{ type: "hello", id: 0, version: 1 }]);
    const masked = Buffer.concat([Buffer.of(0x82, 0x80 | frame.length, 0, 0, 0, 0), frame]);
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const socket = connect(doors.port, "127.0.0.1", () =>
        socket.write(Buffer.concat([Buffer.from(handshake({})), masked])),
      );
      let received = Buffer.alloc(0);
      socket.on("error", reject).on("data", (chunk) => {
        received = Buffer.concat([received, chunk]);
        if (!received.includes(Buffer.from("\r\n\r\n\x82", "latin1"))) return;
        socket.destroy();
        resolve(received);
      });
    });
    expect(answer.toString("latin1")).toMatch(/^HTTP\/1.1 101 [^]*Sec-WebSocket-Protocol: concord.v1\r\n/);
  });
});

test("a server that stops answers what is in flight, refuses the rest and says goodbye", async () => {
  const stopping = await openDoors();
  const client = await SessionTester.connect(stopping.url);
  const id = await client.watch("k");
  client.send({ type: "request", id: 77, request: put("k", "v"), settings: {} });
  expect(await client.take(77, "answer")).toMatchObject({ revision: 2 });
  const closed = stopping.close();
  expect(await client.take(id, "ended")).toMatchObject({ reason: "stopped", nextRevision: 3 });
  expect(await client.closed).toEqual({ code: 1001, reason: "server stopped" });
  await closed;
});
