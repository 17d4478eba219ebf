import { admission } from "./admission.ts";
import { InvariantError, invariant, unreachable } from "./assert.ts";
import { Budget, type Sliced } from "./budget.ts";
import { type Changes, readChanges } from "./changes.ts";
import { isReadOnly } from "./command-kind.ts";
import {
  type Command,
  type KeyRange,
  type Member,
  type Operation,
  type Outcome,
  type RefusedReason,
  type Reply,
  type ReadOperation,
} from "./commands.ts";
import { type EndedRow, endedRows, expireRows } from "./expire-rows.ts";
import { type Epochs, FrozenStore, NOTHING_CLEAN } from "./frozen.ts";
import { SlicedHash } from "./hash.ts";
import { isKeyed, once } from "./idempotent.ts";
import { checkStore } from "./invariants.ts";
import { applyLease, checkLease, type LeaseCommand } from "./lease-commands.ts";
import { type LeaseView } from "./leases.ts";
import { checkCommand, checkLimits, checkRead } from "./limits.ts";
import { StoreLoader } from "./loader.ts";
import {
  type EntryContext,
  type FrozenState,
  type HashTask,
  type MachineLoader,
  type MachineOptions,
  type MachineStats,
  type ReadResult,
  type ReadTask,
} from "./machine-types.ts";
import { applyMember } from "./member-commands.ts";
import { type Alarm, type AwaitedMember, Members } from "./members.ts";
import { readSingle, singleKeyRange } from "./range.ts";
import { readReason, SlicedRead } from "./read-task.ts";
import { statsOf } from "./stats.ts";
import { Store } from "./store.ts";
import { checkRevision, operate } from "./txn.ts";

export { type Changes } from "./changes.ts";
export { type Lease } from "./leases.ts";
export { LEASE_RENEWALS_MAX, LIMIT_CEILINGS, type MachineLimits } from "./limits.ts";
export * from "./machine-types.ts";
export { CorruptPageError } from "./page-bytes.ts";

/**
 * The replicated state machine: etcd's MVCC model in memory. Synchronous and deterministic; the same entries give the
 * same state and the same replies on every member, however the work is sliced.
 */
export class Machine {
  /** Highest version of the state machine that this code can run. */
  static readonly versionMax: number = 1;

  readonly #options: MachineOptions;
  #store = new Store();
  #members = new Members();
  #appliedIndex = 0;
  #clusterTimeMs = 0;
  #wallTimeMs = 0;
  #version = 1;
  #current:
    { readonly context: EntryContext; readonly command: Command; work: Sliced<Outcome> | undefined } | undefined;
  readonly #budget = new Budget();
  /** What changed up to these epochs is in the checkpoint. */
  #checkpointed: Epochs = { tree: 0, leases: 0, records: 0 };
  /** A command threw. The state before it is in force, and nothing more is applied. */
  #broken = false;

  constructor(options: MachineOptions) {
    checkLimits(options.limits);
    invariant(options.quotaBytes > 0, "Quota is not positive");
    this.#options = options;
  }

  /** Revision 1 in a fresh store. */
  get revision(): number {
    return this.#store.revision;
  }

