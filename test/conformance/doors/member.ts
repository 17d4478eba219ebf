import { Doors } from "../../../node/api/doors.ts";
import { openMember } from "../../../node/assembly.ts";
import { SILENT_LOGGER } from "../../../node/observability/log.ts";

/** A real member of one, in memory, with all its doors on a real socket. */
export async function openServer(): Promise<{ readonly url: string; readonly port: number; close(): Promise<void> }> {
  const name = "a";
  const limits = { keyBytesMax: 1_572_864, valueBytesMax: 1_572_864, operationsMax: 500, nestingMax: 16 };
  const assembled = await openMember({
    name,
    dataDir: undefined,
    listenPeerUrls: [],
    advertisePeerUrls: [],
    clientUrls: [],
    initialCluster: [{ name, peerUrls: [] }],
    initialClusterState: "new",
    token: "conformance",
    clusterUid: "",
    heartbeatMs: 50,
    electionTimeoutMs: 300,
    quotaBytes: 1 << 30,
    limits,
    autoCompaction: { mode: "off" },
    peerTls: undefined,
    logger: SILENT_LOGGER,
    onFatal: (error) => {
      throw error;
    },
  });
  await assembled.node.ready({ timeoutMs: 60_000 });
  const doors = new Doors(
    assembled.node,
    {
      name,
      clusterUid: "",
      listenClientUrls: ["http://127.0.0.1:0"],
      listenMetricsUrls: [],
      clientCertAuth: false,
      enableGrpcGateway: true,
      maxRequestBytes: 1_572_864,
      maxTxnOps: 128,
      maxConnections: 1000,
      maxSessions: 100,
      maxSessionFrameBytes: 4 << 20,
      maxSessionRequests: 1000,
      maxSessionWatches: 1000,
      maxSessionBufferBytes: 4 << 20,
      quotaBackendBytes: 1 << 30,
      electionTimeout: 300,
      watchProgressNotifyIntervalMs: 600_000,
      idempotency: { ttlMs: 86_400_000, budgetBytes: 1 << 29 },
    },
    { logger: SILENT_LOGGER, tls: undefined, version: "0.0.0-test" },
  );
  const { clientUrls } = await doors.open();
  const [url = ""] = clientUrls;
  return {
    url,
    port: Number(new URL(url).port),
    async close() {
      await doors.close();
      await assembled.close();
    },
  };
}
