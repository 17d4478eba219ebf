import { describe, expect, it } from "vitest";
import { Prng } from "./prng.ts";

describe("prng", () => {
  it("repeats itself for a seed, and differs for another", () => {
    const draw = (seed: number | string): number[] => {
      const prng = new Prng(seed);
      return Array.from({ length: 8 }, () => prng.next());
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).toEqual(draw("1"));
    expect(draw(1)).not.toEqual(draw(2));
    expect(new Set(Array.from({ length: 1000 }, (_, seed) => draw(seed)[0])).size).toBe(1000);
  });

  it("forks independently of what was drawn", () => {
    const prng = new Prng(7);
    const before = prng.fork("disk").next();
    prng.next();
    expect(prng.fork("disk").next()).toBe(before);
    expect(prng.fork("network").next()).not.toBe(before);
  });

  it("draws evenly and inside the bounds", () => {
    const prng = new Prng("even");
    const counts = new Array<number>(10).fill(0);
    for (let draw = 0; draw < 100_000; draw += 1) counts[prng.below(10)]! += 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    let sum = 0;
    for (let draw = 0; draw < 100_000; draw += 1) sum += prng.float();
    expect(Math.abs(sum / 100_000 - 0.5)).toBeLessThan(0.01);
    expect(prng.chance(0)).toBe(false);
    expect(prng.chance(1)).toBe(true);
    expect(prng.between(3, 3)).toBe(3);
    expect(() => prng.below(0)).toThrow(RangeError);
  });

  it("shuffles without loss", () => {
    const list = Array.from({ length: 50 }, (_, at) => at);
    const shuffled = new Prng(3).shuffle(list);
    expect(shuffled).not.toEqual(list);
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(list);
  });
});
