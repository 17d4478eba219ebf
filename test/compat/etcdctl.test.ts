import { afterAll, beforeAll, expect, test } from "vitest";
import { startConcord, startEtcd } from "../bench/subjects.ts";
import { etcdBinary } from "./binaries.ts";
import { compare, type Compared, Side } from "./comparison.ts";
import { ENDPOINTS, LEADERSHIP, MAINTENANCE, MEMBERS } from "./scripts/cluster.ts";
import { LEASES, LOCKS, WATCH } from "./scripts/coordination.ts";
import { COMPACTION, DELETE, LARGE, PUT_AND_GET, TXN } from "./scripts/kv.ts";

const LINE_MAX = 100;

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

function report(all: readonly Compared[]): string {
  const rows = all.map(({ line, differs }) => {
    const command = `etcdctl ${line.length > LINE_MAX ? `${line.slice(0, LINE_MAX)}…` : line}`;
    return differs === undefined ? `same     ${command}` : `differs  ${command}: ${differs}`;
  });
  return [`${all.length} commands compared with etcd`, ...rows].join("\n");
}
