import { describe, expect, test } from "vitest";
import { applyChange, type PeerView, refusalOf } from "./membership.ts";
import { type Configuration, type ConfigurationChange } from "./types.ts";

/** `a b c / d` are three voters and a learner. */
function parse(text: string): Configuration {
  const [voters = "", learners = ""] = text.split("/");
  const ids = (part: string): string[] => part.split(" ").filter((id) => id !== "");
  return { voters: ids(voters), learners: ids(learners) };
}

function change(text: string): ConfigurationChange {
  const [type, member = ""] = text.split(" ");
  return { type: type as ConfigurationChange["type"], member };
}

test.each([
  ["a", "addLearner b", "a / b"],
  ["a / b", "addLearner b", "a / b"],
  ["a b", "addLearner b", "a b"],
  ["a / b", "promote b", "a b"],
  ["a / b c", "promote c", "a c / b"],
  ["a b", "promote b", "a b"],
  ["a", "promote x", "a"],
  ["a b c", "remove b", "a c"],
  ["a / b", "remove b", "a"],
  ["a b", "remove x", "a b"],
  ["a / b", "remove a", "a / b"],
  ["a", "remove a", "a"],
])("%s, %s: %s", (before, what, after) => {
  const once = applyChange(parse(before), change(what));
  expect(once).toEqual(parse(after));
  expect(applyChange(once, change(what)), "a second time changes nothing").toEqual(parse(after));
});

describe("refusals", () => {
  const view = (silent: string, caughtUp: string): PeerView => ({
    isActive: (member) => !silent.includes(member),
    isCaughtUp: (member) => caughtUp.includes(member),
  });
  test.each([
    // configuration, silent, caught up, change, refusal
    ["a b c", "", "", "addLearner d", undefined],
    ["a b c", "bc", "", "addLearner d", undefined],
    ["a b c", "", "", "addLearner c", "alreadyMember"],
    ["a b / c", "", "", "addLearner c", "alreadyMember"],
    ["a b / c", "", "c", "promote c", undefined],
    ["a b / c", "", "", "promote c", "learnerBehind"],
    ["a b / c", "", "", "promote b", "notLearner"],
    ["a b / c", "", "", "promote x", "unknownMember"],
    // Three voters, of which one lives: no majority.
    ["a b / c", "bc", "c", "promote c", "wouldLoseQuorum"],
    ["a b / c", "b", "c", "promote c", undefined],
    ["a b c", "", "", "remove c", undefined],
    ["a b c", "", "", "remove x", "unknownMember"],
    ["a b c", "c", "", "remove c", undefined],
    ["a b c", "c", "", "remove b", "wouldLoseQuorum"],
    ["a b c", "bc", "", "remove c", "wouldLoseQuorum"],
    ["a b c d e", "de", "", "remove c", "wouldLoseQuorum"],
    ["a b c d e", "de", "", "remove e", undefined],
    ["a", "", "", "remove a", "lastVoter"],
    ["a / b", "", "", "remove a", "lastVoter"],
    ["a b / c", "bc", "", "remove c", undefined],
  ])("%s, silent (%s), caught up (%s), %s: %s", (configuration, silent, caughtUp, what, refusal) => {
    expect(refusalOf(parse(configuration), change(what), view(silent, caughtUp))).toBe(refusal);
  });
});
