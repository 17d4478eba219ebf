import { beforeEach, describe, expect, test } from "vitest";
import { type Command } from "../machine/commands.ts";
import { Machine } from "../machine/machine.ts";
import { type WatchRequest } from "./node-api.ts";
import { RunningWatch } from "./running-watch.ts";
import { systemEnvironment } from "./system-environment.ts";
import { type WatchCursor, WatchHub } from "./watch-hub.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const LIMITS = { keyBytesMax: 100, valueBytesMax: 100, operationsMax: 10, nestingMax: 4 };
const MEMBER = { id: "0000000000000001", name: "n", peerUrls: [], clientUrls: [], learner: false, joined: true };

describe("a watch", () => {
  let machine: Machine;
  let hub: WatchHub;
  let woken: number;
  let index: number;

  beforeEach(() => {
    machine = new Machine({ limits: LIMITS, quotaBytes: 1 << 20 });
    hub = new WatchHub(() => machine);
    woken = 0;
    index = 0;
    apply({ type: "found", clusterId: MEMBER.id, clusterUid: "", size: 1, founder: MEMBER, awaited: [] });
  });

  function apply(command: Command): void {
    index += 1;
    expect(machine.apply({ index, clusterTimeMs: 0, wallTimeMs: 0 }, command)).toMatchObject({ ok: true });
    hub.advanced();
  }

  function put(key: string, value: string): void {
    const flags = { previous: false, ignoreValue: false, ignoreLease: false };
    apply({ type: "put", key: bytes(key), value: bytes(value), lease: 0n, ...flags });
  }

  function watch(fields: Partial<WatchRequest> = {}): WatchCursor {
    const all = { key: bytes("\0"), rangeEnd: bytes("\0") };
    const request = { ...all, startRevision: 0, previous: false, filterPut: false, filterDelete: false, ...fields };
    return hub.open(request, () => {
      woken += 1;
    });
  }

  function seen(cursor: WatchCursor): string[] {
    const found: string[] = [];
    for (let poll = cursor.poll(); ; poll = cursor.poll()) {
      if (poll.type === "idle") return found;
      if (poll.type === "ended") return [...found, `ended ${poll.reason} ${poll.compactRevision}`];
      if (poll.type === "events")
        for (const { event } of poll.events)
          found.push(`${event.row.modRevision} ${event.type} ${Buffer.from(event.row.key).toString()}`);
    }
  }

  test("begins with the next change, and is woken by it once", () => {
    put("a", "1");
    const cursor = watch();
    expect(seen(cursor)).toEqual([]);
    put("a", "2");
    put("b", "1");
    expect(woken).toBe(1);
    expect(seen(cursor)).toEqual(["3 put a", "4 put b"]);
    expect(cursor.deliveredRevision).toBe(4);
  });

  test("goes back to a start revision, and sees its own keys alone", () => {
    put("a", "1");
    put("b", "1");
    put("a", "2");
    expect(seen(watch({ key: bytes("a"), rangeEnd: new Uint8Array(), startRevision: 2 }))).toEqual([
      "2 put a",
      "4 put a",
    ]);
  });

  test("a start in the future gets nothing earlier", () => {
    const cursor = watch({ startRevision: 4 });
    put("a", "1");
    put("b", "1");
    expect(seen(cursor)).toEqual([]);
    put("c", "1");
    expect(seen(cursor)).toEqual(["4 put c"]);
  });

  test("leaves out what it filters", () => {
    const cursor = watch({ filterPut: true });
    put("a", "1");
    apply({ type: "delete", key: bytes("a"), rangeEnd: new Uint8Array(), previous: false });
    expect(seen(cursor)).toEqual(["3 delete a"]);
  });

  test("ends when compaction overtakes it, and says where", () => {
    const late = watch();
    put("a", "1");
    put("a", "2");
    apply({ type: "compact", revision: 3 });
    expect(seen(late)).toEqual(["ended compacted 3"]);
    expect(seen(watch({ startRevision: 2 }))).toEqual(["ended compacted 3"]);
    expect(seen(watch({ startRevision: 4 }))).toEqual([]);
  });

  test("from the compacted revision is served, puts and deletes alike", () => {
    put("a", "1");
    put("a", "2");
    const overtaken = watch({ startRevision: 3 });
    apply({ type: "compact", revision: 3 });
    expect(seen(overtaken)).toEqual(["3 put a"]);
    apply({ type: "delete", key: bytes("a"), rangeEnd: new Uint8Array(), previous: false });
    apply({ type: "compact", revision: 4 });
    while (!machine.sweep(1000));
    put("b", "1");
    expect(seen(watch({ startRevision: 4 }))).toEqual(["4 delete a", "5 put b"]);
    expect(seen(watch({ startRevision: 3 }))).toEqual(["ended compacted 4"]);
  });

  test("from revision 1 sees everything, from 0 only what comes", () => {
    put("a", "1");
    const [all, next] = [watch({ startRevision: 1 }), watch({ startRevision: 0 })];
    put("b", "1");
    expect(seen(all)).toEqual(["2 put a", "3 put b"]);
    expect(seen(next)).toEqual(["3 put b"]);
  });

  test("ends with the member", () => {
    const cursor = watch();
    expect(seen(cursor)).toEqual([]);
    hub.stop();
    expect(woken).toBe(1);
    expect(seen(cursor)).toEqual(["ended stopped 0"]);
    expect(hub.count).toBe(0);
  });

  test("lets everything else have its turn between the slices of a long history", async () => {
    for (let change = 0; change < 2_500; change += 1) put("a", String(change));
    const all = { key: bytes("\0"), rangeEnd: bytes("\0"), startRevision: 1 };
    const request = { ...all, previous: false, filterPut: false, filterDelete: false };
    const running = new RunningWatch(hub, request, systemEnvironment);
    let turns = 0;
    const count = (): void => {
      turns += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    const batches: number[] = [];
    while (batches.length < 3) batches.push((await running.next())?.events.length ?? 0);
    clearImmediate(counting);
    running.cancel();
    expect(batches).toEqual([1_000, 1_000, 500]);
    expect(turns).toBeGreaterThanOrEqual(2);
  });
});
