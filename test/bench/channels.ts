import { pathToFileURL } from "node:url";
import { CHANNELS } from "../../node/observability/channels.ts";
import { Concord } from "../../node/index.ts";

// node test/bench/channels.ts: what the diagnostics channels cost a member alone in memory, heard by nobody and by one
// listener to each. The first line of a kind is the price that every node pays.

interface Costs {
  /** Nanoseconds of a local read in process. */
  readonly getNs: number;
  /** Microseconds of a write, `WRITES_AT_ONCE` at a time. */
  readonly putUs: number;
}

const WRITES_AT_ONCE = 64;

/** @param size.reads and `size.writes`: how many are measured, after a tenth as many that are not */
export async function measureChannels(size: {
  readonly reads: number;
  readonly writes: number;
}): Promise<{ readonly unheard: Costs; readonly heard: Costs }> {
  await using store = await Concord.open({ memory: true });
  await store.put("k", "v");
  const unheard = await costs(store, size);
  let events = 0;
  const listener = (): void => void (events += 1);
  for (const channel of Object.values(CHANNELS)) channel.subscribe(listener);
  try {
    return { unheard, heard: await costs(store, size) };
  } finally {
    for (const channel of Object.values(CHANNELS)) channel.unsubscribe(listener);
  }
}

async function costs(store: Concord, { reads, writes }: { reads: number; writes: number }): Promise<Costs> {
  const read = (count: number): void => {
    for (let done = 0; done < count; done += 1) store.get("k");
  };
  const write = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += WRITES_AT_ONCE)
      await Promise.all(Array.from({ length: WRITES_AT_ONCE }, async () => store.put("k", "v")));
  };
  read(reads / 10);
  const readsBegan = performance.now();
  read(reads);
  const getNs = ((performance.now() - readsBegan) * 1e6) / reads;
  await write(writes / 10);
  const writesBegan = performance.now();
  await write(writes);
  return { getNs, putUs: ((performance.now() - writesBegan) * 1e3) / writes };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { unheard, heard } = await measureChannels({ reads: 1_000_000, writes: 64_000 });
  for (const [who, { getNs, putUs }] of Object.entries({ unheard, heard }))
    process.stdout.write(`${who.padEnd(8)} get ${getNs.toFixed(0)} ns, put ${putUs.toFixed(2)} us\n`);
}
