import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HttpConnection } from "../../node/client/http-connection.ts";
import { Concord } from "../../node/index.ts";
import { etcdClient, type EtcdTestClient, openDoors, type OpenDoors } from "../support/open-doors.ts";

type Answer = Awaited<ReturnType<HttpConnection["call"]>>;

let doors: OpenDoors;
let http: HttpConnection;
let etcd: EtcdTestClient;

beforeEach(async () => {
  doors = await openDoors();
  http = new HttpConnection(doors.url);
  etcd = etcdClient(`127.0.0.1:${doors.port}`);
});

afterEach(async () => {
  etcd.close();
  await http.close();
  await doors.close();
});

const put = (key: string, body: string, headers: Record<string, string>): Promise<Answer> =>
  http.call({ method: "PUT", path: `/api/v1/kv/${key}`, body, headers });
const json = ({ body }: Answer): unknown => JSON.parse(body.toString());

describe("the Idempotency-Key header", () => {
  test("has a write done once, and its retry answered as the first attempt was", async () => {
    const headers = { "idempotency-key": "order-17" };
    const first = await put("a", "1", headers);
    await put("a", "2", {});
    const retry = await put("a", "1", headers);
    expect(json(retry)).toEqual(json(first));
    expect([first.headers["concord-replayed"], retry.headers["concord-replayed"]]).toEqual([undefined, "true"]);
    const { body } = await http.call({ method: "GET", path: "/api/v1/kv/a" });
    expect(JSON.parse(body.toString())).toMatchObject({ valueText: "2", modRevision: 3 });
    const asked = await http.call({ method: "GET", path: "/api/v1/idempotency/order-17" });
    expect(json(asked)).toEqual({ revision: 2 });
  });

  test("decides a condition once: the retry of a create is not refused for what the first attempt created", async () => {
    const headers = { "idempotency-key": "create-1", "if-none-match": "*" };
    const first = await put("a", "1", headers);
    expect(json(await put("a", "1", headers))).toEqual(json(first));
    await expect(put("a", "1", { "if-none-match": "*" })).rejects.toMatchObject({ code: "CONCORD_CONDITION_FAILED" });
  });

  test("deletes once", async () => {
    await put("a", "1", {});
    const remove = { method: "DELETE", path: "/api/v1/kv/a", headers: { "idempotency-key": "d" } } as const;
    const first = await http.call(remove);
    await put("a", "2", {});
    expect(json(await http.call(remove))).toEqual(json(first));
    expect(json(first)).toEqual({ revision: 3, deleted: 1 });
  });

  test("has txns, many keys and leases done once", async () => {
    const send = (path: string, body: object): Promise<Answer> =>
      http.call({
        method: "POST",
        path,
        body: JSON.stringify(body),
        headers: { "content-type": "application/json", "idempotency-key": path },
      });
    const bodies: [string, object][] = [
      ["/api/v1/txn", { success: [{ put: { keyText: "a", valueText: "1" } }, { get: { keyText: "a" } }] }],
      ["/api/v1/bulk/put", { items: [{ keyText: "b", valueText: "1" }] }],
      ["/api/v1/bulk/delete", { keys: [{ keyText: "b" }] }],
      ["/api/v1/leases", { ttlSeconds: 60 }],
    ];
    for (const [path, body] of bodies) {
      const first = await send(path, body);
      const retry = await send(path, body);
      expect(json(retry)).toEqual(json(first));
      expect([first.headers["concord-replayed"], retry.headers["concord-replayed"]]).toEqual([undefined, "true"]);
    }
  });

  test("is refused for a lock, whose request can be sent again with its lease", async () => {
    const request = { method: "POST", path: "/api/v1/locks/l", body: JSON.stringify({ ttlSeconds: 60 }) } as const;
    const headers = { "content-type": "application/json" };
    await expect(http.call({ ...request, headers: { ...headers, "idempotency-key": "k" } })).rejects.toMatchObject({
      code: "CONCORD_INVALID_ARGUMENT",
    });
    const first = json(await http.call({ ...request, headers })) as { leaseId: string };
    const again = { ...request, body: JSON.stringify({ leaseId: first.leaseId }), headers };
    expect(json(await http.call(again))).toEqual(first);
  });

  test("is a conflict for another write, and refused when it is empty or too long", async () => {
    await put("a", "1", { "idempotency-key": "k" });
    await expect(put("a", "2", { "idempotency-key": "k" })).rejects.toMatchObject({
      code: "CONCORD_IDEMPOTENCY_CONFLICT",
    });
    await expect(put("a", "2", { "idempotency-key": "" })).rejects.toMatchObject({
      code: "CONCORD_INVALID_ARGUMENT",
      message: "The idempotency key has 0 bytes, expected 1 to 255",
    });
    await expect(put("a", "2", { "idempotency-key": "k".repeat(256) })).rejects.toMatchObject({
      code: "CONCORD_INVALID_ARGUMENT",
      message: "The idempotency key has 256 bytes, expected 1 to 255",
    });
    const readOnly = { method: "POST", path: "/api/v1/txn", body: '{"success":[{"get":{"keyText":"a"}}]}' } as const;
    const headers = { "content-type": "application/json", "idempotency-key": "k".repeat(256) };
    await expect(http.call({ ...readOnly, headers })).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
    await expect(http.call({ method: "GET", path: "/api/v1/idempotency/unknown" })).rejects.toMatchObject({
      code: "CONCORD_NOT_FOUND",
    });
  });
});

test("etcd's clients give the key as metadata, and share it with the other doors", async () => {
  const metadata = { "idempotency-key": "k" };
  const request = { key: Buffer.from("a"), value: Buffer.from("1") };
  const first = await etcd.call("KV", "Put", request, metadata);
  const retry = await etcd.call("KV", "Put", request, metadata);
  expect([first.header.revision, retry.header.revision]).toEqual(["2", "2"]);
  const again = await put("a", "1", { "idempotency-key": "k" });
  expect(again.headers["concord-replayed"]).toBe("true");
  const granted = await etcd.call("Lease", "LeaseGrant", { TTL: 60 }, metadata).catch((error: unknown) => error);
  expect(granted).toMatchObject({ code: 9, details: "etcdserver: another request had the same idempotency key" });
  const other = { "idempotency-key": "l" };
  const lease = await etcd.call("Lease", "LeaseGrant", { TTL: 60 }, other);
  expect(await etcd.call("Lease", "LeaseGrant", { TTL: 60 }, other)).toMatchObject({ ID: lease.ID, TTL: "60" });
});

test("an embedded store remembers over a restart", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "concord-idempotency-"));
  try {
    const options = { idempotencyKey: Buffer.from("k") };
    const first = await (async () => {
      await using store = await Concord.open({ dataDir });
      return await store.put("a", "1", options);
    })();
    await using store = await Concord.open({ dataDir });
    await store.put("a", "2");
    expect(await store.put("a", "1", options)).toEqual(first);
    expect(store.get("a")?.text()).toBe("2");
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});
