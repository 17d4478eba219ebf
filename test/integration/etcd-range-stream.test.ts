import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  etcdClient,
  type EtcdTestClient,
  openDoors,
  type OpenDoors,
  type StreamClient,
} from "../support/open-doors.ts";

type Request = Readonly<Record<string, unknown>>;

let doors: OpenDoors;
let etcd: EtcdTestClient;

beforeEach(async () => {
  doors = await openDoors();
  etcd = etcdClient(`127.0.0.1:${doors.port}`);
});

afterEach(async () => {
  etcd.close();
  await doors.close();
});

const bytes = (text: string): Buffer => Buffer.from(text);
const put = (key: string, value: string) => etcd.call("KV", "Put", { key: bytes(key), value: bytes(value) });
const rows = { key: bytes("r/"), range_end: bytes("r0") };
const name = (at: number): string => `r/${String(at).padStart(3, "0")}`;

interface Part {
  readonly header: { readonly revision: string } | null;
  readonly kvs: readonly { readonly value: Buffer }[];
  readonly more: boolean;
  readonly count: string;
}

interface Parts {
  readonly parts: readonly Part[];
  readonly code: number;
  readonly details: string;
}

/** Every part of the answer, and the status that the call ended with. */
async function partsOf(stream: StreamClient): Promise<Parts> {
  const { code, details } = await stream.ended;
  const parts: Part[] = [];
  while (stream.waiting > 0) parts.push(((await stream.next()) as unknown as { range_response: Part }).range_response);
  return { parts, code, details };
}

const stream = (request: Request): StreamClient => etcd.serverStream("KV", "RangeStream", request);
const parts = (request: Request): Promise<Parts> => partsOf(stream(request));

describe("RangeStream", () => {
  test("the parts put together are the answer of Range", async () => {
    for (let at = 0; at < 45; at += 1) await put(name(at), "v");
    const whole = await etcd.call("KV", "Range", rows);
    const answer = await parts(rows);
    expect(answer.code).toBe(0);
    expect(answer.parts.map(({ kvs }) => kvs.length)).toEqual([10, 20, 15]);
    expect(answer.parts.flatMap(({ kvs }) => kvs)).toEqual(whole.kvs);
    expect(answer.parts.slice(0, -1)).toMatchObject([
      { header: null, more: false, count: "0" },
      { header: null, more: false, count: "0" },
    ]);
    expect(answer.parts.at(-1)).toMatchObject({ header: whole.header, more: false, count: "45" });
  });

  test("large rows come in small parts", async () => {
    for (let at = 0; at < 18; at += 1) await put(name(at), "v".repeat(400_000));
    const answer = await parts(rows);
    expect(answer.parts.map(({ kvs }) => kvs.length)).toEqual([10, 5, 3]);
  });

  test.each([9, 10, 11, 30])("a limit of %s rows is kept over all parts", async (limit) => {
    for (let at = 0; at < 31; at += 1) await put(name(at), "v");
    const answer = await parts({ ...rows, limit });
    expect(answer.parts.flatMap(({ kvs }) => kvs)).toHaveLength(limit);
    expect(answer.parts.at(-1)).toMatchObject({ more: true, count: "31" });
  });

  test("one key, nothing, a count and a revision are one part", async () => {
    const { header } = await put(name(1), "old");
    await put(name(1), "new");
    const revision = Number(header.revision);
    expect((await parts({ key: bytes(name(1)), revision })).parts).toMatchObject([{ kvs: [{ value: bytes("old") }] }]);
    expect((await parts({ ...rows, count_only: true })).parts).toMatchObject([{ kvs: [], count: "1", more: false }]);
    expect((await parts({ key: bytes("none") })).parts).toMatchObject([{ kvs: [], count: "0" }]);
  });

  test("what is written meanwhile is not in it", async () => {
    for (let at = 0; at < 30; at += 1) await put(name(at), "x".repeat(400_000));
    const reading = stream(rows);
    reading.pause();
    const { header } = await put(name(29), "new");
    reading.resume();
    const last = (await partsOf(reading)).parts.at(-1);
    // The write and the read of the first part race; whoever was first, the answer is of one revision.
    const isOlder = Number(last?.header?.revision) < Number(header.revision);
    expect(last?.kvs.at(-1)?.value).toHaveLength(isOlder ? 400_000 : 3);
  });

  test.each<[string, Request, number, string]>([
    ["an empty key", { key: bytes("") }, 3, "etcdserver: key is not provided"],
    ["another order", { ...rows, sort_order: 2 }, 12, "etcdserver: RangeStream does not support custom sort orders"],
    [
      "a revision filter",
      { ...rows, min_mod_revision: 3 },
      12,
      "etcdserver: RangeStream does not support revision filters",
    ],
    ["a revision to come", { ...rows, revision: 99 }, 11, "etcdserver: mvcc: required revision is a future revision"],
  ])("%s is refused", async (_what, request, code, details) => {
    expect(await parts(request)).toEqual({ parts: [], code, details });
  });

  test("a learner answers the serializable ones", async () => {
    await put(name(1), "v");
    doors.node.situation.learner = true;
    expect(await parts(rows)).toMatchObject({ code: 14, details: "etcdserver: rpc not supported for learner" });
    expect((await parts({ ...rows, serializable: true })).parts).toMatchObject([{ count: "1" }]);
  });
});

test("nobody logs in with a password", async () => {
  expect(await etcd.call("Auth", "AuthStatus", {})).toMatchObject({ enabled: false, authRevision: "1" });
});
