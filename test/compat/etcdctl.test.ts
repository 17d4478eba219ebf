import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startConcord, startEtcd } from "../bench/subjects.ts";
import { etcdBinary } from "./binaries.ts";
import { runCommand } from "./command.ts";
import { compare, type Compared, Side } from "./comparison.ts";
import { ENDPOINTS, LEADERSHIP, MAINTENANCE, MEMBERS } from "./scripts/cluster.ts";
import { LEASES, LOCKS, WATCH } from "./scripts/coordination.ts";
import { COMPACTION, DELETE, LARGE, PUT_AND_GET, TXN } from "./scripts/kv.ts";

const LINE_MAX = 100;
const WAIT = { timeout: 30_000, interval: 50 };

let etcd: Side;
let concord: Side;
const compared: Compared[] = [];

beforeAll(async () => {
  const binary = etcdBinary("etcd");
  concord = new Side(await startConcord(3));
  etcd = new Side(await startEtcd(binary, 3));
  await Promise.all([etcd.learn(), concord.learn()]);
});

afterAll(async () => {
  await (concord as Side | undefined)?.subject.stop();
  await (etcd as Side | undefined)?.subject.stop();
  console.log(report(compared));
});

const SCRIPTS = {
  "put and get": PUT_AND_GET,
  del: DELETE,
  txn: TXN,
  "values that are large": LARGE,
  compaction: COMPACTION,
  watch: WATCH,
  lease: LEASES,
  "lock and elect": LOCKS,
  endpoint: ENDPOINTS,
  "alarm, defrag and downgrade": MAINTENANCE,
  member: MEMBERS,
  "move-leader": LEADERSHIP,
};

test.each(Object.entries(SCRIPTS))("etcdctl says of Concord what it says of etcd: %s", async (_name, script) => {
  compared.push(...(await compare(etcd, concord, script)));
  expect(compared.length).toBeGreaterThan(0);
});

const words = async (side: Side, line: string): Promise<string> => (await side.etcdctl(line)).stdout.toString();

test.each(["etcd", "concord"])("etcdctl make-mirror copies out of %s", async (from) => {
  const [source, target] = from === "etcd" ? [etcd, concord] : [concord, etcd];
  await source.etcdctl("put mirror/1 one");
  const ends = new AbortController();
  const to = target.subject.members[0]?.clientUrl ?? "";
  const mirror = source.etcdctl(`make-mirror --prefix=mirror/ --dest-prefix=copy/ ${to}`, { signal: ends.signal });
  const copied = async (rows: string): Promise<void> =>
    vi.waitFor(async () => expect(await words(target, "get copy/ --prefix")).toBe(rows), WAIT);
  await copied("copy/1\none\n");
  await source.etcdctl("put mirror/2 two");
  await source.etcdctl("del mirror/1");
  await copied("copy/2\ntwo\n");
  ends.abort();
  await mirror;
  await target.etcdctl("del copy/ --prefix");
});

test("etcdctl saves a snapshot of either, and etcdutl refuses the one that is not its own", async () => {
  const directory = mkdtempSync(join(tmpdir(), "concord-compat-"));
  const file = (side: Side): string => join(directory, side.subject.name);
  const status = async (side: Side) => runCommand(etcdBinary("etcdutl"), ["snapshot", "status", file(side)]);
  try {
    for (const side of [etcd, concord]) await side.etcdctl("put snapshot", { stdin: "x".repeat(100_000) });
    for (const side of [etcd, concord])
      expect(await words(side, `snapshot save ${file(side)}`)).toMatch(
        /^Snapshot saved at .*\nServer version 3\.[67]\.0\n$/,
      );
    expect((await status(etcd)).status).toBe(0);
    const refused = await status(concord);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("invalid database");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

function report(all: readonly Compared[]): string {
  const rows = all.map(({ line, differs }) => {
    const command = `etcdctl ${line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)}…` : line}`;
    return differs === undefined ? `same     ${command}` : `differs  ${command}: ${differs}`;
  });
  return [`${all.length} commands compared with etcd`, ...rows].join("\n");
}
