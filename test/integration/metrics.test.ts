import { afterAll, beforeAll, expect, test } from "vitest";
import { SILENT_LOGGER } from "../../node/observability/log.ts";
import { etcdClient } from "../support/open-doors.ts";
import { ServerCluster } from "../support/server-cluster.ts";

// What a scrape of real members shows, with disks and connections of their own.

const WAIT = { timeout: 60_000, interval: 50 };

let cluster: ServerCluster;
let urls: readonly string[];

beforeAll(async () => {
  cluster = await ServerCluster.start(SILENT_LOGGER);
  urls = cluster.urls;
}, 90_000);

afterAll(async () => cluster.stop());

/** Values by series, as they stand in the text. */
async function scrape(url: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

test("leaders, syncs and calls are counted at the member where they happened", async () => {
  const client = etcdClient(urls[0]!.slice("http://".length));
  try {
    for (let written = 0; written < 3; written += 1)
      await client.call("KV", "Put", { key: Buffer.from("k"), value: Buffer.from("v") });
    await expect(client.call("KV", "Put", { key: Buffer.alloc(0) })).rejects.toMatchObject({ code: 3 });
    const [first, ...others] = await Promise.all(urls.map(scrape));
    const put = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"';
    expect(first!.get(`grpc_server_started_total{${put}}`)).toBe(4);
    expect(first!.get(`grpc_server_handled_total{${put},grpc_code="OK"}`)).toBe(3);
    expect(first!.get(`grpc_server_handled_total{${put},grpc_code="InvalidArgument"}`)).toBe(1);
    expect(first!.get(`grpc_server_handling_seconds_count{${put}}`)).toBe(4);
    for (const other of others) expect(other.has(`grpc_server_started_total{${put}}`)).toBe(false);
    for (const each of [first!, ...others]) {
      expect(each.get("etcd_server_has_leader")).toBe(1);
      expect(each.get("etcd_server_leader_changes_seen_total")).toBeGreaterThan(0);
      expect(each.get("etcd_disk_wal_fsync_duration_seconds_count")).toBeGreaterThan(3);
      expect(each.get("etcd_disk_wal_fsync_duration_seconds_sum")).toBeGreaterThan(0);
    }
  } finally {
    client.close();
  }
});

test("every member knows how far away the others are", async () => {
  for (const url of urls) {
    await expect
      .poll(async () => {
        const series = [...(await scrape(url))].filter(([name]) =>
          name.startsWith("etcd_network_peer_round_trip_time_seconds_count"),
        );
        return series.filter(([, count]) => count > 0).length;
      }, WAIT)
      .toBe(2);
  }
});
