import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type KeyValue, type SessionReply } from "../../node/client/wire/types.ts";
import { RULES, type Rule } from "./client.suite.ts";
import { type Door } from "./doors/door.ts";
import { etcdDoor } from "./doors/etcd-door.ts";
import { restDoor } from "./doors/rest-door.ts";
import { sessionDoor } from "./doors/session-door.ts";
import { clientDoor, embeddedDoor } from "./doors/store-door.ts";
import { Trial } from "./trial.ts";

// The same rules at every door. What a door does not have is said by the door, with its reason.

const DOORS: readonly (readonly [name: string, open: () => Promise<Door>])[] = [
  ["embedded", embeddedDoor],
  ["client", clientDoor],
  ["session", sessionDoor],
  ["REST", restDoor],
  ["etcd", etcdDoor],
];
const RULE_TIMEOUT_MS = 60_000;

/** `kept`, `broken`, or why it was not asked. */
const results = new Map<string, string>();
const reasons = new Set<string>();
const at = (door: string, rule: Rule): string => `${door} ${rule.id}`;

afterAll(() => {
  const mark = (door: string, rule: Rule): string => {
    const result = results.get(at(door, rule)) ?? "";
    return (result === "kept" ? "✓" : result === "broken" ? "✗" : "–").padEnd(door.length);
  };
  const names = DOORS.map(([name]) => name);
  const lines = RULES.map(
    (rule) => `${rule.id.padEnd(6)} ${names.map((name) => mark(name, rule)).join("  ")}  ${rule.rule}`,
  );
  process.stdout.write(
    `\n${"".padEnd(6)} ${names.join("  ")}\n${lines.join("\n")}\n${[...reasons].sort().join("\n")}\n\n`,
  );
});

test("rules have ids of their own", () => {
  expect(new Set(RULES.map(({ id }) => id)).size).toBe(RULES.length);
});

/** Doors that do not keep to a rule, and the rule that finds it. */
const LIES: readonly (readonly [lie: string, ruleId: string, change: (door: Door) => Partial<Door>])[] = [
  [
    "counts a row too many",
    "DEL1",
    (door) => answering(door, "delete", (reply) => ({ ...reply, deleted: reply.deleted + 1 })),
  ],
  ["forgets the row before", "PUT5", (door) => answering(door, "put", (reply) => ({ ...reply, previous: undefined }))],
  ["gives rows in another order", "RNG2", (door) => answeringGet(door, (rows) => rows.toReversed())],
  ["leaves a row out", "RNG6", (door) => answeringGet(door, (rows) => rows.filter(({ key }) => key.at(-1) !== 0x62))],
  [
    "takes the other branch",
    "TXN2",
    (door) => answering(door, "txn", (reply) => ({ ...reply, succeeded: !reply.succeeded })),
  ],
  [
    "does a write again that comes again",
    "IDE1",
    (door) => ({
      carryOut: (request, settings) => door.carryOut(request, { ...settings, idempotencyKey: undefined }),
    }),
  ],
  [
    "takes a write although its lease is not there",
    "PUT11",
    (door) => ({
      carryOut: (request, settings) =>
        door.carryOut(request.type === "put" ? { ...request, lease: 0n } : request, settings),
    }),
  ],
  ["leaves every seventh change out", "WAT11", (door) => watching(door, (at) => (at % 7 === 6 ? 0 : 1))],
  ["tells of a change twice", "WAT11", (door) => watching(door, (at) => (at === 100 ? 2 : 1))],
  [
    "tells a watch from the past of the present alone",
    "WAT2",
    (door) => ({ watch: (request) => door.watch({ ...request, startRevision: 0 }) }),
  ],
];

function answering<T extends SessionReply["type"]>(
  door: Door,
  type: T,
  change: (reply: Extract<SessionReply, { readonly type: T }>) => SessionReply,
): Partial<Door> {
  return {
    async carryOut(request, settings) {
      const answer = await door.carryOut(request, settings);
      if (answer.reply.type !== type) return answer;
      return { ...answer, reply: change(answer.reply as Extract<SessionReply, { readonly type: T }>) };
    },
  };
}

function answeringGet(door: Door, change: (rows: readonly KeyValue[]) => readonly KeyValue[]): Partial<Door> {
  return answering(door, "range", (reply) => ({ ...reply, rows: change(reply.rows) }));
}

/** @param times - that the change at this place is told. */
function watching(door: Door, times: (at: number) => number): Partial<Door> {
  return {
    async watch(request) {
      const watch = await door.watch(request);
      let at = 0;
      return {
        cancel: () => watch.cancel(),
        next: async () => (await watch.next())?.flatMap((change) => Array.from({ length: times(at++) }, () => change)),
      };
    },
  };
}

describe("a door that does not keep to a rule is found", () => {
  let door: Door;
  beforeAll(async () => {
    door = await sessionDoor();
  }, RULE_TIMEOUT_MS);
  afterAll(async () => door.close());

  test.each(LIES)("it %s: [%s]", async (lie, ruleId, change) => {
    const { run } = RULES.find(({ id }) => id === ruleId)!;
    await run(new Trial(door, `true ${lie}`));
    await expect(withinOneSecond(run(new Trial({ ...door, ...change(door) }, `false ${lie}`)))).rejects.toThrow();
  });
});

/** A rule that waits for a change that never comes is broken too. */
async function withinOneSecond(work: Promise<void>): Promise<void> {
  await Promise.race([work, pause(1000).then(() => Promise.reject(new Error("The rule waits")))]);
}

describe.each(DOORS)("%s", (name, open) => {
  let door: Door;
  beforeAll(async () => {
    door = await open();
  }, RULE_TIMEOUT_MS);
  afterAll(async () => door.close());

  test.each(RULES.map((rule) => [`[${rule.id}] ${rule.rule}`, rule] as const))(
    "%s",
    async (_title, rule) => {
      const missing = (rule.needs ?? []).find((feature) => door.lacks[feature] !== undefined);
      if (missing !== undefined) {
        results.set(at(name, rule), missing);
        reasons.add(`– ${name} has no ${missing}: ${door.lacks[missing] ?? ""}`);
        return;
      }
      results.set(at(name, rule), "broken");
      await rule.run(new Trial(door, rule.id));
      results.set(at(name, rule), "kept");
    },
    RULE_TIMEOUT_MS,
  );
});
