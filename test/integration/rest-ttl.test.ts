import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TTL_SECONDS_MAX, type Row, type Touched, type TxnAnswer, type Written } from "../../node/client/rest.ts";
import { openDoors, type OpenDoors } from "../support/open-doors.ts";
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

const get = (key: string): Promise<Row> => rest.get<Row>(`/api/v1/kv/${key}`);

describe("the time to live of a row, over REST", () => {
  test("is shown, set anew without a revision, and taken away", async () => {
    const { revision } = await rest.send<Written>("PUT", "/api/v1/kv/k?ttlSeconds=60", "v");
    const written = await get("k");
    expect(written).toMatchObject({ valueText: "v", modRevision: revision, version: 1 });
    expect(written.ttlSeconds).toBeGreaterThan(50);

    expect(await rest.send<Touched>("PATCH", "/api/v1/kv/k?ttlSeconds=3600")).toEqual({ revision, touched: 1 });
    const touched = await get("k");
    expect(touched).toMatchObject({ modRevision: revision, version: 1 });
    expect(touched.ttlSeconds).toBeGreaterThan(3500);

    await rest.send("PATCH", "/api/v1/kv/k?ttlSeconds=0");
    expect(await get("k")).not.toHaveProperty("ttlSeconds");
    expect(await get("k")).toMatchObject({ modRevision: revision });
  });

  test("a put without one makes the row stay", async () => {
    await rest.send("PUT", "/api/v1/kv/k?ttlSeconds=60", "1");
    await rest.send("PUT", "/api/v1/kv/k", "2");
    expect(await get("k")).not.toHaveProperty("ttlSeconds");
  });

  test("ends in a delete of its own revision", async () => {
    const { revision } = await rest.send<Written>("PUT", "/api/v1/kv/k?ttlSeconds=1", "v");
    doors.node.pass(990);
    expect(await get("k")).toMatchObject({ ttlSeconds: 1 });
    doors.node.pass(20);
    expect(doors.node.info().revision).toBe(revision + 1);
    expect((await rest.refusal("GET", "/api/v1/kv/k")).code).toBe("CONCORD_KEY_NOT_FOUND");
    // History keeps it, without an end.
    expect(await rest.get(`/api/v1/kv/k?revision=${revision}`)).not.toHaveProperty("ttlSeconds");
    expect((await rest.refusal("PATCH", "/api/v1/kv/k?ttlSeconds=5")).code).toBe("CONCORD_KEY_NOT_FOUND");
  });

  test("in bulk and in txns", async () => {
    const items = [
      { keyText: "a", valueText: "1", ttlSeconds: 100 },
      { keyText: "b", valueText: "2" },
    ];
    const { revision } = await rest.post<Written>("/api/v1/bulk/put", { items });
    const touch = { items: [{ keyText: "b", ttlSeconds: 50 }, ...[{ keyText: "none", ttlSeconds: 50 }]] };
    expect(await rest.post<Touched>("/api/v1/bulk/touch", touch)).toEqual({ revision, touched: 1 });
    expect((await get("b")).ttlSeconds).toBeGreaterThan(40);

    const txn = {
      compare: [{ keyText: "a", target: "exists", exists: true }],
      success: [
        { touch: { keyText: "a", ttlSeconds: 1000 } },
        { get: { keyText: "a" } },
        { put: { keyText: "c", valueText: "3", ttlSeconds: 10 } },
      ],
    };
    const answer = await rest.post<TxnAnswer>("/api/v1/txn", txn);
    expect(answer.results[0]).toEqual({ touch: { touched: true } });
    // A txn reads what it wrote.
    expect(answer.results[1]?.get?.items[0]?.ttlSeconds).toBeGreaterThan(900);
    expect((await get("c")).ttlSeconds).toBeGreaterThan(5);
  });

  test("a condition guards a touch, and a key that names it makes it happen once", async () => {
    const { revision } = await rest.send<Written>("PUT", "/api/v1/kv/k", "v");
    const patch = async (headers: Record<string, string>) =>
      rest.connection.call({ method: "PATCH", path: "/api/v1/kv/k?ttlSeconds=60", headers });
    await expect(patch({ "if-match": `"${revision + 1}"` })).rejects.toMatchObject({
      code: "CONCORD_CONDITION_FAILED",
    });
    expect(await get("k")).not.toHaveProperty("ttlSeconds");
    await patch({ "if-match": `"${revision}"`, "idempotency-key": "one" });
    await rest.send("PATCH", "/api/v1/kv/k?ttlSeconds=0");
    const again = await patch({ "if-match": `"${revision}"`, "idempotency-key": "one" });
    expect(again.headers["concord-replayed"]).toBe("true");
    expect(await get("k")).not.toHaveProperty("ttlSeconds");
  });

  test.each([
    ["PUT", "/api/v1/kv/k?ttlSeconds=0", "v"],
    ["PUT", "/api/v1/kv/k?ttlSeconds=-1", "v"],
    ["PUT", "/api/v1/kv/k?ttlSeconds=1.5", "v"],
    ["PUT", `/api/v1/kv/k?ttlSeconds=${TTL_SECONDS_MAX + 1}`, "v"],
    ["PATCH", "/api/v1/kv/k", undefined],
    ["PATCH", "/api/v1/kv/k?ttlSeconds=soon", undefined],
    ["POST", "/api/v1/bulk/touch", { items: [{ keyText: "k" }] }],
    ["POST", "/api/v1/bulk/touch", { items: [{ keyText: "k", ttlSeconds: "5" }] }],
    ["POST", "/api/v1/bulk/put", { items: [{ keyText: "k", valueText: "v", ttlSeconds: 0 }] }],
  ] as const)("%s %s is refused, and nothing is done", async (method, path, body) => {
    const before = doors.node.info().revision;
    expect((await rest.refusal(method, path, body)).code).toBe("CONCORD_INVALID_ARGUMENT");
    expect(doors.node.info().revision).toBe(before);
  });
});
