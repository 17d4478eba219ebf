import { afterEach, beforeEach, expect, test } from "vitest";
import { checkOptions, LOGGER_OFF } from "../../node/api/embed/options.ts";
import { openMember } from "../../node/assembly.ts";
import { CHANNELS, Concord, type NodeHandle } from "../../node/index.ts";
import * as index from "../../node/index.ts";
import { EventRecorder } from "../support/event-recorder.ts";
import { freePort } from "../support/free-port.ts";
import { channelReferences } from "../tools/gen/channels.ts";

// What a program that embeds a node is told of it, by real members.

const WAIT = { timeout: 30_000, interval: 10 };

let recorder: EventRecorder;

beforeEach(() => {
  recorder = new EventRecorder();
});
afterEach(() => recorder.stop());

/** Channels in the order of their first event that `wanted` takes. */
function order(node: NodeHandle, wanted: (event: never, channel: string) => boolean): string[] {
  const names = recorder.events
    .filter(({ event, channel }) => event.node === node && wanted(event as never, channel))
    .map(({ channel }) => channel);
  return [...new Set(names)];
}

async function openThree(): Promise<[Concord, Concord, Concord]> {
  const ports = [await freePort(), await freePort(), await freePort()];
  const members = ports.map((port, at) => ({ name: `m${at}`, peerUrls: [`http://127.0.0.1:${port}`] }));
  return Promise.all(
    members.map(async ({ name }) => Concord.open({ memory: true, name, cluster: { members } })),
  ) as Promise<[Concord, Concord, Concord]>;
}

test("every channel is in the reference, under its name", () => {
  const names = Object.values(CHANNELS).map(({ name }) => String(name));
  expect(channelReferences().map(({ name }) => name)).toEqual(names);
  for (const name of names) expect(name).toMatch(/^concord:(api|operation|state):[a-z]+$/);
  expect(Object.keys(index)).toContain("CHANNELS");
});

test("one write, from the door through the log to its answer", async () => {
  await using store = await Concord.open({ memory: true, name: "alone" });
  const { revision } = await store.put("k", "v");
  const [proposed] = recorder.of("proposed", store.handle).filter(({ request }) => request !== undefined);
  const at = proposed?.index ?? 0;
  const spans = ({ firstIndex, lastIndex }: { firstIndex: number; lastIndex: number }): boolean =>
    firstIndex <= at && at <= lastIndex;
  const steps = order(
    store.handle,
    (event: { request?: unknown; index?: number; firstIndex: number; lastIndex: number }, channel) => {
      if (channel === "started") return (event as unknown) === proposed?.request;
      return event.request === undefined ? event.index === at || spans(event) : event.request === proposed?.request;
    },
  );
  expect(steps).toEqual(["started", "proposed", "persisted", "committed", "applied", "answered", "finished"]);
  expect(proposed).toMatchObject({ operation: "put", request: { door: "embed", operation: "put", kind: "unary" } });
  expect(recorder.of("applied").find(({ index }) => index === at)).toMatchObject({ ok: true, revision });
  expect(recorder.of("answered").at(-1)).toMatchObject({ operation: "put", outcome: "ok", reason: "" });
  expect(recorder.of("finished").at(-1)).toMatchObject({ status: 200 });

  // What fails says why, and what is read is a request too.
  await expect(store.put("", "v")).rejects.toThrow();
  expect(recorder.of("answered").at(-1)).toMatchObject({ outcome: "failed", reason: "keyEmpty" });
  expect(recorder.of("finished").at(-1)).toMatchObject({ status: 400, request: { operation: "put" } });
  store.get("k");
  expect(recorder.of("finished").at(-1)).toMatchObject({ status: 200, request: { operation: "get" } });
  expect(JSON.stringify(recorder.events.map(({ event }) => event))).not.toContain('"v"');
});

