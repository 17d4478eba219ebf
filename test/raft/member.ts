import { CORE_DEFAULTS, type CoreOptions } from "../../node/raft/config.ts";
import { RaftCore } from "../../node/raft/core.ts";
import { EMPTY_CONFIGURATION, applyChange } from "../../node/raft/membership.ts";
import {
  type Configuration,
  type Entry,
  type HardState,
  type Index,
  type MemberId,
  type Outgoing,
  type Ready,
  type SnapshotMeta,
} from "../../node/raft/types.ts";

/** A machine whose state is the list of texts that were applied. */
export interface MachineState {
  readonly meta: SnapshotMeta;
  readonly texts: readonly string[];
}

/** What survives a crash. */
export interface Disk {
  hardState: HardState;
  checkpoint: MachineState;
  /** Behind the checkpoint. */
  entries: Entry[];
}

/** What waits for the disk, in order. */
type Group =
  | { readonly type: "ready"; readonly ready: Ready }
  | { readonly type: "install"; readonly transfer: number; readonly state: MachineState; readonly keepLog: boolean };

export type MemberOptions = Partial<Omit<CoreOptions, "id" | "recovered" | "random">>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const encode = (text: string): Uint8Array => encoder.encode(text);
export const decode = (data: Uint8Array): string => decoder.decode(data);

export function diskOf(configuration: Configuration, index: Index = 0): Disk {
  const meta = { index, term: index === 0 ? 0 : 1, configuration };
  return { hardState: { term: meta.term, vote: "", commit: 0 }, checkpoint: { meta, texts: [] }, entries: [] };
}

/** An empty disk: a member that waits to be added. */
export function waitingDisk(): Disk {
  return diskOf(EMPTY_CONFIGURATION);
}

/**
 * A small shell around one core: a disk whose groups become durable one by one when it is told so, a machine, and the
 * shell's half of the snapshot transfer. The network is whoever passes `outbox` on.
 */
export class Member {
  readonly id: MemberId;
  readonly disk: Disk;
  readonly outbox: Outgoing[] = [];
  readonly reads: { context: number; index: Index }[] = [];
  readonly failedReads: { context: number; reason: string }[] = [];
  /** Applied entries, the no-ops included, since the start of this incarnation. */
  readonly appliedEntries: Entry[] = [];
  /** False: the shell does not answer snapshot requests. */
  servesSnapshots = true;
  /** Texts per chunk of a snapshot. */
  chunkTexts = 20;
  /** Snapshots installed, over all incarnations. */
  installs = 0;
  core: RaftCore;
  texts: string[];
  configuration: Configuration;
  applied: Index;
  readonly #options: MemberOptions;
  readonly #random: (bound: number) => number;
  #groups: Group[] = [];
  #frozen = new Map<MemberId, { transfer: number; state: MachineState }>();
  #install: { transfer: number; from: MemberId; texts: string[] } | undefined;

  constructor(id: MemberId, disk: Disk, random: (bound: number) => number, options: MemberOptions = {}) {
    this.id = id;
    this.disk = disk;
    this.#random = random;
    this.#options = options;
    this.core = this.#open();
    this.texts = [...disk.checkpoint.texts];
    this.applied = disk.checkpoint.meta.index;
    this.configuration = disk.checkpoint.meta.configuration;
  }

  /** Loses everything that is not durable. */
  restart(): void {
    this.#groups = [];
    this.#frozen.clear();
    this.#install = undefined;
    this.outbox.length = 0;
    this.texts = [...this.disk.checkpoint.texts];
    this.applied = this.disk.checkpoint.meta.index;
    this.configuration = this.disk.checkpoint.meta.configuration;
    this.core = this.#open();
  }

  get pendingGroups(): number {
    return this.#groups.length;
  }

  /** Takes one ready: sends, applies, and queues the group for the disk. */
  takeReady(): Ready {
    const ready = this.core.ready();
    this.outbox.push(...ready.messages);
    this.#groups.push({ type: "ready", ready });
    this.reads.push(...ready.reads);
    this.failedReads.push(...ready.failedReads);
    this.#apply(ready.committed);
    for (const request of ready.snapshotRequests) this.#offer(request);
    for (const chunk of ready.install) this.#store(chunk);
    this.core.checkInvariants();
    return ready;
  }

