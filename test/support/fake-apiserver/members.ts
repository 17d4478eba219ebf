import { randomBytes } from "node:crypto";
import type http from "node:http";
import https from "node:https";
import { TLSSocket } from "node:tls";
import { ERROR_TABLE, type ErrorCode } from "../../../node/client/index.ts";
import { type AddLearnerRequest, type GrantRequest, type MemberStatus } from "../../../node/client/index.ts";

/** What is on the disk of a member. */
interface DataDirectory {
  readonly id: string;
  clusterId: string;
  clusterUid: string;
  removed: boolean;
  /** The leader has added it, but has not reached it yet: it still waits for so many looks at it. */
  adoption: { readonly cluster: FakeCluster; looks: number } | undefined;
}

interface Configured {
  readonly id: string;
  readonly name: string;
  readonly peerUrls: string[];
  learner: boolean;
}

interface FakeCluster {
  readonly id: string;
  readonly uid: string;
  readonly size: number;
  members: Configured[];
  leaderId: string;
  term: number;
  leaderChanges: number;
  founded: boolean;
}

interface Running {
  readonly name: string;
  readonly data: DataDirectory;
  readonly server: https.Server;
}

export interface Certificates {
  readonly certificate: string;
  readonly privateKey: string;
  readonly clientAuthority: string;
}

/** Told of every request at an admin door; throwing breaks the connection, before or after its effect. */
export type DoorHook = (when: "before" | "after", call: string) => void;

const LOOKS_UNTIL_ADOPTED = 2;

class Refused extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode) {
    super(ERROR_TABLE[code].message);
    this.code = code;
  }
}

/**
 * Members of Concord as their admin doors show them: identity on a volume, founding by a grant, learners that are
 * promoted, leadership that needs a majority. Over real TLS, with the certificates the operator made.
 */
export class FakeMembers {
  readonly #volumes = new Map<string, DataDirectory>();
  readonly #clusters = new Map<string, FakeCluster>();
  /** By pod name. */
  readonly #running = new Map<string, Running>();
  readonly #port: number;
  /** Everything that was changed through an admin door, as `verb subject`. */
  readonly changes: string[] = [];
  hook: DoorHook = () => undefined;
  /** Learners catch up only while this is true. */
  learnersCatchUp = true;
  onChange: () => void = () => undefined;

  /** @param port of all admin doors; each pod has an address of its own */
  constructor(port: number) {
    this.#port = port;
  }

  get clusters(): readonly FakeCluster[] {
    return [...this.#clusters.values()];
  }

  /** Name of the member that leads the only cluster. */
  get leaderName(): string | undefined {
    const cluster = this.clusters[0];
    return cluster?.members.find(({ id }) => id === this.#leader(cluster))?.name;
  }

  /** What the volume of a member holds is lost. */
  wipeVolume(volumeUid: string): void {
    this.#volumes.delete(volumeUid);
  }

  async start(pod: string, name: string, address: string, volumeUid: string, tls: Certificates): Promise<void> {
    const known = this.#volumes.get(volumeUid);
    const data = known ?? { id: randomId(), clusterId: "", clusterUid: "", removed: false, adoption: undefined };
    this.#volumes.set(volumeUid, data);
    const server = https.createServer(secureContext(tls), (request, response) => {
      void this.#handle(pod, request, response);
    });
    this.#running.set(pod, { name, data, server });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, address, resolve);
    });
  }

  /** New certificates reach a running member without a restart. */
  reload(pod: string, tls: Certificates): void {
    this.#running.get(pod)?.server.setSecureContext(secureContext(tls));
  }

