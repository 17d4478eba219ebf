import { expect, test } from "vitest";
import { Backoff } from "./backoff.ts";
import { TokenBucket } from "./rate-limiter.ts";

test("a bucket lets its burst pass and then one per interval, and debt is paid in order", () => {
  let nowMs = 0;
  const bucket = new TokenBucket({ perSecond: 10, burst: 2, now: () => nowMs });
  expect([bucket.reserve(), bucket.reserve(), bucket.reserve(), bucket.reserve()]).toEqual([0, 0, 100, 200]);
  expect(bucket.tryAcquire()).toBe(false);
  nowMs = 10_000;
  expect([bucket.tryAcquire(), bucket.tryAcquire(), bucket.tryAcquire()]).toEqual([true, true, false]);
});

test("waiting for a token ends with the signal", async () => {
  const bucket = new TokenBucket({ perSecond: 0.001, burst: 1 });
  await bucket.acquire();
  await expect(bucket.acquire(AbortSignal.abort())).rejects.toThrow();
});

test("waits double up to the limit, spread by the jitter, and start over", () => {
  const backoff = new Backoff({ baseMs: 800, maxMs: 3000, jitter: 0.5, random: () => 0.5 });
  expect([backoff.next(), backoff.next(), backoff.next(), backoff.next()]).toEqual([800, 1600, 3000, 3000]);
  backoff.reset();
  expect(backoff.next()).toBe(800);
  const spread = [0, 1].map((value) => new Backoff({ baseMs: 100, maxMs: 100, random: () => value }).next());
  expect(spread).toEqual([50, 150]);
});