test("a founding with its snapshots, a write by way of the leader, and a change of leader", async () => {
  const stores = await openThree();
  try {
    // The first of the list founds; the others begin with its state, and vote once they have it.
    const changes = recorder.of("membership", stores[0].handle).map(({ change }) => change);
    expect(changes.toSorted()).toEqual(["addLearner", "addLearner", "promote", "promote"]);
    for (const store of stores.slice(1)) {
      const { memberId } = store.status();
      expect(
        recorder
          .of("snapshot", store.handle)
          .map(({ step }) => step)
          .slice(0, 2),
      ).toEqual(["receiving", "received"]);
      const sent = recorder.of("snapshot").filter((event) => event.memberId === memberId);
      expect(sent.map(({ step }) => step).slice(0, 2)).toEqual(["sending", "sent"]);
    }

    const { leaderId } = stores[0].status();
    const leading = stores.find((store) => store.status().memberId === leaderId) as Concord;
    const follower = stores.find((store) => store !== leading) as Concord;
    await follower.put("k", "v");
    const [forwarded] = recorder.of("forwarded", follower.handle).filter(({ operation }) => operation === "put");
    expect(forwarded).toMatchObject({ leaderId, request: { door: "embed" } });
    const answered = recorder.of("answered", follower.handle).filter(({ request }) => request === forwarded?.request);
    expect(answered).toMatchObject([{ outcome: "ok" }]);
    // The door of the request is the follower's; at the leader nobody knows it.
    const [proposed] = recorder.of("proposed", leading.handle).filter(({ operation }) => operation === "put");
    expect(proposed).toMatchObject({ request: undefined });

    const { term } = leading.status();
    const next = await leading.admin.transfer(follower.status().memberId);
    const won = (): { step: string }[] => recorder.of("election", follower.handle).filter((each) => each.term > term);
    await expect.poll(() => won().map(({ step }) => step), WAIT).toEqual(expect.arrayContaining(["won", "office"]));
    expect(recorder.of("role", follower.handle)).toContainEqual(expect.objectContaining({ role: "leader" }));
    for (const store of stores) {
      await expect
        .poll(() => recorder.of("leader", store.handle).filter((each) => each.term > term), WAIT)
        .toContainEqual(expect.objectContaining({ leaderId: next }));
      expect(recorder.of("term", store.handle).some((each) => each.term > term)).toBe(true);
    }
    expect(recorder.of("role", leading.handle)).toContainEqual(
      expect.objectContaining({ role: "follower", previous: "leader" }),
    );
  } finally {
    await Promise.all(stores.map(async (store) => store.close()));
  }
});

test("what ends, what is forgotten, and what is written to the checkpoint", async () => {
  await using store = await Concord.open({ memory: true, name: "alone" });
  await store.put("short", "v", { ttlMs: 50 });
  await expect
    .poll(() => recorder.of("expiry", store.handle), WAIT)
    .toMatchObject([{ kind: "row", leaseId: "", deleted: 1, revision: 3 }]);
  await store.compact(3);
  expect(recorder.of("compaction", store.handle)).toMatchObject([{ revision: 3 }]);

  // More log than a checkpoint follows.
  for (let written = 0; written < 33; written += 1) await store.put("large", new Uint8Array(1 << 20));
  await expect
    .poll(() => recorder.of("checkpoint", store.handle).map(({ step }) => step), WAIT)
    .toEqual(["started", "written"]);
  const [started, written] = recorder.of("checkpoint", store.handle);
  expect(written?.index).toBe(started?.index);
  expect(written?.durationMs).toBeGreaterThanOrEqual(written?.commitMs ?? Infinity);
});

test("a lease that ends, an alarm, and a state taken for a backup", async () => {
  const list = { name: "alone", members: [], readyTimeoutMs: 30_000 };
  const options = checkOptions({ memory: true, quotaBytes: 4 << 20 }, list);
  const assembled = await openMember({ ...options, logger: LOGGER_OFF, onFatal: () => undefined });
  const { node } = assembled;
  try {
    await node.ready({ timeoutMs: 30_000 });
    await node.grantLease(7n, 2);
    const value = new Uint8Array(1_500_000);
    const put = { type: "put", key: Buffer.from("k"), value, lease: 7n } as const;
    const plain = { previous: false, ignoreValue: false, ignoreLease: false };
    for (let written = 0; written < 3; written += 1) await node.propose({ ...put, ...plain });
    const memberId = node.info().memberId;
    await expect
      .poll(() => recorder.of("alarm", node.handle), WAIT)
      .toMatchObject([{ action: "set", alarm: "noSpace", memberId }]);
    let bytes = 0;
    for await (const chunk of node.snapshot()) bytes += chunk.length;
    expect(bytes).toBeGreaterThan(1_500_000);
    expect(recorder.of("snapshot", node.handle)).toMatchObject([{ step: "taken", memberId: "" }]);
    await expect
      .poll(() => recorder.of("expiry", node.handle), WAIT)
      .toMatchObject([{ kind: "lease", leaseId: "0000000000000007", deleted: 1 }]);
  } finally {
    await assembled.close();
  }
});
