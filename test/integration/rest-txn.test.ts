import { credentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BulkRows, type GrantedLease, type TxnAnswer } from "../../node/client/rest.ts";
import { etcdClient, openDoors, type OpenDoors } from "../support/open-doors.ts";
import { RestTester } from "../support/rest-tester.ts";

let doors: OpenDoors;
let rest: RestTester;

beforeEach(async () => {
  doors = await openDoors();
  rest = new RestTester(doors.url);
});

afterEach(async () => {
  await rest.close();
  await doors.close();
});

const txn = (body: object): Promise<TxnAnswer> => rest.post<TxnAnswer>("/api/v1/txn", body);
const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("txns over REST", () => {
  test("compare and put, the old row, and reads behind the write", async () => {
    const create = {
      compare: [{ keyText: "k", target: "exists", exists: false }],
      success: [{ put: { keyText: "k", valueText: "1" } }],
      failure: [{ get: { keyText: "k" } }],
    };
    expect(await txn(create)).toEqual({ succeeded: true, revision: 2, results: [{ put: {} }] });
    expect(await txn(create)).toMatchObject({
      succeeded: false,
      revision: 2,
      results: [{ get: { items: [{ keyText: "k", valueText: "1" }], count: 1, more: false } }],
    });
    const swapped = await txn({
      compare: [{ key: base64("k"), target: "value", valueText: "1" }],
      success: [{ put: { keyText: "k", value: base64("2"), previous: true } }, { get: { keyText: "k" } }],
    });
    expect(swapped).toMatchObject({
      succeeded: true,
      revision: 3,
      results: [{ put: { previous: { valueText: "1" } } }, { get: { items: [{ valueText: "2", modRevision: 3 }] } }],
    });
  });

  test("ranges, deletes and txns inside txns", async () => {
    await rest.post("/api/v1/bulk/put", {
      items: ["p/a", "p/b", "p/c", "q"].map((keyText) => ({ keyText, valueText: keyText })),
    });
    const answer = await txn({
      success: [
        { get: { keyText: "p/", prefix: true, limit: 2, keysOnly: true } },
        {
          txn: {
            compare: [{ keyText: "p/", prefix: true, target: "version", version: 1 }],
            success: [{ delete: { keyText: "p/a", rangeEndText: "p/c", previous: true } }],
          },
        },
        { get: { prefix: true } },
      ],
    });
    expect(answer).toMatchObject({
      succeeded: true,
      results: [
        { get: { items: [{ keyText: "p/a" }, { keyText: "p/b" }], count: 3, more: true } },
        { txn: { succeeded: true, results: [{ delete: { deleted: 2, previous: [{ keyText: "p/a" }, {}] } }] } },
        { get: { items: [{ keyText: "p/c" }, { keyText: "q" }] } },
      ],
    });
    expect(answer.results[0]?.get?.items[0]).not.toHaveProperty("value");
  });

  test("compares by every target", async () => {
    const { id } = await rest.post<GrantedLease>("/api/v1/leases", { ttlSeconds: 60 });
    await rest.send("PUT", "/api/v1/kv/k", "a");
    await rest.send("PUT", `/api/v1/kv/k?lease=${id}`, "b");
    const holds = async (compare: object): Promise<boolean> =>
      (await txn({ compare: [{ keyText: "k", ...compare }] })).succeeded;
    const cases: readonly [object, boolean][] = [
      [{ target: "version", version: 2 }, true],
      [{ target: "version", result: "less", version: 2 }, false],
      [{ target: "createRevision", result: "equal", createRevision: 2 }, true],
      [{ target: "modRevision", result: "greater", modRevision: 2 }, true],
      [{ target: "value", result: "notEqual", valueText: "a" }, true],
      [{ target: "value", result: "less", valueText: "b" }, false],
      [{ target: "lease", lease: id }, true],
      [{ target: "lease", result: "notEqual", lease: "0".repeat(16) }, true],
      [{ target: "exists", exists: true }, true],
      [{ target: "exists", exists: false }, false],
    ];
    for (const [compare, expected] of cases) expect([compare, await holds(compare)]).toEqual([compare, expected]);
  });

  const put = { put: { keyText: "k", valueText: "v" } };
  const nested = (levels: number): object => (levels === 0 ? put : { txn: { success: [nested(levels - 1)] } });
  test.each<[string, unknown, string]>([
    ["two operations in one", { success: [{ ...put, get: { keyText: "k" } }] }, "CONCORD_INVALID_ARGUMENT"],
    ["an operation of none", { success: [{}] }, "CONCORD_INVALID_ARGUMENT"],
    ["no key", { success: [{ put: { valueText: "v" } }] }, "CONCORD_INVALID_ARGUMENT"],
    ["two keys", { success: [{ put: { key: "aw==", keyText: "k", valueText: "v" } }] }, "CONCORD_INVALID_ARGUMENT"],
    ["an empty key", { success: [put, { get: { keyText: "" } }] }, "CONCORD_KEY_EMPTY"],
    ["no value", { success: [{ put: { keyText: "k" } }] }, "CONCORD_INVALID_ARGUMENT"],
    ["base64 that is none", { success: [{ put: { key: "a!", valueText: "v" } }] }, "CONCORD_INVALID_ARGUMENT"],
    ["half a surrogate", '{"success":[{"put":{"keyText":"\\ud800","valueText":""}}]}', "CONCORD_INVALID_ARGUMENT"],
    ["a key of 1025 bytes", { success: [{ get: { keyText: "k".repeat(1025) } }] }, "CONCORD_INVALID_ARGUMENT"],
    [
      "prefix and end",
      { success: [{ get: { keyText: "k", prefix: true, rangeEnd: "" } }] },
      "CONCORD_INVALID_ARGUMENT",
    ],
    ["one key put twice", { success: [put, put] }, "CONCORD_DUPLICATE_KEY"],
    ["129 operations", { success: Array.from({ length: 129 }, () => put) }, "CONCORD_INVALID_ARGUMENT"],
    ["17 txns in txns", { success: [nested(16)] }, "CONCORD_TOO_MANY_OPERATIONS"],
    ["a body that is all brackets", "[".repeat(100_000), "CONCORD_INVALID_ARGUMENT"],
    [
      "a compare without operand",
      { compare: [{ keyText: "k", target: "version" }], success: [put] },
      "CONCORD_INVALID_ARGUMENT",
    ],
    [
      "a compare with the operand of another target",
      { compare: [{ keyText: "k", target: "version", version: 1, exists: true }], success: [put] },
      "CONCORD_INVALID_ARGUMENT",
    ],
    [
      "an unknown target",
      { compare: [{ keyText: "k", target: "ttl", version: 1 }], success: [put] },
      "CONCORD_INVALID_ARGUMENT",
    ],
    [
      "an ordered existence",
      { compare: [{ keyText: "k", target: "exists", result: "less", exists: true }], success: [put] },
      "CONCORD_INVALID_ARGUMENT",
    ],
    [
      "a lease that is not there",
      { success: [{ put: { ...put.put, lease: "00000000000000ff" } }] },
      "CONCORD_LEASE_NOT_FOUND",
    ],
    [
      "a version that no number holds",
      { compare: [{ keyText: "k", target: "version", version: 1e300 }], success: [put] },
      "CONCORD_INVALID_ARGUMENT",
    ],
    ["an unknown field", { succes: [put] }, "CONCORD_INVALID_ARGUMENT"],
    ["an array", [], "CONCORD_INVALID_ARGUMENT"],
  ])("%s: refused, nothing done", async (_what, body, code) => {
    const error = await rest.refusal("POST", "/api/v1/txn", body);
    expect(error.code).toBe(code);
    expect(error.message).not.toMatch(/\n|\.ts:/);
    expect(doors.node.info().revision).toBe(1);
  });
});

