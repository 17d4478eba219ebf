import { beforeEach, describe, expect, test } from "vitest";
import { type Outcome } from "../../node/machine/commands.ts";
import { type MembershipAnswer } from "../../node/runtime/membership-requests.ts";
import { type Settled } from "../../node/runtime/settled.ts";
import { put, remove } from "../model/machine-fixture.ts";
import { Prng } from "../support/prng.ts";
import { SimClock } from "../support/sim-clock.ts";
import { SimMember } from "../support/sim-member.ts";
import { SimNetwork } from "../support/sim-network.ts";

// A member numbers what it asks the leader. Answers to a process that is gone may still be on their way when its
// successor asks: they must not pass for answers to the successor.

const TIMEOUT_MS = 5_000;
const NO_FAULTS = {
  delayMinMs: 0.1,
  delayMeanMs: 0.2,
  lossProbability: 0,
  replayProbability: 0,
  corruptProbability: 0,
};

let clock: SimClock;
let leader: SimMember;
let follower: SimMember;

beforeEach(() => {
  clock = new SimClock();
  const prng = new Prng(1);
  const network = new SimNetwork(clock, prng.fork("network"), NO_FAULTS);
  const founding = ["a", "b", "c"].map((name) => ({ name, peerUrls: [`http://${name}:2380`] }));
  const world = { clock, network, prng, founding };
  const members = founding.map((peer) => new SimMember(world, peer));
  runUntil("a leader is in office", () => members.every(({ isRunning }) => isRunning) && members.some((m) => m.leads));
  leader = members.find(({ leads }) => leads)!;
  follower = members.find((member) => member !== leader)!;
});

/** Runs simulated time. */
function runUntil(what: string, holds: () => boolean): void {
  for (const end = clock.now + 60_000; !holds();)
    if (!clock.step() || clock.now > end) throw new Error(`It did not happen that ${what}`);
}

function runFor(durationMs: number): void {
  const end = clock.now + durationMs;
  clock.schedule(durationMs, () => undefined);
  runUntil("time passes", () => clock.now >= end);
}

/** Asks so often at the old process that whatever number the new one begins with, if it begins as the old one, it meets. */
const ASKED = 5;

/**
 * The follower asks the leader; the answers are held while the follower is replaced by a new process, which asks
 * something else. The old answers reach it first.
 */
function crossed<T>(
  kind: { readonly request: string; readonly answer: string },
  ask: () => void,
  askAgain: (done: (result: Settled<T>) => void) => void,
): { readonly early: Settled<T> | undefined; readonly result: Settled<T> } {
  leader.holds = ({ type }, to) => type === kind.answer && to === follower.id;
  for (let asked = 1; asked <= ASKED; asked += 1) {
    ask();
    runUntil(`answer ${asked} is on its way`, () => leader.held.length >= asked);
  }
  const { appliedIndex } = leader.replica.machine;
  follower.restart();
  runUntil("the new process has caught up", () => {
    return follower.isRunning && follower.replica.machine.appliedIndex >= appliedIndex;
  });
  follower.holds = ({ type }) => type === kind.request;
  let result: Settled<T> | undefined;
  askAgain((settled) => {
    result = settled;
  });
  runUntil("the new process asks", () => follower.held.length > 0);
  leader.release();
  runFor(20);
  const early = result;
  follower.release();
  runUntil("the new process has its answer", () => result !== undefined);
  return { early, result: result! };
}

describe("a member whose process was replaced does not take an answer to the old one", () => {
  test("for what became of its write", () => {
    const { early, result } = crossed<Outcome>(
      { request: "forward", answer: "forwardReply" },
      () => follower.replica.propose(put("k", "old"), TIMEOUT_MS, () => undefined),
      (done) => follower.replica.propose(remove("k"), TIMEOUT_MS, done),
    );
    expect(early).toBeUndefined();
    expect(result).toMatchObject({ ok: true, value: { ok: true, reply: { type: "delete", deleted: 1 } } });
  });

  test("for the confirmation of its read", () => {
    const { early, result } = crossed<undefined>(
      { request: "readIndexRequest", answer: "readIndexResponse" },
      () => follower.replica.barrier(TIMEOUT_MS, () => undefined),
      (done) => follower.replica.barrier(TIMEOUT_MS, done),
    );
    expect(early).toBeUndefined();
    expect(result.ok).toBe(true);
  });

  test("for the answer to its change of the membership", () => {
    const unknown = "00000000000000ff";
    const { early, result } = crossed<MembershipAnswer>(
      { request: "forwardAdmin", answer: "forwardAdminReply" },
      () => follower.replica.membership.request({ type: "transfer", to: leader.id }, TIMEOUT_MS, () => undefined),
      (done) => follower.replica.membership.request({ type: "promote", id: unknown }, TIMEOUT_MS, done),
    );
    expect(early).toBeUndefined();
    expect(result).toMatchObject({ ok: false, error: { code: "CONCORD_MEMBER_NOT_FOUND" } });
  });
});
