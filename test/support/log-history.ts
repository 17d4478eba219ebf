import { crc32 } from "../../node/codec/crc.ts";
import { type Entry } from "../../node/raft/types.ts";
import { type Disk } from "../../node/storage/disk.ts";
import {
  type CheckpointPointer,
  type LogGroup,
  type LogIdentity,
  type LogStore,
  type RecoveredLog,
} from "../../node/storage/log-store.ts";
import { NO_CHECKPOINT } from "../../node/storage/log-state.ts";
import { type WalOptions } from "../../node/storage/wal/options.ts";
import { createLog } from "../../node/storage/wal/wal.ts";
import { type Prng } from "./prng.ts";
import { type ManualSchedule } from "./sim-disk.ts";

export const LOG_DIRECTORY = "/data/log";

export const IDENTITY: LogIdentity = { groupId: 0, clusterId: "", memberId: "00000000000000a1", memberName: "alpha" };

/** Sizes that make short histories cross segments, recycle them and write watermarks. */
export const SMALL_LOG: WalOptions = {
  segmentBytes: 16_384,
  firstSegmentBytes: 16_384,
  groupBytes: 4096,
  zeroSliceBytes: 8192,
  watermarkGroups: 3,
};

/** One thing a node asks of its log. */
export type LogOperation =
  { readonly type: "append"; readonly group: LogGroup } | { readonly type: "release"; readonly index: number };

/** What a log holds, by a model that is nothing but arrays. */
export class LogModel {
  identity = IDENTITY;
  hardState = { term: 0, vote: "", commit: 0 };
  checkpoint: CheckpointPointer = NO_CHECKPOINT;
  entries: Entry[] = [];

  apply(operation: LogOperation): void {
    if (operation.type !== "append") return;
    const { identity, hardState, checkpoint, resetLog, entries = [] } = operation.group;
    if (identity !== undefined) this.identity = identity;
    if (hardState !== undefined) this.hardState = hardState;
    if (checkpoint !== undefined) this.checkpoint = checkpoint;
    if (resetLog === true) this.entries = [];
    const first = entries[0];
    if (first === undefined) return;
    this.entries = [...this.entries.filter((entry) => entry.index < first.index), ...entries];
  }

  get lastIndex(): number {
    return this.entries.at(-1)?.index ?? this.checkpoint.meta.index;
  }

  fingerprint(): string {
    return fingerprint(this);
  }
}

/** Two logs with the same fingerprint are the same, but for entries that the checkpoint has. */
export function fingerprint(log: Pick<RecoveredLog, "identity" | "hardState" | "checkpoint" | "entries">): string {
  const { identity, hardState, checkpoint } = log;
  const entries = log.entries.filter((entry) => entry.index > checkpoint.meta.index);
  const described = entries.map((entry) => [
    entry.type,
    entry.index,
    entry.term,
    entry.type === "configuration" ? entry.change : null,
    entry.data.length,
    crc32(entry.data),
  ]);
  return JSON.stringify([identity, hardState, checkpoint, described]);
}

/** Draws a valid next operation. */
export function drawOperation(prng: Prng, model: LogModel): LogOperation {
  const { term, commit } = model.hardState;
  const compacted = model.checkpoint.meta.index;
  if (term === 0 || prng.chance(0.1)) {
    const vote = prng.pick(["", IDENTITY.memberId]);
    const further = prng.between(commit, Math.max(commit, model.lastIndex));
    return { type: "append", group: { hardState: { term: term + 1, vote, commit: further } } };
  }
  if (model.identity.clusterId === "" && prng.chance(0.1))
    return { type: "append", group: { identity: { ...IDENTITY, clusterId: "00000000000000c1" } } };
  if (compacted > 0 && prng.chance(0.1)) return { type: "release", index: compacted };
  if (prng.chance(0.1) && model.lastIndex > compacted)
    return { type: "append", group: { checkpoint: drawCheckpoint(prng.between(compacted, model.lastIndex), term) } };
  if (prng.chance(0.04))
    return { type: "append", group: { checkpoint: drawCheckpoint(model.lastIndex + 5, term), resetLog: true } };
  const kept = Math.max(compacted, commit);
  const overwrite = prng.chance(0.15) && model.lastIndex > kept;
  const first = overwrite ? prng.between(kept + 1, model.lastIndex) : model.lastIndex + 1;
  // An overwriting leader has a newer term.
  const hardState = overwrite ? { term: term + 1, vote: "", commit } : undefined;
  const entries = drawEntries(prng, first, hardState?.term ?? term);
  return { type: "append", group: { hardState, entries } };
}

function drawCheckpoint(index: number, term: number): CheckpointPointer {
  const configuration = { voters: [IDENTITY.memberId, "00000000000000a2"], learners: ["00000000000000a3"] };
  return { meta: { index, term, configuration }, directory: `checkpoint-${index}` };
}

function drawEntries(prng: Prng, first: number, term: number): Entry[] {
  let index = first - 1;
  return Array.from({ length: prng.between(1, 3) }, (): Entry => {
    index += 1;
    if (prng.chance(0.1)) {
      const change = { type: "addLearner", member: "00000000000000a4" } as const;
      return { type: "configuration", index, term, data: prng.bytes(20), change };
    }
    const length = prng.pick([0, 10, 200, 600, 1300]);
    return { type: "normal", index, term, data: prng.chance(0.3) ? new Uint8Array(length) : prng.bytes(length) };
  });
}

/** A run of a log: what was asked of it, and how much of that was acknowledged. */
export class LogHistory {
  /** Fingerprint after each operation; the one at 0 is the empty log. */
  readonly states: string[];
  readonly model = new LogModel();
  acknowledged = 0;
  created = false;
  store: LogStore | undefined;

  constructor() {
    this.states = [this.model.fingerprint()];
  }

  create(disk: Disk, options: WalOptions): void {
    this.store = createLog(disk, LOG_DIRECTORY, IDENTITY, options);
    this.created = true;
  }

  issue(store: LogStore, operation: LogOperation): void {
    if (operation.type === "release") {
      store.release(operation.index);
      return;
    }
    this.model.apply(operation);
    this.states.push(this.model.fingerprint());
    const number = this.states.length - 1;
    const done = (error: Error | undefined): void => {
      if (error === undefined) this.acknowledged = Math.max(this.acknowledged, number);
    };
    store.append(operation.group, done);
  }

  /** Where the recovered log stands in the history, -1 when it never was like this. The latest place where it fits. */
  place(recovered: RecoveredLog): number {
    return this.states.lastIndexOf(fingerprint(recovered));
  }

  /** Issues random operations in bursts and lets completions run in random order, until all are acknowledged. */
  run(prng: Prng, schedule: ManualSchedule, operations: number): void {
    const { store } = this;
    if (store === undefined) throw new Error("The log was not created");
    for (let issued = 0; issued < operations;) {
      const burst = prng.between(1, 3);
      for (let each = 0; each < burst && issued < operations; each += 1) {
        this.issue(store, drawOperation(prng, this.model));
        issued += 1;
      }
      const wanted = this.states.length - 1;
      while (this.acknowledged < wanted && schedule.pending > 0) schedule.run(prng.below(schedule.pending));
      if (this.acknowledged < wanted) return;
    }
  }
}
