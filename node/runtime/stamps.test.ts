import { expect, test } from "vitest";
import { type Environment } from "./environment.ts";
import { LeaderClock } from "./stamps.ts";

function environmentAt(times: { now: number; wall: number }): Environment {
  return {
    now: () => times.now,
    wallTime: () => times.wall,
    random: () => 0,
    randomId: () => "0000000000000001",
    timer: () => () => undefined,
    defer: () => undefined,
  };
}

test("cluster time goes on from the last stamp by the leader's own clock", () => {
  const times = { now: 5_000, wall: 1_000_000 };
  const clock = new LeaderClock(environmentAt(times), { clusterTimeMs: 70, wallTimeMs: 0 });
  expect(clock.stamps()).toEqual({ clusterTimeMs: 70, wallTimeMs: 1_000_000 });
  times.now += 12.7;
  expect(clock.stamps().clusterTimeMs).toBe(82);
});

test("neither stamp runs back when a clock does", () => {
  const times = { now: 5_000, wall: 1_000_000 };
  const clock = new LeaderClock(environmentAt(times), { clusterTimeMs: 70, wallTimeMs: 2_000_000 });
  times.now += 100;
  expect(clock.stamps()).toEqual({ clusterTimeMs: 170, wallTimeMs: 2_000_000 });
  times.now -= 4_000;
  times.wall = 1;
  expect(clock.stamps()).toEqual({ clusterTimeMs: 170, wallTimeMs: 2_000_000 });
});
