import { describe, expect, test } from "vitest";
import { type WatchBatch } from "../runtime/node-api.ts";
import { eventBytes } from "./etcd/responses.ts";
import { cut } from "./watch-cut.ts";

/** One event of about 1000 bytes for each number: its revision. */
function batchOf(revisions: readonly number[]): WatchBatch {
  return {
    revision: revisions.at(-1) ?? 0,
    events: revisions.map((modRevision, sub) => ({
      event: {
        type: "put",
        sub,
        row: {
          key: new Uint8Array(1),
          value: new Uint8Array(1000),
          createRevision: modRevision,
          modRevision,
          version: 1,
          lease: 0n,
        },
      },
      previous: undefined,
    })),
  };
}

/** Revisions of each message, with the revision it announces and a plus sign where more of the revision follows. */
function messages(revisions: readonly number[], bytes: number, fragment: boolean): readonly string[] {
  return [...cut(batchOf(revisions), bytes, fragment, eventBytes)].map(
    (part) =>
      `${part.events.map(({ event }) => event.row.modRevision).join(" ")} @${part.revision}${part.fragment ? "+" : ""}`,
  );
}

describe("how a batch becomes messages", () => {
  test.each<[string, readonly number[], number, boolean, readonly string[]]>([
    ["all of it when it fits", [2, 3, 4], 10_000, false, ["2 3 4 @4"]],
    ["cut between revisions", [2, 3, 4], 2500, false, ["2 3 @3", "4 @4"]],
    ["a revision stays whole", [2, 2, 2, 3], 2500, false, ["2 2 2 @2", "3 @3"]],
    [
      "a revision that does not fit behind another one begins a message",
      [2, 3, 3, 4],
      2500,
      false,
      ["2 @2", "3 3 @3", "4 @4"],
    ],
    ["fragments of one revision say that more follows", [2, 2, 2], 1500, true, ["2 @2+", "2 @2+", "2 @2"]],
    ["fragments end at a revision's end", [2, 2, 3], 1500, true, ["2 @2+", "2 @2", "3 @3"]],
    ["an event larger than a message is sent alone", [2, 3], 100, false, ["2 @2", "3 @3"]],
    ["nothing for nothing", [], 100, true, []],
  ])("%s", (_what, revisions, bytes, fragment, expected) => {
    expect(messages(revisions, bytes, fragment)).toEqual(expected);
  });
});
