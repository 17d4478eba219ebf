import { describe, expect, test } from "vitest";
import { majorityIndex, quorumOf, voteResult } from "./quorum.ts";

test.each([
  [0, 1],
  [1, 1],
  [2, 2],
  [3, 2],
  [4, 3],
  [5, 3],
  [6, 4],
  [7, 4],
])("a majority of %i voters is %i", (voters, wanted) => {
  expect(quorumOf(voters)).toBe(wanted);
});

describe("the index that a majority has", () => {
  // One row per set of voters; a voter that has reported nothing counts as 0.
  test.each<[number[], number]>([
    [[], 0],
    [[0], 0],
    [[12], 12],
    [[0, 12], 0],
    [[12, 0], 0],
    [[5, 12], 5],
    [[12, 12], 12],
    [[0, 0, 12], 0],
    [[5, 0, 12], 5],
    [[5, 6, 12], 6],
    [[12, 12, 5], 12],
    [[7, 7, 7], 7],
    [[0, 5, 6, 12], 5],
    [[5, 6, 12, 12], 6],
    [[1, 2, 3, 4], 2],
    [[0, 0, 12, 13, 14], 12],
    [[100, 101, 103, 103, 104], 103],
    [[104, 103, 103, 101, 100], 103],
    [[101, 101, 101, 1, 1], 101],
    [[1, 2, 3, 4, 5, 6], 3],
    [[1, 2, 3, 4, 5, 6, 7], 4],
    [[7, 6, 5, 4, 3, 2, 1], 4],
  ])("%j is %i", (matches, wanted) => {
    // Checked against the definition: the highest index that enough voters have reached.
    const reached = (index: number): boolean =>
      matches.filter((match) => match >= index).length >= quorumOf(matches.length);
    const byDefinition = Math.max(0, ...matches.filter(reached));
    expect(majorityIndex([...matches])).toBe(wanted);
    expect(byDefinition).toBe(wanted);
  });
});

describe("the result of an election", () => {
  // `y` yes, `n` no, `_` no answer yet.
  test.each([
    ["", "lost"],
    ["_", "pending"],
    ["n", "lost"],
    ["y", "won"],
    ["__", "pending"],
    ["n_", "lost"],
    ["y_", "pending"],
    ["ny", "lost"],
    ["yy", "won"],
    ["___", "pending"],
    ["n__", "pending"],
    ["y__", "pending"],
    ["nn_", "lost"],
    ["yn_", "pending"],
    ["yy_", "won"],
    ["yyn", "won"],
    ["ynn", "lost"],
    ["yn__", "pending"],
    ["yyn_", "pending"],
    ["nn__", "lost"],
    ["yyy_", "won"],
    ["yyyn", "won"],
    ["yynn", "lost"],
    ["yn___", "pending"],
    ["yyy__", "won"],
    ["yynn_", "pending"],
    ["yynnn", "lost"],
    ["nnn__", "lost"],
    ["yyyy___", "won"],
    ["nnnn___", "lost"],
    ["yyynnn_", "pending"],
  ])("%s is %s", (answers, wanted) => {
    const voters = Array.from(answers, (_, i) => `${i}`);
    const votes = new Map<string, boolean>();
    for (const [i, voter] of voters.entries()) if (answers[i] !== "_") votes.set(voter, answers[i] === "y");
    expect(voteResult(voters, votes)).toBe(wanted);
  });

  test("answers of members that are no voters do not count", () => {
    const votes = new Map([
      ["a", true],
      ["learner", true],
    ]);
    expect(voteResult(["a", "b", "c"], votes)).toBe("pending");
  });
});