  /** The oldest group becomes durable. */
  persistNext(): void {
    const group = this.#groups.shift();
    if (group === undefined) return;
    if (group.type === "ready") {
      const { hardState, entries, messagesAfterPersist, number } = group.ready;
      if (hardState !== undefined) this.disk.hardState = hardState;
      this.#write(entries);
      this.outbox.push(...messagesAfterPersist);
      this.core.step({ type: "persisted", ready: number });
    } else {
      const { meta } = group.state;
      this.disk.entries = group.keepLog ? this.disk.entries.filter((entry) => entry.index > meta.index) : [];
      this.disk.checkpoint = group.state;
      this.installs += 1;
      this.texts = [...group.state.texts];
      this.applied = meta.index;
      this.configuration = meta.configuration;
      this.core.step({ type: "snapshotInstalled", transfer: group.transfer, meta });
    }
    this.core.checkInvariants();
  }

  /** Takes and persists until nothing is left to do. */
  settle(): void {
    while (this.core.hasReady() || this.#groups.length > 0) {
      if (this.core.hasReady()) this.takeReady();
      this.persistNext();
    }
  }

  /** Writes a checkpoint of what is applied, and lets the core forget the log up to `index`. */
  checkpoint(index: Index = this.applied): void {
    const state = this.#freeze();
    this.disk.entries = this.disk.entries.filter((entry) => entry.index > state.meta.index);
    this.disk.checkpoint = state;
    this.core.compact(index);
    this.core.checkInvariants();
  }

  #open(): RaftCore {
    const { hardState, checkpoint, entries } = this.disk;
    return new RaftCore({
      ...CORE_DEFAULTS,
      ...this.#options,
      id: this.id,
      random: this.#random,
      recovered: {
        hardState,
        snapshot: checkpoint.meta,
        entries: [...entries],
        applied: checkpoint.meta.index,
        configuration: checkpoint.meta.configuration,
      },
    });
  }

  #write(entries: readonly Entry[]): void {
    const first = entries[0]?.index ?? Infinity;
    this.disk.entries = this.disk.entries.filter((entry) => entry.index < first);
    this.disk.entries.push(...entries.filter((entry) => entry.index > this.disk.checkpoint.meta.index));
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index !== this.applied + 1)
        throw new Error(`${this.id} got entry ${entry.index} after ${this.applied}`);
      this.applied = entry.index;
      this.appliedEntries.push(entry);
      if (entry.type === "configuration") this.configuration = applyChange(this.configuration, entry.change);
      else if (entry.data.length > 0) this.texts.push(decode(entry.data));
    }
    if (entries.length > 0) this.core.step({ type: "applied", index: this.applied });
  }

  #freeze(): MachineState {
    const term = this.core.termAt(this.applied) ?? this.disk.checkpoint.meta.term;
    return { meta: { index: this.applied, term, configuration: this.configuration }, texts: [...this.texts] };
  }

  #offer({ to, transfer, sequence }: { to: MemberId; transfer: number; sequence: number }): void {
    if (!this.servesSnapshots) {
      this.core.step({ type: "snapshotUnavailable", to, transfer });
      return;
    }
    if (sequence === 0) this.#frozen.set(to, { transfer, state: this.#freeze() });
    const frozen = this.#frozen.get(to);
    if (frozen?.transfer !== transfer) return;
    const { meta, texts } = frozen.state;
    const from = sequence * this.chunkTexts;
    const part = texts.slice(from, from + this.chunkTexts);
    const last = from + this.chunkTexts >= texts.length;
    this.core.step({
      type: "snapshotChunk",
      to,
      transfer,
      meta,
      sequence,
      last,
      data: encode(JSON.stringify(part)),
    });
  }

  #store(chunk: Ready["install"][number]): void {
    if (chunk.sequence === 0) this.#install = { transfer: chunk.transfer, from: chunk.from, texts: [] };
    const install = this.#install;
    if (install?.transfer !== chunk.transfer) throw new Error(`${this.id} got a chunk of an unknown transfer`);
    install.texts.push(...(JSON.parse(decode(chunk.data)) as string[]));
    this.core.step({ type: "chunkStored", transfer: chunk.transfer, sequence: chunk.sequence });
    if (!chunk.last) return;
    this.#install = undefined;
    const { meta, transfer } = chunk;
    const keepLog = this.core.termAt(meta.index) === meta.term;
    this.#groups.push({ type: "install", transfer, state: { meta, texts: install.texts }, keepLog });
  }
}
