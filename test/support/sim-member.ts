import { decodeMessage, type PeerMessage } from "../../node/codec/message.ts";
import { type MemberId, NONE } from "../../node/raft/types.ts";
import { Member } from "../../node/runtime/member.ts";
import { type FoundingPeer } from "../../node/runtime/member-options.ts";
import { type Replica } from "../../node/runtime/replica.ts";
import { MemoryCheckpoints } from "../../node/storage/memory/checkpoint-store.ts";
import { createLog, openLog } from "../../node/storage/wal/wal.ts";
import { type Transport } from "../../node/transport/transport.ts";
import { type Prng } from "./prng.ts";
import { type SimClock, SimProcess } from "./sim-clock.ts";
import { SimDisk } from "./sim-disk.ts";
import { type SimNetwork, SimTransport } from "./sim-network.ts";

const LOG = "/data/log";
/** Small, so that a new segment takes no time to fill. */
const LOG_OPTIONS = { segmentBytes: 65_536, firstSegmentBytes: 65_536 };
const NO_LOGGER = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export interface SimWorld {
  readonly clock: SimClock;
  readonly network: SimNetwork;
  readonly prng: Prng;
  readonly founding: readonly FoundingPeer[];
}

/** A member in simulated time whose messages a test can hold back, and whose process it can replace by another one. */
export class SimMember {
  readonly #world: SimWorld;
  readonly #peer: FoundingPeer;
  readonly #disk: SimDisk;
  readonly #checkpoints: MemoryCheckpoints;
  #process: SimProcess;
  #member: Member;
  #transport: Transport | undefined;
  #processes = 0;
  /** What to keep of what this member sends. */
  holds: (message: PeerMessage, to: MemberId) => boolean = () => false;
  /** Frames that were kept, oldest first. */
  readonly held: { readonly to: MemberId; readonly frame: Uint8Array }[] = [];

  constructor(world: SimWorld, peer: FoundingPeer) {
    this.#world = world;
    this.#peer = peer;
    const later = (delayMs: number, action: () => void): void => this.#process.later(delayMs, action);
    this.#process = this.#newProcess();
    this.#disk = new SimDisk(world.prng.fork(`disk-${peer.name}`), later);
    this.#checkpoints = new MemoryCheckpoints((run) => later(0.1, run));
    this.#member = this.#start();
  }

  get id(): MemberId {
    return this.#member.memberId;
  }

  get replica(): Replica {
    if (this.#member.replica === undefined) throw new Error(`${this.#peer.name} does not run yet`);
    return this.#member.replica;
  }

  /** It belongs to a cluster whose founding is complete, and knows its leader. */
  get isRunning(): boolean {
    return this.#member.state === "running" && this.replica.status.leader !== NONE;
  }

  get leads(): boolean {
    return this.isRunning && this.replica.inOffice;
  }

  /** The process is killed, and another one takes its place at once. */
  restart(): void {
    this.#process.kill();
    this.#world.network.gone(this.#address, true);
    this.#disk.kill();
    this.#checkpoints.crash({ keepUnfinishedCommits: true });
    this.#process = this.#newProcess();
    this.#member = this.#start();
  }

  /** Sends what was held. */
  release(): void {
    this.holds = () => false;
    for (const { to, frame } of this.held.splice(0)) this.#transport?.send(to, [frame]);
  }

  get #address(): string {
    return this.#peer.peerUrls[0] ?? "";
  }

  #newProcess(): SimProcess {
    this.#processes += 1;
    const { clock, prng } = this.#world;
    return new SimProcess(clock, prng.fork(`process-${this.#peer.name}-${this.#processes}`), { driftMax: 0 });
  }

  #start(): Member {
    const disk = this.#disk.mount();
    const process = this.#process;
    const fail = (error: Error): never => {
      throw new Error(`${this.#peer.name} ended: ${error.message}`, { cause: error });
    };
    const member = new Member({
      environment: process,
      logger: NO_LOGGER,
      openLog: () => openLog(disk, LOG, LOG_OPTIONS),
      createLog: (identity) => createLog(disk, LOG, identity, LOG_OPTIONS),
      setAside: () => fail(new Error("The log is damaged")),
      formerId: { read: () => NONE, write: () => undefined },
      checkpoints: this.#checkpoints.factory(),
      transport: (identity) => {
        this.#transport = new SimTransport(this.#world.network, process, this.#address, identity);
        return this.#holding(this.#transport);
      },
      ...this.#peer,
      clientUrls: [],
      token: "test",
      clusterUid: "",
      initialCluster: this.#world.founding,
      initialClusterState: "new",
      machine: {
        limits: { keyBytesMax: 1024, valueBytesMax: 1 << 20, operationsMax: 128, nestingMax: 16 },
        quotaBytes: 1 << 26,
      },
      autoCompaction: { mode: "off" },
      core: {},
      onFatal: fail,
    });
    member.open((error) => {
      if (error !== undefined) fail(error);
    });
    return member;
  }

  #holding(inner: Transport): Transport {
    return {
      start: (handler, done) => inner.start(handler, done),
      setIdentity: (identity) => inner.setIdentity(identity),
      setPeers: (peers) => inner.setPeers(peers),
      send: (to, chunks) => {
        const frame = Buffer.concat(chunks);
        if (!this.holds(decodeMessage(frame).message, to)) return inner.send(to, [frame]);
        this.held.push({ to, frame });
        return true;
      },
      probe: (urls, done) => inner.probe(urls, done),
      close: (done) => inner.close(done),
    };
  }
}
