import { type Entry } from "../../node/raft/types.ts";
import { type Machine } from "../../node/machine/machine.ts";
import { Member } from "../../node/runtime/member.ts";
import { type FoundingPeer } from "../../node/runtime/member-options.ts";
import { type Replica } from "../../node/runtime/replica.ts";
import { type MemberId, NONE } from "../../node/raft/types.ts";
import { ConcordError } from "../../node/client/errors.ts";
import { MemoryCheckpoints } from "../../node/storage/memory/checkpoint-store.ts";
import { type LogStore, type OpenedLog } from "../../node/storage/log-store.ts";
import { createLog, openLog } from "../../node/storage/wal/wal.ts";
import { type Prng } from "../support/prng.ts";
import { type SimClock, SimProcess } from "../support/sim-clock.ts";
import { SimDisk } from "../support/sim-disk.ts";
import { type SimNetwork, SimTransport } from "../support/sim-network.ts";
import { type Settings } from "./settings.ts";
import { LogWitness, witnessed } from "./witness.ts";

/** What the world wants to know of a node. */
export interface NodeEvents {
  applied(node: SimNode, entry: Entry, machine: Machine): void;
  /** The process ended by itself. */
  ended(node: SimNode, error: Error): void;
  /** Entries were given to the log. */
  appended(node: SimNode, entries: readonly Entry[]): void;
  /** The process is about to be killed. */
  killed(node: SimNode): void;
  log(node: SimNode, message: string, fields: Readonly<Record<string, unknown>>): void;
}

const LIMITS = { keyBytesMax: 1024, valueBytesMax: 1 << 20, operationsMax: 128, nestingMax: 16 };
const QUOTA_BYTES = 64 << 20;
const DATA = "/data";

export const addressOf = (name: string): string => `http://${name}:2380`;

/** One simulated machine: a disk that outlives its processes, and the member of the present one. */
export class SimNode {
  readonly name: string;
  readonly address: string;
  /** What the log has vouched for. */
  readonly witness = new LogWitness();
  /** This member said that its data is gone. It is to be removed and added anew. */
  lostData = false;
  /** It was removed from the cluster, and knows it. */
  removed = false;
  /** Incarnation in which its log, checkpoint or disk was lost, until it votes again on a whole one. */
  damagedIn: number | undefined;
  #disk: SimDisk;
  #checkpoints: MemoryCheckpoints;
  readonly #clock: SimClock;
  readonly #network: SimNetwork;
  readonly #random: Prng;
  readonly #settings: Settings;
  readonly #events: NodeEvents;
  readonly #founding: readonly FoundingPeer[];
  readonly #spare: boolean;
  #memberId: MemberId = NONE;
  #process: SimProcess;
  #member: Member | undefined;
  #formerId = NONE;
  #disks = 0;
  incarnation = 0;

  constructor(
    name: string,
    world: {
      readonly clock: SimClock;
      readonly network: SimNetwork;
      readonly settings: Settings;
      readonly events: NodeEvents;
      /** The list that the cluster is founded by. Who is not in it waits to be added. */
      readonly founding: readonly FoundingPeer[];
    },
    random: Prng,
  ) {
    this.name = name;
    this.address = addressOf(name);
    this.#founding = world.founding;
    this.#spare = !world.founding.some((peer) => peer.name === name);
    this.#clock = world.clock;
    this.#network = world.network;
    this.#settings = world.settings;
    this.#events = world.events;
    this.#random = random;
    this.#process = this.#newProcess();
    this.#process.kill();
    this.#disk = this.#newDisk();
    this.#checkpoints = this.#newCheckpoints();
  }

  get disk(): SimDisk {
    return this.#disk;
  }

  get checkpoints(): MemoryCheckpoints {
    return this.#checkpoints;
  }

  /** The id under which it speaks, `NONE` when nobody runs. */
  get memberId(): MemberId {
    return this.#memberId;
  }

  get up(): boolean {
    return this.#member !== undefined;
  }

  get member(): Member | undefined {
    return this.#member;
  }

  get replica(): Replica | undefined {
    return this.#member?.replica;
  }

  get leads(): boolean {
    return this.replica?.core.role === "leader";
  }

  get process(): SimProcess {
    return this.#process;
  }

