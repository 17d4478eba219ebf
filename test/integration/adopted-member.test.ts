import { afterEach, expect, test, vi } from "vitest";
import { LOGGER_OFF } from "../../node/api/embed/options.ts";
import { type Assembled, openMember } from "../../node/assembly.ts";
import { TcpTransport } from "../../node/transport/tcp/transport.ts";
import { CLUSTER, close, identity, startMember, WAIT } from "../conformance/transport.suite.ts";

// A member between its adoption by a cluster and the first state it gets from it. The cluster is a transport that says
// nothing, so that this moment lasts.

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});

async function waitingMember(): Promise<Assembled> {
  const address = ["http://127.0.0.1:0"];
  const assembled = await openMember({
    name: "m2",
    dataDir: undefined,
    listenPeerUrls: address,
    advertisePeerUrls: address,
    clientUrls: [],
    initialCluster: [],
    initialClusterState: "existing",
    token: "token",
    clusterUid: "",
    heartbeatMs: 50,
    electionTimeoutMs: 300,
    quotaBytes: 1 << 20,
    limits: { keyBytesMax: 1 << 16, valueBytesMax: 1 << 16, operationsMax: 128, nestingMax: 16 },
    autoCompaction: { mode: "off" },
    peerTls: undefined,
    logger: LOGGER_OFF,
    onFatal: (error) => {
      throw error;
    },
  });
  open.push(() => assembled.close());
  return assembled;
}

test("a member that was added says that it is a learner before it knows any configuration", async () => {
  const { member, node } = await waitingMember();
  expect(node.info()).toMatchObject({ state: "waiting", role: "follower", clusterId: "" });
  const create = (): TcpTransport => new TcpTransport({ listenUrls: [], identity: identity(1), logger: LOGGER_OFF });
  const cluster = await startMember({ create }, identity(1));
  open.push(() => close(cluster.transport));
  const { transport } = member;
  const urls = transport instanceof TcpTransport ? transport.urls : [];
  cluster.transport.setPeers([{ id: member.memberId, name: "m2", urls }]);
  await vi.waitFor(() => expect(node.info().clusterId).toBe(CLUSTER), WAIT);
  expect(node.info()).toMatchObject({ state: "recovering", role: "learner", members: [], appliedIndex: 0 });
  expect(node.header().role).toBe("learner");
});
