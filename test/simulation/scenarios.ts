import { holds, lastIndexOf, type Scenario, termOf } from "./stage.ts";

/** Long enough for an answer that is under way, too short for an election. */
const ANSWER_MS = 60;

/**
 * Figure 8 of the paper: a leader brings an entry of an older term to a majority and falls before one of its own follows
 * it; the next leader has another entry in that place. Whoever took the first for committed was wrong.
 */
const figure8: Scenario = {
  name: "figure-8",
  // Every entry travels alone.
  settings: { nodes: 5, spares: 0, appendBytesMax: 1 },
  *play(stage) {
    const first = yield* stage.steadyLeader(stage.nodes);
    if (first === undefined) return false;
    const [keeper, ...others] = stage.nodes.filter((node) => node !== first);
    if (keeper === undefined) return false;
    const [index, term] = [lastIndexOf(first) + 1, termOf(first)];

    // (a) The entry comes to one follower only.
    stage.isolate(first, [keeper]);
    stage.propose(first);
    if (!(yield* stage.until(() => holds(keeper, index, term)))) return false;
    first.kill("kill");
    stage.isolate(keeper);

    // (b) Another leader, without it, puts an entry of its own there, on its own disk only.
    const rival = yield* stage.leader(others, term);
    if (rival === undefined) return false;
    stage.isolate(rival);
    const rivalTerm = termOf(rival);
    if (!(yield* stage.until(() => holds(rival, index, rivalTerm)))) return false;
    rival.kill("kill");

    // (c) Those who have the first entry lead again, and bring it to a majority, but nothing behind it.
    const [third, fourth] = others.filter((node) => node !== rival);
    if (third === undefined || fourth === undefined) return false;
    first.start();
    stage.heal();
    const again = yield* stage.leader([first, keeper], rivalTerm);
    if (again === undefined) return false;
    stage.cut(again, fourth);
    if (!(yield* stage.until(() => lastIndexOf(third) >= index))) return false;
    stage.cut(again, third);
    const spread = yield* stage.until(() => holds(third, index, term));
    yield* stage.pause(ANSWER_MS);
    first.kill("kill");
    keeper.kill("kill");

    // (d) The rival is elected by the rest, and its entry takes the place.
    stage.heal();
    rival.start();
    const settled = yield* stage.until(() => rival.leads && (rival.replica?.core.applied ?? 0) > index);
    return spread && settled;
  },
};

/**
 * A leader begins a change of the membership while it is undecided what becomes of the one before it (Ongaro, 2015). Two
 * majorities need not meet then; and whoever has both in its log takes the first for committed, as it is when every leader
 * waits.
 */
const changeBeforeCommit: Scenario = {
  name: "change-before-commit",
  settings: { nodes: 5, spares: 0 },
  *play(stage) {
    const first = yield* stage.steadyLeader(stage.nodes);
    const [second, third, ...others] = stage.nodes.filter((node) => node !== first);
    if (first === undefined || second === undefined || third === undefined) return false;
    const [index, term] = [lastIndexOf(first) + 1, termOf(first)];

    // The first change comes to one follower, and its leader falls.
    stage.isolate(first, [second]);
    stage.change(first, { type: "remove", member: first.memberId });
    if (!(yield* stage.until(() => holds(second, index, term)))) return false;
    first.kill("kill");

    // The follower leads, and is asked for the second change before it has brought the first to anybody.
    stage.heal();
    for (const other of [third, ...others]) stage.isolate(other, [second]);
    const next = yield* stage.leader([second], term);
    const active = (): number => second.replica?.status.peers.filter((peer) => peer.active).length ?? 0;
    if (next === undefined || !(yield* stage.until(() => active() >= 2))) return false;
    const accepted = stage.change(second, { type: "remove", member: third.memberId });

    // The others go on without it.
    stage.heal();
    stage.isolate(second);
    const rival = yield* stage.leader([third, ...others], termOf(second));
    const settled = yield* stage.until(() => (rival?.replica?.core.applied ?? 0) > index);
    return accepted || settled;
  },
};

export const SCENARIOS: readonly Scenario[] = [figure8, changeBeforeCommit];