  async stop(pod: string): Promise<void> {
    const running = this.#running.get(pod);
    if (running === undefined) return;
    this.#running.delete(pod);
    const closed = new Promise((resolve) => running.server.close(resolve));
    running.server.closeAllConnections();
    await closed;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((pod) => this.stop(pod)));
  }

  isReady(pod: string): boolean {
    return this.#running.has(pod) && this.#stateOf(pod) === "running";
  }

  isRunning(pod: string): boolean {
    return this.#running.has(pod);
  }

  async #handle(pod: string, request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const call = `${request.method ?? ""} ${request.url ?? ""}`;
    const { socket } = request;
    if (!(socket instanceof TLSSocket)) throw new TypeError("The admin door needs TLS");
    try {
      this.hook("before", call);
      let status = 200;
      let body: object;
      try {
        body = this.#route(pod, call, socket, JSON.parse(Buffer.concat(chunks).toString("utf8") || "{}") as object);
      } catch (error) {
        const code = error instanceof Refused ? error.code : "CONCORD_INTERNAL";
        status = ERROR_TABLE[code].http;
        body = { code, detail: String(error) };
      }
      this.hook("after", call);
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    } catch {
      socket.destroy();
    }
    if (!call.startsWith("GET ")) this.onChange();
  }

  #route(pod: string, call: string, socket: TLSSocket, body: object): object {
    const running = this.#running.get(pod);
    if (running === undefined) throw new Refused("CONCORD_STOPPED");
    const uid = /URI:concord:\/\/([^/]+)\/role\/admin/.exec(socket.getPeerX509Certificate()?.subjectAltName ?? "")?.[1];
    if (!socket.authorized || uid === undefined) throw new Refused("CONCORD_UNAUTHENTICATED");
    if (call === "GET /admin/v1/status") return this.#status(pod, running);
    if (call === "POST /admin/v1/grant") return this.#grant(pod, running, body as GrantRequest);
    const cluster = this.#clusterOf(running.data);
    if (cluster === undefined) throw new Refused("CONCORD_WAITING");
    if (this.#leader(cluster) === "") throw new Refused("CONCORD_NO_LEADER");
    if (call === "POST /admin/v1/members") this.#addLearner(cluster, body as AddLearnerRequest);
    else if (call === "POST /admin/v1/transfer") this.#transfer(cluster, (body as { to: string }).to);
    else {
      const match = /^(POST|DELETE) \/admin\/v1\/members\/([0-9a-f]{16})(\/promote)?$/.exec(call);
      if (match === null) throw new Refused("CONCORD_NOT_FOUND");
      const [, method, id = "", promote] = match;
      if (method === "POST" && promote !== undefined) this.#promote(cluster, id);
      else this.#remove(cluster, id);
    }
    if (call === "POST /admin/v1/transfer") return { leaderId: cluster.leaderId };
    return { members: cluster.members.map((member) => ({ ...member, clientUrls: [] })) };
  }

  #grant(pod: string, running: Running, request: GrantRequest): object {
    if (running.data.clusterId !== "") throw new Refused("CONCORD_ALREADY_FOUNDED");
    if (request.memberName !== running.name) throw new Refused("CONCORD_INVALID_ARGUMENT");
    const { data, name } = running;
    data.clusterId = request.clusterId;
    data.clusterUid = request.clusterUid;
    this.#clusters.set(`${request.clusterId} ${data.id}`, {
      id: request.clusterId,
      uid: request.clusterUid,
      size: request.size,
      members: [{ id: data.id, name, peerUrls: [], learner: false }],
      leaderId: data.id,
      term: 1,
      leaderChanges: 0,
      founded: request.size === 1,
    });
    this.changes.push(`grant ${name}`);
    return this.#status(pod, running);
  }

  #addLearner(cluster: FakeCluster, request: AddLearnerRequest): void {
    if (cluster.members.some(({ name }) => name === request.name)) throw new Refused("CONCORD_MEMBER_EXISTS");
    const peer = [...this.#running.values()].find(
      (each) => each.name === request.name && request.peerUrls.some((url) => url.includes(`//${each.name}-0.`)),
    );
    if (peer === undefined) throw new Refused("CONCORD_PEER_UNREACHABLE");
    if (peer.data.clusterId !== "") throw new Refused("CONCORD_PEER_NOT_EMPTY");
    peer.data.adoption = { cluster, looks: LOOKS_UNTIL_ADOPTED };
    cluster.members.push({ id: peer.data.id, name: request.name, peerUrls: request.peerUrls, learner: true });
    this.changes.push(`addLearner ${request.name}`);
  }

  #maybeAdopt(data: DataDirectory): void {
    if (data.adoption === undefined) return;
    data.adoption.looks -= 1;
    if (data.adoption.looks > 0) return;
    data.clusterId = data.adoption.cluster.id;
    data.clusterUid = data.adoption.cluster.uid;
    data.adoption = undefined;
  }

  #promote(cluster: FakeCluster, id: string): void {
    const member = cluster.members.find((each) => each.id === id);
    if (member === undefined) throw new Refused("CONCORD_MEMBER_NOT_FOUND");
    if (!member.learner) throw new Refused("CONCORD_MEMBER_NOT_LEARNER");
    if (!this.learnersCatchUp || !this.#isUp(id)) throw new Refused("CONCORD_LEARNER_NOT_READY");
    member.learner = false;
    if (cluster.members.filter(({ learner }) => !learner).length >= cluster.size) cluster.founded = true;
    this.changes.push(`promote ${member.name}`);
  }

  #remove(cluster: FakeCluster, id: string): void {
    const member = cluster.members.find((each) => each.id === id);
    if (member === undefined) throw new Refused("CONCORD_MEMBER_NOT_FOUND");
    const rest = cluster.members.filter((each) => each.id !== id && !each.learner);
    const healthy = rest.filter((each) => this.#isUp(each.id)).length;
    if (!member.learner && healthy <= rest.length / 2) throw new Refused("CONCORD_WOULD_LOSE_QUORUM");
    cluster.members = cluster.members.filter((each) => each.id !== id);
    for (const data of this.#volumes.values()) if (data.id === id) data.removed = true;
    this.changes.push(`remove ${member.name}`);
  }

  #transfer(cluster: FakeCluster, to: string): void {
    const heir = cluster.members.find((each) => !each.learner && this.#isUp(each.id) && (to === "" || each.id === to));
    if (heir === undefined) throw new Refused("CONCORD_BAD_LEADER_TRANSFEREE");
    this.#setLeader(cluster, heir.id);
    this.changes.push(`transfer ${heir.name}`);
  }

  #status(pod: string, running: Running): MemberStatus {
    const { data, name } = running;
    this.#maybeAdopt(data);
    const cluster = this.#clusterOf(data);
    const leaderId = cluster === undefined ? "" : this.#leader(cluster);
    const member = cluster?.members.find(({ id }) => id === data.id);
    const leads = leaderId !== "" && leaderId === data.id;
    return {
      state: this.#stateOf(pod),
      id: data.id,
      name,
      clusterId: data.clusterId,
      clusterUid: data.clusterUid,
      version: "0.0.0",
      role: leads ? "leader" : member?.learner === true ? "learner" : "follower",
      leaderId,
      term: cluster?.term ?? 0,
      commitIndex: 1,
      appliedIndex: 1,
      revision: 1,
      compactRevision: 0,
      members: (cluster?.members ?? []).map((each) => ({
        ...each,
        clientUrls: [],
        matchIndex: leads ? 1 : -1,
        active: leads && this.#isUp(each.id),
        caughtUp: leads && this.#isUp(each.id) && this.learnersCatchUp,
      })),
      machineVersion: 1,
      databaseBytes: 0,
      alarms: [],
      certificateNotAfter: "",
    };
  }

  #stateOf(pod: string): MemberStatus["state"] {
    const running = this.#running.get(pod);
    if (running === undefined) return "failed";
    if (running.data.removed) return "removed";
    const cluster = this.#clusterOf(running.data);
    if (cluster === undefined) return "waiting";
    return cluster.founded ? "running" : "founding";
  }

  #clusterOf(data: DataDirectory): FakeCluster | undefined {
    return this.clusters.find(
      ({ id, members }) => id === data.clusterId && members.some((each) => each.id === data.id),
    );
  }

  #isUp(id: string): boolean {
    return [...this.#running.values()].some(
      ({ data }) => data.id === id && !data.removed && data.adoption === undefined,
    );
  }

  /** The leader's id, after an election if one is due; empty without a majority. */
  #leader(cluster: FakeCluster): string {
    const voters = cluster.members.filter(({ learner }) => !learner);
    const up = voters.filter(({ id }) => this.#isUp(id));
    if (up.length <= voters.length / 2) return "";
    if (!up.some(({ id }) => id === cluster.leaderId)) this.#setLeader(cluster, up[0]?.id ?? "");
    return cluster.leaderId;
  }

  #setLeader(cluster: FakeCluster, id: string): void {
    if (cluster.leaderId === id) return;
    cluster.leaderId = id;
    cluster.term += 1;
    cluster.leaderChanges += 1;
  }
}

function secureContext(tls: Certificates): https.ServerOptions {
  return {
    cert: tls.certificate,
    key: tls.privateKey,
    ca: tls.clientAuthority,
    requestCert: true,
    rejectUnauthorized: true,
  };
}

/** A Raft id: 63 bits, in 16 hex digits. */
function randomId(): string {
  const bytes = randomBytes(8);
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return bytes.toString("hex");
}
