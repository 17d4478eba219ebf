import { afterAll, beforeAll, expect, test } from "vitest";
import { type Client, connect, op, when } from "../../node/client/index.ts";
import { ProcessCluster } from "../chaos/cluster.ts";

// A client of three real processes, whose leader is killed again and again.

const KILLS = 2;
const WRITERS = 4;
const TIMEOUT_MS = 180_000;

let cluster: ProcessCluster;
let client: Client;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  await cluster.healthy();
  client = await connect({ endpoints: cluster.endpoints, timeoutMs: 60_000 });
}, TIMEOUT_MS);

afterAll(async () => {
  await client.close();
  await cluster.stop();
}, TIMEOUT_MS);

test(
  "every write is done once, and a watch tells of each, through kills of the leader",
  async () => {
    const watch = client.watch({ prefix: "w/" });
    await watch.started;
    let running = true;
    const written = new Map<number, string>();
    const write = async (name: string): Promise<number> => {
      let count = 0;
      for (; running; count += 1) {
        const { revision } = await client.put(`w/${name}`, String(count));
        expect(written.has(revision)).toBe(false);
        written.set(revision, `${name} ${count}`);
      }
      return count;
    };
    const writers = Promise.all(Array.from({ length: WRITERS }, (_, at) => write(String(at))));
    for (let kill = 0; kill < KILLS; kill += 1) {
      const before = written.size;
      while (written.size < before + 50) await new Promise((resolve) => setImmediate(resolve));
      const leader = await cluster.leader();
      await cluster.end(leader, "SIGKILL");
      const after = written.size;
      while (written.size < after + 50) await new Promise((resolve) => setImmediate(resolve));
      cluster.run(leader);
      await cluster.healthy();
    }
    running = false;
    const counts = await writers;
    const total = counts.reduce((sum, each) => sum + each, 0);
    const last = Math.max(...written.keys());
    const told: string[] = [];
    for await (const { key, value, revision } of watch) {
      const line = `${key.slice(2)} ${value?.text() ?? ""}`;
      expect(written.get(revision)).toBe(line);
      told.push(line);
      if (revision === last) break;
    }
    expect(told).toHaveLength(total);
    // A write that was done twice would have been a version too many.
    const rows = await client.list({ prefix: "w/" });
    expect(rows.map(({ version }) => version)).toEqual(counts);
  },
  TIMEOUT_MS,
);

test(
  "a counter that a txn guards loses nothing and counts nothing twice",
  async () => {
    await client.put("n", "0");
    const add = async (): Promise<void> => {
      for (;;) {
        const row = (await client.read("n"))!;
        const next = op.put("n", String(Number(row.text()) + 1));
        if ((await client.txn({ if: [when.modRevision("n", row.modRevision)], then: [next] })).succeeded) return;
      }
    };
    const adding = (async () => {
      for (let at = 0; at < 60; at += 1) await add();
    })();
    const leader = await cluster.leader();
    await cluster.end(leader, "SIGKILL");
    await adding;
    expect((await client.read("n"))?.text()).toBe("60");
    cluster.run(leader);
    await cluster.healthy();
  },
  TIMEOUT_MS,
);
