import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Concord, op } from "../../node/index.ts";
import { CONTENT_TYPE_MAX, type History, type Row, type TxnAnswer } from "../../node/client/rest.ts";
import { openDoors, type OpenDoors } from "../support/open-doors.ts";
import { RestTester } from "../support/rest-tester.ts";

const PATH = "/api/v1/kv/k";

describe("the content type of a value, over REST", () => {
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

  const put = (type: string | undefined, body = "v"): ReturnType<RestTester["connection"]["call"]> => {
    const headers = type === undefined ? {} : { "content-type": type };
    return rest.connection.call({ method: "PUT", path: PATH, headers, body: Buffer.from(body) });
  };
  const bare = async (): Promise<Readonly<Record<string, unknown>>> =>
    (await rest.connection.call({ method: "GET", path: PATH, headers: { accept: "application/octet-stream" } }))
      .headers;

  test("is that of the PUT, and goes with the bare value", async () => {
    await put("text/html; charset=utf-8", "<b>");
    expect(await rest.get<Row>(PATH)).toMatchObject({ valueText: "<b>", contentType: "text/html; charset=utf-8" });
    const headers = await bare();
    expect(headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(headers["content-security-policy"]).toContain("sandbox");
  });

  test.each([undefined, "application/octet-stream", "application/x-www-form-urlencoded"])(
    "%s says nothing",
    async (type) => {
      await put("text/plain");
      await put(type);
      expect(await rest.get<Row>(PATH)).not.toHaveProperty("contentType");
      expect((await bare())["content-type"]).toBe("application/octet-stream");
    },
  );

  test("belongs to the version: history keeps it", async () => {
    await put("text/plain", "1");
    await put("application/json", "2");
    const { items } = await rest.get<History>("/api/v1/history/k");
    expect(items.map(({ contentType }) => contentType)).toEqual(["application/json", "text/plain"]);
  });

  test("in bulk and in txns", async () => {
    await rest.post("/api/v1/bulk/put", {
      items: [{ keyText: "k", valueText: "{}", contentType: "application/json" }],
    });
    expect(await rest.get<Row>(PATH)).toMatchObject({ contentType: "application/json" });
    const txn = {
      success: [
        { put: { keyText: "k", valueText: "x", contentType: "a/b", previous: true } },
        { get: { keyText: "k" } },
      ],
    };
    const { results } = await rest.post<TxnAnswer>("/api/v1/txn", txn);
    expect(results).toMatchObject([
      { put: { previous: { contentType: "application/json" } } },
      { get: { items: [{ contentType: "a/b" }] } },
    ]);
  });

  test("too long or not ASCII is refused, and nothing is written", async () => {
    for (const type of ["a".repeat(CONTENT_TYPE_MAX + 1), "te\u00e9xt"])
      await expect(put(type)).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
    const items = [{ keyText: "k", valueText: "v", contentType: "a\n" }];
    expect((await rest.refusal("POST", "/api/v1/bulk/put", { items })).code).toBe("CONCORD_INVALID_ARGUMENT");
    expect((await rest.refusal("GET", PATH)).code).toBe("CONCORD_KEY_NOT_FOUND");
  });
});

describe("the content type of a value, in process", () => {
  test("comes with the row, until a put that names none", async () => {
    await using store = await Concord.open({ memory: true });
    await store.put("k", "{}", { contentType: "application/json" });
    expect(store.get("k")?.contentType).toBe("application/json");
    await store.txn({ then: [op.put("k", "x")] });
    expect(store.get("k")?.contentType).toBeUndefined();
    await expect(store.put("k", "v", { contentType: "" })).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
    expect(store.get("k")?.text()).toBe("x");
  });
});
