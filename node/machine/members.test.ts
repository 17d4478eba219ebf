import { describe, expect, it } from "vitest";
import { FOUND, memberOf } from "../../test/model/machine-fixture.ts";
import { type FoundCommand } from "./commands.ts";
import { Members, REMOVED_MEMBERS_MAX } from "./members.ts";

const idOf = (n: number): string => memberOf(n).id;

function founded(): Members {
  const members = new Members();
  members.found(FOUND as FoundCommand);
  return members;
}

describe("members", () => {
  it("are listed in the order of their ids, and a listing never changes", () => {
    const members = founded();
    const before = members.state.members;
    for (const n of [9, 3, 5]) members.change("addLearner", idOf(n), memberOf(n));
    expect(members.state.members.map(({ id }) => id)).toEqual([1, 3, 5, 9].map(idOf));
    expect(before).toEqual([memberOf(1)]);
  });

  it("learn first and vote when promoted", () => {
    const members = founded();
    members.change("addLearner", idOf(2), memberOf(2));
    expect(members.state.members[1]).toMatchObject({ name: "m2", learner: true, joined: false });
    members.change("promote", idOf(2), undefined);
    members.change("promote", idOf(2), undefined);
    expect(members.state.members[1]).toMatchObject({ name: "m2", learner: false });
  });

  it("tell name and URLs by publishing, and are awaited no more", () => {
    const members = new Members();
    members.found({ ...(FOUND as FoundCommand), awaited: [{ name: "m2", peerUrls: [] }] });
    members.change("addLearner", idOf(2), undefined);
    expect(members.state.awaited).toHaveLength(1);
    const told = { id: idOf(2), name: "m2", peerUrls: ["p"], clientUrls: ["c"] };
    expect(members.publish(told)).toBe(true);
    expect(members.state.members[1]).toEqual({ ...told, learner: true, joined: true });
    expect(members.state.awaited).toEqual([]);
    expect(members.publish({ ...told, id: idOf(7) })).toBe(false);
  });

  it("are remembered when removed, with their alarms gone, up to a bound", () => {
    const members = founded();
    members.change("addLearner", idOf(2), memberOf(2));
    members.setAlarm({ member: idOf(2), alarm: "noSpace" });
    members.setAlarm({ member: idOf(1), alarm: "noSpace" });
    members.change("remove", idOf(2), undefined);
    expect(members.state.alarms).toEqual([{ member: idOf(1), alarm: "noSpace" }]);
    expect(members.isRemoved(idOf(2))).toBe(true);
    expect(members.isRemoved(idOf(1))).toBe(false);
    const full = new Members({
      ...members.state,
      removed: Array.from({ length: REMOVED_MEMBERS_MAX }, (_, i) => idOf(i + 100)),
    });
    full.change("remove", idOf(2), undefined);
    expect(full.state.removed).toHaveLength(REMOVED_MEMBERS_MAX);
    expect([full.isRemoved(idOf(100)), full.isRemoved(idOf(101)), full.isRemoved(idOf(2))]).toEqual([
      false,
      true,
      true,
    ]);
  });

  it("lose all alarms when nobody is named", () => {
    const members = founded();
    members.setAlarm({ member: idOf(1), alarm: "noSpace" });
    members.setAlarm({ member: idOf(1), alarm: "noSpace" });
    expect(members.state.alarms).toHaveLength(1);
    members.clearAlarm("");
    expect(members.state.alarms).toEqual([]);
  });
});