  start(): void {
    if (this.up) return;
    this.incarnation += 1;
    const process = this.#newProcess();
    this.#process = process;
    const disk = this.#disk.mount();
    const walOptions = { segmentBytes: this.#settings.segmentBytes, firstSegmentBytes: this.#settings.segmentBytes };
    const ended = (error: Error): void => {
      if (!process.alive) return;
      if (ConcordError.is(error)) {
        this.lostData ||= error.code === "CONCORD_MEMBER_LOST_DATA";
        this.removed ||= error.code === "CONCORD_MEMBER_REMOVED";
      }
      this.kill("kill");
      this.#events.ended(this, error);
    };
    const member = new Member({
      environment: process,
      logger: this.#logger(),
      openLog: () => this.#witness(openLog(disk, `${DATA}/log`, walOptions)),
      createLog: (identity) => {
        this.witness.forget();
        this.#memberId = identity.memberId;
        return this.#witnessed(createLog(disk, `${DATA}/log`, identity, walOptions));
      },
      setAside: () => {
        this.#checkpoints.setAside();
        disk.renameDurably(`${DATA}/log`, `${DATA}/damaged-${this.incarnation}`);
        return `damaged-${this.incarnation}`;
      },
      formerId: {
        read: () => this.#formerId,
        write: (id) => {
          this.#formerId = id;
        },
      },
      checkpoints: this.#checkpoints.factory(),
      transport: (identity) => new SimTransport(this.#network, process, this.address, identity),
      name: this.name,
      peerUrls: [this.address],
      clientUrls: [],
      token: "simulation",
      clusterUid: "",
      initialCluster: this.#spare ? [...this.#founding, { name: this.name, peerUrls: [this.address] }] : this.#founding,
      initialClusterState: this.#spare ? "existing" : "new",
      machine: { limits: LIMITS, quotaBytes: QUOTA_BYTES },
      autoCompaction: { mode: "off" },
      core: { electionTimeoutTicks: 30, heartbeatTicks: 5, appendBytesMax: this.#settings.appendBytesMax },
      replica: {
        checkpointEntries: this.#settings.checkpointEntries,
        onApplied: (entry, machine) => this.#events.applied(this, entry, machine),
      },
      onFatal: ended,
    });
    this.#member = member;
    try {
      member.open((error) => {
        if (error !== undefined) ended(error);
      });
    } catch (error) {
      ended(error as Error);
    }
  }

  /** `kill`: the process ends, its un-synced writes stay. `power`: they may vanish, tear or be reordered. */
  kill(how: "kill" | "power"): void {
    this.#events.killed(this);
    this.#process.kill();
    this.#network.gone(this.address, how === "kill");
    this.#member = undefined;
    if (how === "kill") this.#disk.kill();
    else this.#disk.losePower();
    this.#checkpoints.crash({ keepUnfinishedCommits: this.#random.chance(0.5) });
  }

  /** The machine gets a new, empty disk. Its process must be dead. */
  replaceDisk(): void {
    if (this.up) throw new Error(`${this.name} runs: its disk cannot be replaced`);
    const { faults } = this.#disk;
    this.#disk = this.#newDisk();
    Object.assign(this.#disk.faults, faults);
    this.#checkpoints = this.#newCheckpoints();
    this.#formerId = NONE;
    this.#memberId = NONE;
    this.witness.forget();
    this.removed = false;
    this.damagedIn = undefined;
  }

  #newDisk(): SimDisk {
    this.#disks += 1;
    return new SimDisk(this.#random.fork(`disk-${this.#disks}`), (delayMs, action) =>
      this.#process.later(delayMs, action),
    );
  }

  #newCheckpoints(): MemoryCheckpoints {
    return new MemoryCheckpoints((run) => this.#process.later(this.#random.float(), run));
  }

  #witness(opened: OpenedLog): OpenedLog {
    if (opened.type !== "opened") {
      this.witness.forget();
      return opened;
    }
    this.#memberId = opened.recovered.identity.memberId;
    this.witness.recovered(opened.recovered);
    return { ...opened, store: this.#witnessed(opened.store) };
  }

  #witnessed(store: LogStore): LogStore {
    return witnessed(store, this.witness, (entries) => this.#events.appended(this, entries));
  }

  #newProcess(): SimProcess {
    return new SimProcess(this.#clock, this.#random.fork(`process-${this.incarnation}`), {
      driftMax: this.#settings.driftMax,
    });
  }

  #logger(): ConstructorParameters<typeof Member>[0]["logger"] {
    const log = (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      this.#events.log(this, message, fields);
    return { debug: log, info: log, warn: log, error: log };
  }
}
