import { setImmediate as turn } from "node:timers/promises";
import { type Change, Concord, ConcordError } from "../../node/index.ts";
import { type EmbeddedOrder, type EmbeddedReport } from "./embedded-member.ts";
import { WATCHED_PREFIX } from "./watch-history.ts";

// A program with a member of its own, told what to watch by the process that started it.

interface Running {
  readonly abort: AbortController;
  taken: () => void;
}

const running = new Map<number, Running>();
const [, , dataDir = "", members = "[]"] = process.argv;

process.on("disconnect", () => process.exit());
// Orders that come before the member serves are carried out then.
const orders: EmbeddedOrder[] = [];
process.on("message", (order: EmbeddedOrder) => orders.push(order));
const store = await Concord.open({
  name: "embedded",
  dataDir,
  cluster: {
    members: JSON.parse(members) as { name: string; peerUrls: string[] }[],
    state: "existing",
    token: "concord-local",
  },
});
void store.failed.then((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
process.removeAllListeners("message");
process.on("message", carryOut);
orders.forEach(carryOut);

function carryOut(order: EmbeddedOrder): void {
  if (order.type === "watch") {
    const started: Running = { abort: new AbortController(), taken: () => undefined };
    running.set(order.watch, started);
    void watch(order.watch, order.from, started);
  } else if (order.type === "next") running.get(order.watch)?.taken();
  else {
    const ended = running.get(order.watch);
    running.delete(order.watch);
    ended?.abort.abort();
    ended?.taken();
  }
}

async function watch(id: number, from: number, started: Running): Promise<void> {
  const { signal } = started.abort;
  const changes = store.watch({ prefix: WATCHED_PREFIX }, { fromRevision: from, signal });
  try {
    for (let next = changes.next(); !signal.aborted;) {
      const first = await next;
      if (first.done === true) break;
      const together: Change[] = [first.value];
      // What comes within one turn of the event loop has whole revisions only.
      const over = turn();
      for (next = changes.next(); ; next = changes.next()) {
        const result = await Promise.race([next, over]);
        if (result === undefined || result.done === true) break;
        together.push(result.value);
      }
      await report(started, { watch: id, message: { type: "changes", events: together.map(eventOf) } });
    }
    send({ watch: id, failure: "stopped" });
  } catch (error) {
    if (ConcordError.is(error) && error.code === "CONCORD_COMPACTED")
      send({ watch: id, message: { type: "compacted" } });
    else send({ watch: id, failure: String(error) });
  } finally {
    running.delete(id);
  }
}

/** Sends a message, and waits until it is taken. */
async function report(started: Running, message: EmbeddedReport): Promise<void> {
  const taken = new Promise<void>((resolve) => {
    started.taken = resolve;
  });
  send(message);
  await taken;
}

function send(report: EmbeddedReport): void {
  process.send?.(report, undefined, undefined, () => undefined);
}

function eventOf({ revision, key, value }: Change): { revision: number; key: string; value: string | undefined } {
  return { revision, key, value: value?.text() };
}
