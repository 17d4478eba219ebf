import { expect, test } from "vitest";
import { type WatchMessage } from "./watch-doors.ts";
import { eventsOf, type WatchedEvent, WatchHistory } from "./watch-history.ts";
import { Watcher, type WatchVerdict } from "./watcher.ts";

// What the watchers of `npm run chaos:watches` must notice: doors that break each promise once.

const TXNS = 6;
/** Txn `n` of the only writer is revision `n + 2`. */
const changes = (...sequences: readonly number[]): WatchMessage => ({
  type: "changes",
  events: sequences.flatMap((sequence) => eventsOf(0, sequence).map((event) => ({ ...event, revision: sequence + 2 }))),
});
const part = (sequence: number, from: number, to?: number): WatchMessage => {
  const message = changes(sequence) as { readonly events: readonly WatchedEvent[] };
  return { type: "changes", events: message.events.slice(from, to) };
};

/** What a watcher finds at a door that says these messages and then nothing more. */
async function verdictOn(messages: readonly WatchMessage[]): Promise<WatchVerdict> {
  const history = new WatchHistory(1);
  for (let sequence = 0; sequence < TXNS; sequence += 1) history.add(0, sequence, sequence + 2);
  let opened = 0;
  let finish: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const door = {
    name: "script",
    // eslint-disable-next-line @typescript-eslint/require-await -- the interface is asynchronous
    async *open(): AsyncGenerator<WatchMessage> {
      opened += 1;
      if (opened === 1) yield* messages;
      finish();
      throw new Error("Cut off");
    },
  };
  const watcher = new Watcher(door, [], { attempt: 0 });
  await over;
  watcher.stop();
  await watcher.ended();
  return watcher.verdict(history);
}

const GOOD = { gaps: 0, duplicates: 0, reorderings: 0, torn: 0, wrongLists: 0, revisions: TXNS };

test("a door that keeps every promise", async () => {
  const messages = [changes(0), changes(1, 2), { type: "progress", revision: 4 } as const, changes(3, 4, 5)];
  expect(await verdictOn(messages)).toMatchObject({ ...GOOD, examples: [] });
});

test("a revision that never comes", async () => {
  expect(await verdictOn([changes(0, 1), changes(3, 4, 5)])).toMatchObject({ ...GOOD, gaps: 1, revisions: 5 });
});

test("a revision that comes again", async () => {
  const messages = [changes(0, 1, 2), changes(3), changes(2), changes(4, 5)];
  expect(await verdictOn(messages)).toMatchObject({ ...GOOD, duplicates: 1, revisions: 7 });
});

test("a revision that comes too late", async () => {
  expect(await verdictOn([changes(0, 1, 3), changes(2), changes(4, 5)])).toMatchObject({ ...GOOD, reorderings: 1 });
});

test("progress that promises too much", async () => {
  const messages = [changes(0, 1), { type: "progress", revision: 4 } as const, changes(2), changes(3, 4, 5)];
  expect(await verdictOn(messages)).toMatchObject({ ...GOOD, reorderings: 1 });
});

test("a txn in parts, and one without its last change", async () => {
  const inParts = [changes(0, 1), part(2, 0, 3), part(2, 3), changes(3, 4, 5)];
  expect((await verdictOn(inParts)).torn).toBeGreaterThan(0);
  expect(await verdictOn([changes(0, 1), part(2, 0, -1), changes(3, 4, 5)])).toMatchObject({ torn: 1 });
});
