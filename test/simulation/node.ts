import { type Entry } from "../../node/raft/types.ts";
import { type Machine } from "../../node/machine/machine.ts";
import { Member } from "../../node/runtime/member.ts";
import { type Replica } from "../../node/runtime/replica.ts";
import { NONE } from "../../node/raft/types.ts";
import { MemoryCheckpoints } from "../../node/storage/memory/checkpoint-store.ts";
import { createLog, openLog } from "../../node/storage/wal/wal.ts";
import { type Prng } from "../support/prng.ts";
import { type SimClock, SimProcess } from "../support/sim-clock.ts";
import { SimDisk } from "../support/sim-disk.ts";
import { type SimNetwork, SimTransport } from "../support/sim-network.ts";
import { type Settings } from "./settings.ts";

/** What the world wants to know of a node. */
export interface NodeEvents {
  applied(node: SimNode, entry: Entry, machine: Machine): void;
  /** The process ended by itself. */
  ended(node: SimNode, error: Error): void;
  log(node: SimNode, message: string, fields: Readonly<Record<string, unknown>>): void;
}

const LIMITS = { keyBytesMax: 1024, valueBytesMax: 1 << 20, operationsMax: 128, nestingMax: 16 };
const QUOTA_BYTES = 64 << 20;
const DATA = "/data";

/** One simulated machine: a disk that outlives its processes, and the member of the present one. */
export class SimNode {
  readonly name: string;
  readonly address: string;
  readonly disk: SimDisk;
  readonly #checkpoints: MemoryCheckpoints;
  readonly #clock: SimClock;
  readonly #network: SimNetwork;
  readonly #random: Prng;
  readonly #settings: Settings;
  readonly #events: NodeEvents;
  #process: SimProcess;
  #member: Member | undefined;
  #formerId = NONE;
  incarnation = 0;

  constructor(
    name: string,
    world: { readonly clock: SimClock; readonly network: SimNetwork; readonly settings: Settings; readonly events: NodeEvents },
    random: Prng,
  ) {
    this.name = name;
    this.address = `http://${name}:2380`;
    this.#clock = world.clock;
    this.#network = world.network;
    this.#settings = world.settings;
    this.#events = world.events;
    this.#random = random;
    this.#process = this.#newProcess();
    this.#process.kill();
    this.disk = new SimDisk(random.fork("disk"), (delayMs, action) => this.#process.later(delayMs, action));
    this.#checkpoints = new MemoryCheckpoints((run) => this.#process.later(this.#random.float(), run));
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

  get process(): SimProcess {
    return this.#process;
  }

  start(founding: readonly { readonly name: string; readonly peerUrls: readonly string[] }[]): void {
    if (this.up) return;
    this.incarnation += 1;
    const process = this.#newProcess();
    this.#process = process;
    const disk = this.disk.mount();
    const walOptions = { segmentBytes: this.#settings.segmentBytes, firstSegmentBytes: this.#settings.segmentBytes };
    const ended = (error: Error): void => {
      if (!process.alive) return;
      this.kill("kill");
      this.#events.ended(this, error);
    };
    const member = new Member({
      environment: process,
      logger: this.#logger(),
      openLog: () => openLog(disk, `${DATA}/log`, walOptions),
      createLog: (identity) => createLog(disk, `${DATA}/log`, identity, walOptions),
      setAside: () => {
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
      initialCluster: founding,
      initialClusterState: "new",
      machine: { limits: LIMITS, quotaBytes: QUOTA_BYTES },
      autoCompaction: { mode: "off" },
      core: { electionTimeoutTicks: 30, heartbeatTicks: 5 },
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
    this.#process.kill();
    this.#network.gone(this.address, how === "kill");
    this.#member = undefined;
    if (how === "kill") this.disk.kill();
    else this.disk.losePower();
    this.#checkpoints.crash({ keepUnfinishedCommits: this.#random.chance(0.5) });
  }

  #newProcess(): SimProcess {
    return new SimProcess(this.#clock, this.#random.fork(`process-${this.incarnation}`), { driftMax: this.#settings.driftMax });
  }

  #logger(): ConstructorParameters<typeof Member>[0]["logger"] {
    const log = (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      this.#events.log(this, message, fields);
    return { debug: log, info: log, warn: log, error: log };
  }
}
