import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type History, type Written } from "../../node/client/rest.ts";
import { KvClient } from "../../node/client/kv-client.ts";
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

async function put(key: string, value: string): Promise<number> {
  return (await rest.send<Written>("PUT", `/api/v1/kv/${key}`, value)).revision;
}

const history = (query = ""): Promise<History> => rest.get<History>(`/api/v1/history/k${query}`);
const said = ({ items }: History): unknown => items.map(({ type, valueText }) => valueText ?? type);

describe("the history of a key, over REST", () => {
  test("has every put and delete, newest first, and of this key alone", async () => {
    const first = await put("k", "1");
    await put("kk", "other");
    await put("k", "2");
    const deleted = await rest.send<Written>("DELETE", "/api/v1/kv/k");
    const last = await put("k", "3");
    const { items, revision } = await history();
    expect(revision).toBe(last);
    expect(items).toMatchObject([
      { type: "put", keyText: "k", valueText: "3", modRevision: last, createRevision: last, version: 1 },
      { type: "delete", keyText: "k", modRevision: deleted.revision },
      { type: "put", valueText: "2", createRevision: first, version: 2 },
      { type: "put", valueText: "1", createRevision: first, modRevision: first, version: 1 },
    ]);
    expect(items[1]).not.toHaveProperty("value");
    expect(items[1]).not.toHaveProperty("version");
    expect(await history(`?from=${first}&to=${first}`)).toMatchObject({ items: [{ valueText: "1" }] });
    expect((await rest.get<History>("/api/v1/history/never")).items).toEqual([]);
  });

  test("goes on page by page", async () => {
    for (const value of ["1", "2", "3", "4", "5"]) await put("k", value);
    const pages: unknown[] = [];
    for (let to: number | undefined = 0; to !== undefined;) {
      const page: History = await history(`?limit=2&to=${to}`);
      pages.push(said(page));
      to = page.next;
    }
    expect(pages).toEqual([["5", "4"], ["3", "2"], ["1"]]);
  });

  test("reaches back to the compaction, with the row that it left", async () => {
    await put("k", "1");
    await put("k", "2");
    const compacted = await put("other", "x");
    await put("k", "3");
    await doors.node.propose({ type: "compact", revision: compacted });
    expect(said(await history())).toEqual(["3", "2"]);
    expect((await rest.refusal("GET", "/api/v1/history/k?from=2")).code).toBe("CONCORD_COMPACTED");
    expect((await rest.refusal("GET", "/api/v1/history/k?to=99")).code).toBe("CONCORD_FUTURE_REVISION");
    expect(said(await history(`?from=${compacted}`))).toEqual(["3"]);
  });

  test("refuses what it does not understand", async () => {
    for (const path of ["?from=-1", "?limit=0", "?limit=1001", "?since=1", "?to=x"])
      expect((await rest.refusal("GET", `/api/v1/history/k${path}`)).code).toBe("CONCORD_INVALID_ARGUMENT");
    expect((await rest.refusal("GET", "/api/v1/history/")).code).toBe("CONCORD_KEY_EMPTY");
    expect((await rest.refusal("DELETE", "/api/v1/history/k")).code).toBe("CONCORD_METHOD_NOT_ALLOWED");
  });

  test("comes to a client, for keys of any bytes", async () => {
    const client = new KvClient(doors.url);
    try {
      const key = Uint8Array.of(0, 0x2f, 0xff);
      await client.put(key, "1");
      await client.put(key, "2");
      const { items, next } = await client.history(key, { limit: 1 });
      expect([items[0]?.valueText, next]).toEqual(["2", (items[0]?.modRevision ?? 0) - 1]);
      expect((await client.history(key, { to: next, consistency: "eventual" })).items[0]?.valueText).toBe("1");
    } finally {
      await client.close();
    }
  });
});
