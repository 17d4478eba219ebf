import { describe, expect, it } from "vitest";
import { openLog } from "../../node/storage/wal/wal.ts";
import { LOG_DIRECTORY, LogHistory, SMALL_LOG } from "../support/log-history.ts";
import { Prng } from "../support/prng.ts";
import { ManualSchedule, SimDisk, SimulatedCrash } from "../support/sim-disk.ts";

/**
 * Crashes at every step of short histories. Whatever a crash leaves, opening the log finds everything that was
 * acknowledged, no half of what was not, and never damage.
 */

/** Runs a history until it ends or dies in front of the step. Equal seeds and steps give equal runs. */
function runUntil(seed: string, step: number, operations: number): { disk: SimDisk; history: LogHistory } {
  const schedule = new ManualSchedule();
  const prng = new Prng(seed);
  const disk = new SimDisk(prng.fork("disk"), schedule.schedule);
  const history = new LogHistory();
  const mounted = disk.mount();
  disk.crashAtStep = step;
  try {
    history.create(mounted, SMALL_LOG);
    history.run(prng.fork("operations"), schedule, operations);
  } catch (error) {
    if (!(error instanceof SimulatedCrash)) throw error;
  }
  return { disk, history };
}

interface Opened {
  /** Place in the history, or -1 for an empty directory. */
  readonly place: number;
}

/** Opens what the crash has left, and checks it against the history. `least` is what must be there. */
function openAndCheck(
  disk: SimDisk,
  history: LogHistory,
  least: number,
  created: boolean,
  step = Infinity,
): Opened | "crashed" {
  const mounted = disk.mount();
  disk.crashAtStep = disk.steps + step;
  try {
    const opened = openLog(mounted, LOG_DIRECTORY, SMALL_LOG);
    if (opened.type === "damaged") throw new Error(`Damage after a crash: ${JSON.stringify(opened.damage)}`);
    if (opened.type === "empty") {
      expect(created, "a created log is never empty").toBe(false);
      return { place: -1 };
    }
    const place = history.place(opened.recovered);
    expect(place, "what is found was there at some time, and whole").toBeGreaterThanOrEqual(0);
    expect(place, "what was acknowledged is there").toBeGreaterThanOrEqual(least);
    return { place };
  } catch (error) {
    if (error instanceof SimulatedCrash) return "crashed";
    throw error;
  }
}

/** Calls `visit` with choosers that go through all combinations of choices, or through `most` random ones. */
function everyChoice(prng: Prng, most: number, visit: (choose: (alternatives: number) => number) => void): void {
  let path: { chosen: number; alternatives: number }[] = [];
  for (let visits = 0; visits < most; visits += 1) {
    let depth = 0;
    visit((alternatives) => {
      const choice = (path[depth] ??= { chosen: 0, alternatives });
      depth += 1;
      return choice.chosen;
    });
    path = path.slice(0, depth);
    while (path.length > 0 && path.at(-1)!.chosen + 1 >= path.at(-1)!.alternatives) path.pop();
    if (path.length === 0) return;
    path.at(-1)!.chosen += 1;
  }
  for (let visits = 0; visits < most; visits += 1) visit((alternatives) => prng.below(alternatives));
  visit((alternatives) => alternatives - 1);
}

const SEEDS = ["1", "2", "3"];
const OPERATIONS = 40;

function stepsOf(seed: string): number {
  return runUntil(seed, Infinity, OPERATIONS).disk.steps;
}

describe.each(SEEDS)("crash, history %s", (seed) => {
  it("acknowledges everything, crosses and recycles segments when nothing fails", () => {
    const { disk, history } = runUntil(seed, Infinity, OPERATIONS);
    expect(history.acknowledged).toBe(history.states.length - 1);
    disk.kill();
    expect(disk.paths().some((path) => path.endsWith("0000000000000003.wal"))).toBe(true);
    expect(openAndCheck(disk, history, history.acknowledged, true)).toEqual({ place: history.states.length - 1 });
  });

  it("loses nothing to a kill, or to a loss of power, at any step", () => {
    const steps = stepsOf(seed);
    for (let step = 0; step <= steps; step += 1) {
      const { disk, history } = runUntil(seed, step, OPERATIONS);
      const least = history.acknowledged;
      const prng = new Prng(`${seed}/${step}`);
      disk.kill();
      const killed = disk.snapshot(prng);
      const found = openAndCheck(killed, history, least, history.created);
      // What one opening has found is durable from then on, also when it was only in the page cache before.
      if (found !== "crashed" && found.place >= 0) {
        killed.choose = () => 0;
        killed.losePower();
        openAndCheck(killed, history, found.place, true);
      }
      everyChoice(prng, 10, (choose) => {
        const lost = disk.snapshot(prng);
        lost.choose = choose;
        lost.losePower();
        openAndCheck(lost, history, least, history.created);
      });
    }
  });

  it("loses nothing to crashes while it is being opened", () => {
    const steps = stepsOf(seed);
    const prng = new Prng(`${seed}/opening`);
    for (let step = 0; step <= steps; step += 3) {
      const { disk, history } = runUntil(seed, step, OPERATIONS);
      const least = history.acknowledged;
      if (prng.chance(0.5)) disk.losePower();
      for (let at = 0; ; at += 1) {
        const again = disk.snapshot(prng);
        if (openAndCheck(again, history, least, history.created, at) !== "crashed") break;
        // Killed and killed again, then the power goes: all three kinds of leftovers meet.
        const second = openAndCheck(again, history, least, history.created, prng.below(12));
        if (prng.chance(0.7)) again.losePower();
        else again.kill();
        const held = second === "crashed" ? least : Math.max(least, second.place);
        openAndCheck(again, history, held, history.created || (second !== "crashed" && second.place >= 0));
      }
    }
  });
});