  /** −1 before the first compaction. */
  get compactRevision(): number {
    return this.#store.compactRevision;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Cluster time of the last applied entry, ms. Never goes back. */
  get clusterTimeMs(): number {
    return this.#clusterTimeMs;
  }

  /** Wall time of the last applied entry, unix ms. Never goes back. */
  get wallTimeMs(): number {
    return this.#wallTimeMs;
  }

  /** The version of the state machine in force. */
  get version(): number {
    return this.#version;
  }

  /**
   * Begins a command. Small ones finish in the first `advance`; a delete of a million keys takes many. Readers see the
   * state before it until it is finished. A throw means a bug: nothing of the entry is visible then.
   */
  start(context: EntryContext, command: Command): void {
    invariant(!this.#broken, "Machine has met a bug and is halted");
    invariant(this.#current === undefined, "Another command is being applied");
    invariant(context.index > this.#appliedIndex, "Entry was applied before");
    this.#current = { context, command, work: undefined };
  }

  /** Works on at most `units` keys. Undefined: not finished, call again. */
  advance(units: number): Outcome | undefined {
    const current = this.#current;
    if (this.#broken || current === undefined) throw new InvariantError("No command is being applied");
    invariant(units > 0, "Units are not positive");
    this.#budget.fill(units);
    try {
      current.work ??= this.#begin(current.command, current.context);
      const step = current.work.next();
      if (step.done !== true) return undefined;
      this.#applied(current.context);
      return step.value;
    } catch (error) {
      this.#broken = true;
      throw error;
    }
  }

  /** `start` and `advance` to the end. */
  apply(context: EntryContext, command: Command): Outcome {
    this.start(context, command);
    for (;;) {
      const outcome = this.advance(Number.MAX_SAFE_INTEGER);
      if (outcome !== undefined) return outcome;
    }
  }

  /** An entry without a command: moves the applied index. */
  applyEmpty(index: number): void {
    this.#skipTo(index);
  }

  /** A configuration entry: moves the applied index and changes the members. Raft has judged the change already. */
  applyMembership(
    index: number,
    change: { readonly type: "addLearner" | "promote" | "remove"; readonly member: string },
    added: Member | undefined,
  ): void {
    this.#skipTo(index);
    this.#members.change(change.type, change.member, added);
  }

  /** Members in the order of their ids. */
  members(): readonly Member[] {
    return this.#members.state.members;
  }

  /** Whether the id was once a member and is not any more (kept for 10 000 removals). */
  isRemoved(id: string): boolean {
    return this.#members.isRemoved(id);
  }

  /** Empty before the founding. */
  get clusterId(): string {
    return this.#members.state.clusterId;
  }

  get clusterUid(): string {
    return this.#members.state.clusterUid;
  }

  /** `complete` once as many members vote as were asked for; it stays so. */
  get founding(): { readonly size: number; readonly complete: boolean; readonly awaited: readonly AwaitedMember[] } {
    const { foundingSize, foundingComplete, awaited } = this.#members.state;
    return { size: foundingSize, complete: foundingComplete, awaited };
  }

  get alarms(): readonly Alarm[] {
    return this.#members.state.alarms;
  }

  get leases(): LeaseView {
    return this.#store.leases;
  }

  /** Rows that have an end. */
  get rowsWithEnd(): number {
    return this.#store.ends.count;
  }

  /** At most `count` rows that have ended by a cluster time, those first that ended first. */
  endedRows(clusterTimeMs: number, count: number): readonly EndedRow[] {
    return endedRows(this.#store, clusterTimeMs, count);
  }

  /** Revision of the write that had this idempotency key (its digest); undefined when none had, or it is forgotten. */
  writeRevision(key: Uint8Array): number | undefined {
    return this.#store.records.find(key, Math.floor(this.#clusterTimeMs / 1000))?.revision;
  }

  /** The store is larger than this member's quota; somebody should set the NOSPACE alarm. */
  get overQuota(): boolean {
    return this.#store.bytes > this.#options.quotaBytes;
  }

  /** A read of a single key, at once. Revision 0 is the current one. */
  get(key: Uint8Array, revision = 0): ReadResult {
    const operation = singleKeyRange(key, revision);
    const reason = checkCommand(operation, this.#options.limits) ?? checkRevision(this.#store, revision);
    if (reason !== undefined) return { ...this.#refusal(reason), reason: readReason(reason) };
    const reply = readSingle(this.#store, this.#store.committedAt(revision), operation);
    return { ok: true, revision: this.revision, reply };
  }

  /** Any range, a txn without writes, or the history of a key, in slices. */
  read(operation: ReadOperation): ReadTask {
    invariant(operation.type === "history" || isReadOnly(operation), "Only reads may be read");
    return new SlicedRead(this.#store, operation, checkRead(operation, this.#options.limits));
  }

  /** Whether a command only reads. */
  static isReadOnly(command: Command): boolean {
    return isReadOnly(command);
  }

  /**
   * Checks limits and shape before a command is proposed; the same checks are made at apply, against the ceilings that
   * are the same on all members.
   */
  check(command: Command): Outcome | undefined {
    if (command.type === "raiseVersion" && command.version > Machine.versionMax) return this.#refusal("unknownVersion");
    const reason = checkCommand(command, this.#options.limits);
    return reason === undefined ? undefined : this.#refusal(reason);
  }

  /**
   * Changes with a mod revision in [from, to] that touch `range`, in order; at most `units` changes are looked at, but
   * all changes of one revision come together. `next`: where to go on; to + 1 when done. `from` must be at least
   * compactRevision: the changes of that revision are there, the rows before them are not.
   */
  changes(
    range: KeyRange,
    from: number,
    to: number,
    options: { readonly previous: boolean; readonly units: number },
  ): Changes {
    return readChanges(this.#store, range, from, to, options);
  }

  /**
   * Physically removes what compaction made unreachable, at most `units` versions. True: nothing is left to do. It
   * stays false while a read, a frozen state or a hash holds on to something old, or a command is being applied.
   */
  sweep(units: number): boolean {
    // A command that is still choosing its branches has not begun to write, but reads the tree already.
    return this.#current === undefined && this.#store.sweep(units);
  }

  /**
   * Hash of all rows that can be reached, history included; the order of rows makes no difference. Equal on members at
   * equal revision and compact revision.
   *
   * @param revision - as if nothing had been written since, from `compactRevision` on; 0 = the current one
   */
  hash(revision = 0): HashTask {
    const { revision: current, compactRevision } = this.#store;
    const wanted = revision === 0 ? current : revision;
    invariant(wanted >= compactRevision && wanted <= current, "Hash of a revision that is not there");
    return new SlicedHash(this.#store, wanted);
  }

  /** The state as of the last finished command, to be paged out while commands go on. */
  freeze(options: { readonly onlyDirty: boolean }): FrozenState {
    invariant(!this.#broken, "Machine has met a bug and is halted");
    const store = this.#store;
    const meta = {
      revision: store.revision,
      compactRevision: store.compactRevision,
      appliedIndex: this.#appliedIndex,
      clusterTimeMs: this.#clusterTimeMs,
      wallTimeMs: this.#wallTimeMs,
      machineVersion: this.#version,
      pages: store.committedPages,
      liveKeys: store.committed.root.live,
      leases: store.leases.count,
      records: store.records.count,
      nextRecordSegment: store.records.nextSegment,
      nextPage: store.tree.nextPage,
      cluster: this.#members.state,
    };
    return new FrozenStore(store, meta, options.onlyDirty ? this.#checkpointed : NOTHING_CLEAN);
  }

  /** The pages of this frozen state are durable now, all of them: what it held is no longer dirty. */
  checkpointed(frozen: FrozenState): void {
    if (!(frozen instanceof FrozenStore && frozen.isOf(this.#store)))
      throw new InvariantError("Frozen state is not of this machine");
    invariant(frozen.isDrained, "Frozen state has pages that were not taken");
    this.#checkpointed = {
      tree: Math.max(this.#checkpointed.tree, frozen.epochs.tree),
      leases: Math.max(this.#checkpointed.leases, frozen.epochs.leases),
      records: Math.max(this.#checkpointed.records, frozen.epochs.records),
    };
    this.#store.records.forgetRemoved(frozen.epochs.records);
    this.#store.tree.forgetRemovedPages(frozen.epochs.tree);
  }

  /** Builds a machine from the pages and meta of a frozen state; its pages count as checkpointed. */
  static loader(options: MachineOptions, revisionBump = 0): MachineLoader<Machine> {
    const machine = new Machine(options);
    const loader = new StoreLoader(revisionBump);
    return {
      page: (number, bytes) => loader.page(number, bytes),
      finish: (metaBytes) => {
        const { store, meta } = loader.finish(metaBytes, Machine.versionMax);
        machine.#store = store;
        machine.#members = new Members(meta.cluster);
        machine.#appliedIndex = meta.appliedIndex;
        machine.#clusterTimeMs = meta.clusterTimeMs;
        store.nowMs = meta.clusterTimeMs;
        machine.#wallTimeMs = meta.wallTimeMs;
        machine.#version = meta.machineVersion;
        return machine;
      },
    };
  }

  /** Throws when an internal invariant is broken. Expensive; for tests. */
  checkInvariants(): void {
    invariant(this.#current === undefined, "A command is being applied");
    checkStore(this.#store);
  }

  stats(): MachineStats {
    return statsOf(this.#store);
  }

  #skipTo(index: number): void {
    invariant(!this.#broken, "Machine has met a bug and is halted");
    invariant(this.#current === undefined, "Another command is being applied");
    invariant(index > this.#appliedIndex, "Entry was applied before");
    this.#appliedIndex = index;
  }

  #applied(context: EntryContext): void {
    this.#current = undefined;
    this.#appliedIndex = context.index;
    this.#clusterTimeMs = this.#timeOf(context);
    this.#wallTimeMs = Math.max(this.#wallTimeMs, context.wallTimeMs);
  }

  /** Cluster time of an entry. Never goes back. */
  #timeOf({ clusterTimeMs }: EntryContext): number {
    return Math.max(this.#clusterTimeMs, clusterTimeMs);
  }

  #begin(command: Command, context: EntryContext): Sliced<Outcome> {
    this.#store.nowMs = this.#timeOf(context);
    const work = this.#execute(command, context);
    const { idempotency } = context;
    if (idempotency === undefined || !isKeyed(command)) return work;
    return once(this.#store, command, idempotency, this.#timeOf(context), this.#budget, work);
  }

  *#execute(command: Command, context: EntryContext): Sliced<Outcome> {
    const refused = admission(this.#members, command);
    if (refused !== undefined) return this.#refusal(refused);
    switch (command.type) {
      case "put":
      case "range":
      case "delete":
      case "touch":
      case "txn":
        return yield* this.#operate(command);
      case "compact":
        return this.#compact(command.revision);
      case "found":
      case "publish":
      case "alarm": {
        const refusedFor = applyMember(this.#members, command);
        return refusedFor === undefined ? this.#ok({ type: "ok" }) : this.#refusal(refusedFor);
      }
      case "leaseGrant":
      case "leaseRevoke":
      case "leaseKeepAlive":
      case "leaseExpire":
      case "leaseTimeToLive":
        return yield* this.#lease(command, this.#timeOf(context));
      case "expireRows":
        return this.#ok(yield* expireRows(this.#store, command.rows, this.#budget));
      case "advanceTime":
        return this.#ok({ type: "ok" });
      case "raiseVersion":
        return this.#raiseVersion(command.version);
      default:
        return unreachable(command);
    }
  }

  *#operate(operation: Operation): Sliced<Outcome> {
    const done = yield* operate(this.#store, operation, this.#budget);
    return typeof done === "string" ? this.#refusal(done) : this.#ok(done);
  }

  *#lease(command: LeaseCommand, nowMs: number): Sliced<Outcome> {
    const refused = checkLease(this.#store, command);
    if (refused !== undefined) return this.#refusal(refused);
    return this.#ok(yield* applyLease(this.#store, command, nowMs, this.#budget));
  }

  #compact(revision: number): Outcome {
    if (revision > this.revision) return this.#refusal("futureRevision");
    if (revision <= this.compactRevision) return this.#refusal("compacted");
    this.#store.compact(revision);
    return this.#ok({ type: "compact" });
  }

  #raiseVersion(version: number): Outcome {
    // Refusing here what other members can do would make this one differ from them; so it stops instead.
    if (version > Machine.versionMax)
      throw new InvariantError(
        `Cluster runs machine version ${version}, this member runs up to ${Machine.versionMax}: upgrade it`,
      );
    this.#version = Math.max(this.#version, version);
    return this.#ok({ type: "ok" });
  }

  #ok(reply: Reply): Outcome {
    return { ok: true, revision: this.revision, reply };
  }

  #refusal<R extends RefusedReason>(
    reason: R,
  ): { readonly ok: false; readonly revision: number; readonly reason: R; readonly compactRevision: number } {
    return { ok: false, revision: this.revision, reason, compactRevision: this.compactRevision };
  }
}
