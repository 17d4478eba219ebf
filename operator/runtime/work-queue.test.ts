import { describe, expect, test, vi } from "vitest";
import { WorkQueue } from "./work-queue.ts";

describe("WorkQueue", () => {
  test("a key that is added twice is worked on once", async () => {
    const queue = new WorkQueue();
    queue.add("a");
    queue.add("a");
    queue.add("b");
    expect(queue.depth).toBe(2);
    expect([await queue.get(), await queue.get()]).toEqual(["a", "b"]);
  });

  test("a key added while in work is worked on again, but not before it is done", async () => {
    const queue = new WorkQueue();
    queue.add("a");
    const first = await queue.get();
    queue.add("a");
    queue.add("a");
    expect(queue.depth).toBe(0);
    queue.done(first ?? "");
    expect(queue.depth).toBe(1);
    expect(await queue.get()).toBe("a");
    queue.done("a");
    expect(queue.depth).toBe(0);
  });

  test("a waiting worker gets the next key", async () => {
    const queue = new WorkQueue();
    const taken = queue.get();
    queue.add("a");
    expect(await taken).toBe("a");
  });

  test("of several planned additions the earliest counts, and an addition meanwhile does not cancel it", async () => {
    vi.useFakeTimers();
    try {
      const queue = new WorkQueue();
      queue.addAfter("a", 1000);
      queue.addAfter("a", 100);
      queue.addAfter("a", 500);
      queue.add("a");
      expect(await queue.get()).toBe("a");
      queue.done("a");
      await vi.advanceTimersByTimeAsync(99);
      expect(queue.depth).toBe(0);
      await vi.advanceTimersByTimeAsync(1);
      expect(queue.depth).toBe(1);
      expect(await queue.get()).toBe("a");
      queue.done("a");
      await vi.advanceTimersByTimeAsync(2000);
      expect(queue.depth).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("waits grow with each failure up to the limit, and start over after forget", async () => {
    const queue = new WorkQueue({ itemBaseMs: 5, itemMaxMs: 100 });
    const waits = Array.from({ length: 7 }, () => queue.addRateLimited("a"));
    expect(waits).toEqual([5, 10, 20, 40, 80, 100, 100]);
    expect(queue.failures("a")).toBe(7);
    queue.forget("a");
    expect(queue.addRateLimited("a")).toBe(5);
    await queue.close();
  });

  test("many failing keys share one budget", async () => {
    const queue = new WorkQueue({ itemBaseMs: 1, perSecond: 10, burst: 2, now: () => 0 });
    const waits = ["a", "b", "c", "d"].map((key) => queue.addRateLimited(key));
    expect(waits).toEqual([1, 1, 100, 200]);
    await queue.close();
  });

  test("close drops what waits, refuses what comes and resolves when the work under way is done", async () => {
    const queue = new WorkQueue();
    queue.add("a");
    queue.add("b");
    const key = (await queue.get()) ?? "";
    const idle = queue.get();
    expect(await idle).toBe("b");
    queue.done("b");
    const waiting = queue.get();
    let closed = false;
    const closing = queue.close().then(() => {
      closed = true;
    });
    expect(await waiting).toBeUndefined();
    queue.add("c");
    expect(queue.depth).toBe(0);
    expect(closed).toBe(false);
    queue.done(key);
    await closing;
    expect(await queue.get()).toBeUndefined();
  });

  test("tells for how long keys have been in work", async () => {
    let nowMs = 0;
    const queue = new WorkQueue({ now: () => nowMs });
    queue.add("a");
    await queue.get();
    nowMs = 40;
    queue.add("b");
    await queue.get();
    nowMs = 50;
    expect(queue.unfinished()).toEqual({ longestMs: 50, totalMs: 60 });
  });
});
