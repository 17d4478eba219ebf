import { beforeEach, describe, expect, test } from "vitest";
import { ConcordError } from "../client/errors.ts";
import { type Outcome } from "../machine/commands.ts";
import { type Proposal, Proposals } from "./proposals.ts";

const OUTCOME: Outcome = { ok: true, revision: 7, reply: { type: "ok" } };
const LEADER = "00000000000000aa";

describe("what becomes of a write", () => {
  let proposals: Proposals;
  let answers: string[];

  beforeEach(() => {
    proposals = new Proposals(100);
    answers = [];
  });

  function write(name: string, deadline = 1_000): Proposal {
    const proposal: Proposal = {
      command: { type: "compact", revision: 1 },
      deadline,
      forwarded: false,
      done: (result) => answers.push(`${name} ${result.ok ? "ok" : result.error.code}`),
    };
    return proposal;
  }

  test("it is applied at its place in its term", () => {
    proposals.proposed(5, 2, write("a"));
    proposals.applied(4, 2, OUTCOME);
    expect(answers).toEqual([]);
    proposals.applied(5, 2, OUTCOME);
    expect(answers).toEqual(["a ok"]);
  });

  test("an entry of another term at its place means that it never happens", () => {
    proposals.proposed(5, 2, write("a"));
    proposals.applied(5, 3, OUTCOME);
    expect(answers).toEqual(["a CONCORD_LEADER_CHANGED"]);
  });

  test("a place that is taken again was cut off before", () => {
    proposals.proposed(5, 2, write("old"));
    proposals.proposed(5, 4, write("new"));
    expect(answers).toEqual(["old CONCORD_LEADER_CHANGED"]);
    proposals.applied(5, 4, OUTCOME);
    expect(answers).toEqual(["old CONCORD_LEADER_CHANGED", "new ok"]);
  });

  test("a snapshot jumps over it: nobody here knows", () => {
    proposals.proposed(5, 2, write("a"));
    proposals.proposed(9, 2, write("b"));
    proposals.skippedTo(7);
    expect(answers).toEqual(["a CONCORD_OUTCOME_UNKNOWN"]);
  });

  test("sent to the leader: the answer decides, a refusal sends it again", () => {
    const [a, b, c] = [write("a"), write("b"), write("c")];
    const ids = [proposals.sent(LEADER, a), proposals.sent(LEADER, b), proposals.sent(LEADER, c)];
    proposals.answered(ids[0]!, { outcome: OUTCOME });
    proposals.answered(ids[1]!, { error: new ConcordError("CONCORD_TOO_MANY_REQUESTS") });
    proposals.answered(ids[2]!, undefined);
    proposals.answered(99, { outcome: OUTCOME });
    expect(answers).toEqual(["a ok", "b CONCORD_TOO_MANY_REQUESTS"]);
    expect(proposals.take()).toEqual([c]);
  });

  test("the leader is lost: what was sent to it is unknown, what waits still waits", () => {
    proposals.sent(LEADER, write("sent"));
    proposals.sent("00000000000000bb", write("elsewhere"));
    proposals.add(write("waiting"));
    proposals.lost(LEADER);
    expect(answers).toEqual(["sent CONCORD_OUTCOME_UNKNOWN"]);
    expect(proposals.unresolved).toBe(2);
  });

  test("over its deadline: failed while it waits, unknown once it was proposed or sent", () => {
    proposals.add(write("waiting", 10));
    proposals.proposed(5, 2, write("in the log", 10));
    proposals.sent(LEADER, write("sent", 10));
    proposals.add(write("later", 11));
    proposals.expire(10, true);
    expect(answers.sort()).toEqual([
      "in the log CONCORD_OUTCOME_UNKNOWN",
      "sent CONCORD_OUTCOME_UNKNOWN",
      "waiting CONCORD_TIMEOUT",
    ]);
    proposals.stop();
    expect(answers.at(-1)).toBe("later CONCORD_STOPPED");
    expect(proposals.unresolved).toBe(0);
  });
});
