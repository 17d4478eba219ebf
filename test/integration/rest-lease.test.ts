import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type GrantedLease, type LeaseInfo, type LeaseList } from "../../node/client/rest.ts";
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

describe("leases over REST", () => {
  test("a lease from its grant to its end", async () => {
    const { id, ttlSeconds } = await rest.post<GrantedLease>("/api/v1/leases", { ttlSeconds: 60 });
    expect(id).toMatch(/^[0-9a-f]{16}$/);
    expect(ttlSeconds).toBe(60);
    await rest.send("PUT", `/api/v1/kv/on/it?lease=${id}`, "v");
    expect(await rest.get("/api/v1/kv/on/it")).toMatchObject({ valueText: "v", lease: id });
    expect(await rest.get<LeaseList>("/api/v1/leases")).toEqual({ leases: [{ id }] });

    const bare = await rest.get<LeaseInfo>(`/api/v1/leases/${id}`);
    expect(bare).toEqual({ id, ttlSeconds: bare.ttlSeconds, grantedTtlSeconds: 60 });
    expect(bare.ttlSeconds).toBeGreaterThan(50);
    expect(await rest.get<LeaseInfo>(`/api/v1/leases/${id}?keys=true`)).toMatchObject({
      keys: [{ key: Buffer.from("on/it").toString("base64"), keyText: "on/it" }],
    });
    expect(await rest.post(`/api/v1/leases/${id}/keepalive`)).toEqual({ id, ttlSeconds: 60 });

    expect(await rest.send("DELETE", `/api/v1/leases/${id}`)).toMatchObject({ deleted: 1, revision: 3 });
    expect((await rest.refusal("GET", "/api/v1/kv/on/it")).code).toBe("CONCORD_KEY_NOT_FOUND");
    for (const [method, path] of [
      ["GET", `/api/v1/leases/${id}`],
      ["POST", `/api/v1/leases/${id}/keepalive`],
      ["DELETE", `/api/v1/leases/${id}`],
      ["PUT", `/api/v1/kv/k?lease=${id}`],
    ] as const) {
      expect((await rest.refusal(method, path)).code).toBe("CONCORD_LEASE_NOT_FOUND");
    }
  });

  test("a chosen id is the one of etcd's clients, and is given once", async () => {
    const id = "00000000000000ff";
    expect(await rest.post("/api/v1/leases", { ttlSeconds: 1, id })).toMatchObject({ id, ttlSeconds: 2 });
    expect(doors.node.leases().map((lease) => lease.id)).toEqual([255n]);
    expect((await rest.refusal("POST", "/api/v1/leases", { ttlSeconds: 1, id })).code).toBe("CONCORD_LEASE_EXISTS");
  });

  test("a key that is put without a lease loses the one it had", async () => {
    const { id } = await rest.post<GrantedLease>("/api/v1/leases", { ttlSeconds: 60 });
    await rest.send("PUT", `/api/v1/kv/k?lease=${id}`, "1");
    await rest.send("PUT", "/api/v1/kv/k", "2");
    expect(await rest.get("/api/v1/kv/k")).not.toHaveProperty("lease");
  });

  test.each<[string, "GET" | "POST" | "PUT" | "DELETE", string, unknown, string]>([
    ["no time to live", "POST", "/api/v1/leases", {}, "CONCORD_INVALID_ARGUMENT"],
    ["a time of zero", "POST", "/api/v1/leases", { ttlSeconds: 0 }, "CONCORD_INVALID_ARGUMENT"],
    ["a time that is text", "POST", "/api/v1/leases", { ttlSeconds: "60" }, "CONCORD_INVALID_ARGUMENT"],
    ["a time beyond the longest", "POST", "/api/v1/leases", { ttlSeconds: 1e15 }, "CONCORD_LEASE_TTL_TOO_LARGE"],
    ["a misspelt field", "POST", "/api/v1/leases", { ttl: 60, ttlSeconds: 60 }, "CONCORD_INVALID_ARGUMENT"],
    ["an id of zero", "POST", "/api/v1/leases", { ttlSeconds: 60, id: "0".repeat(16) }, "CONCORD_INVALID_ARGUMENT"],
    ["an id in decimal", "GET", "/api/v1/leases/255", undefined, "CONCORD_INVALID_ARGUMENT"],
    ["an id in capitals", "GET", "/api/v1/leases/00000000000000FF", undefined, "CONCORD_INVALID_ARGUMENT"],
    ["no id", "GET", "/api/v1/leases/", undefined, "CONCORD_INVALID_ARGUMENT"],
    ["another action", "POST", "/api/v1/leases/00000000000000ff/renew", undefined, "CONCORD_NOT_FOUND"],
    ["a put to the list", "PUT", "/api/v1/leases", {}, "CONCORD_METHOD_NOT_ALLOWED"],
    ["keys that are neither", "GET", "/api/v1/leases/00000000000000ff?keys=1", undefined, "CONCORD_INVALID_ARGUMENT"],
    ["a key on no lease id", "PUT", "/api/v1/kv/k?lease=x", undefined, "CONCORD_INVALID_ARGUMENT"],
  ])("%s is refused", async (_what, method, path, body, code) => {
    const error = await rest.refusal(method, path, body);
    expect(error.code).toBe(code);
    expect(error.message).not.toMatch(/\n|\.ts:/);
    expect(doors.node.leases()).toEqual([]);
    expect(doors.node.info().revision).toBe(1);
  });
});