describe("many keys at once", () => {
  const names = Array.from({ length: 500 }, (_, at) => `k${at}`);
  const keys = names.map((keyText) => ({ keyText }));

  test("500 are put, read and deleted, each time at one revision", async () => {
    expect(await rest.post("/api/v1/bulk/put", { items: keys.map((key) => ({ ...key, valueText: "v" })) })).toEqual({
      revision: 2,
    });
    const rows = await rest.post<BulkRows>("/api/v1/bulk/get", { keys, consistency: "eventual" });
    expect(rows.revision).toBe(2);
    expect(rows.items.map((row) => [row?.keyText, row?.modRevision])).toEqual(names.map((name) => [name, 2]));
    expect(await rest.post("/api/v1/bulk/delete", { keys })).toEqual({ revision: 3, deleted: 500 });
    expect(await rest.post("/api/v1/bulk/get", { keys: keys.slice(0, 1) })).toEqual({ revision: 3, items: [null] });
  });

  test("all or nothing", async () => {
    const items = [
      { keyText: "a", valueText: "v" },
      { keyText: "b", valueText: "v", lease: "00000000000000ff" },
    ];
    expect((await rest.refusal("POST", "/api/v1/bulk/put", { items })).code).toBe("CONCORD_LEASE_NOT_FOUND");
    expect((await rest.refusal("GET", "/api/v1/kv/a")).code).toBe("CONCORD_KEY_NOT_FOUND");
  });

  test.each<[string, string, unknown, string]>([
    ["none", "put", { items: [] }, "CONCORD_INVALID_ARGUMENT"],
    ["501", "get", { keys: [...keys, { keyText: "x" }] }, "CONCORD_INVALID_ARGUMENT"],
    ["one key twice", "put", { items: [1, 2].map(() => ({ keyText: "a", valueText: "" })) }, "CONCORD_DUPLICATE_KEY"],
    ["keys as texts", "delete", { keys: names }, "CONCORD_INVALID_ARGUMENT"],
    ["an unknown action", "rename", { keys }, "CONCORD_NOT_FOUND"],
  ])("%s of them are refused", async (_what, action, body, code) => {
    expect((await rest.refusal("POST", `/api/v1/bulk/${action}`, body)).code).toBe(code);
    expect(doors.node.info().revision).toBe(1);
  });

  test("the etcd door keeps to its 128 operations, nested ones included", async () => {
    const client = etcdClient(`127.0.0.1:${doors.port}`, credentials.createInsecure());
    try {
      const put = (at: number): object => ({ request_put: { key: Buffer.from(`k${at}`), value: Buffer.from("v") } });
      const success = Array.from({ length: 128 }, (_, at) => put(at));
      const many = { code: 3, details: "etcdserver: too many operations in txn request" };
      await expect(client.call("KV", "Txn", { success: [...success, put(128)] })).rejects.toMatchObject(many);
      const inner = { request_txn: { success: [put(999)] } };
      await expect(client.call("KV", "Txn", { success: [...success.slice(1), inner] })).rejects.toMatchObject(many);
      expect((await client.call("KV", "Txn", { success })).succeeded).toBe(true);
    } finally {
      client.close();
    }
  });
});
