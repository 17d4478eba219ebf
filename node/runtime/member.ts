import { ConcordError } from "../client/errors.ts";
import { type FoundCommand } from "../machine/commands.ts";
import { Machine } from "../machine/machine.ts";
import { type NodeHandle } from "../observability/events.ts";
import { CORE_DEFAULTS, type CoreOptions } from "../raft/config.ts";
import { RaftCore } from "../raft/core.ts";
import { type MemberId, NONE, type SnapshotMeta } from "../raft/types.ts";
import { type LogIdentity, type LogStore, type RecoveredLog } from "../storage/log-store.ts";
import {
  type ProbeAnswer,
  type Transport,
  type TransportHandler,
  type TransportIdentity,
} from "../transport/transport.ts";
import { AutoCompaction } from "./auto-compaction.ts";
import { writeFrozen } from "./checkpointer.ts";
import { type CheckpointSlot, CheckpointSlots } from "./checkpoint-slots.ts";
import { membersConfiguration } from "./configuration.ts";
import { FoundingDriver, FoundingWait } from "./founding.ts";
import { foundingList, type MemberOptions } from "./member-options.ts";
import { Publisher } from "./publisher.ts";
import { QuotaGuard } from "./quota-guard.ts";
import { isOnlyVoter, loadMachine } from "./recovery.ts";
import { Rejoin, Repair } from "./repair.ts";
import { GROUP_ID } from "./constants.ts";
import { Replica } from "./replica.ts";

export type MemberState = "waiting" | "founding" | "running" | "recovering" | "removed" | "failed";

/**
 * The life of a member: an empty disk waits to be founded or adopted; a log leads back into its cluster. What makes it a
 * member is always one durable record, written before it says a word as one.
 */
export class Member {
  readonly #options: MemberOptions;
  readonly slots: CheckpointSlots;
  /** Whose events those of this member are. */
  readonly handle: NodeHandle;
  #log: LogStore | undefined;
  #transport: Transport | undefined;
  #identity: LogIdentity;
  #replica: Replica | undefined;
  #state: MemberState = "waiting";
  #wait: FoundingWait | undefined;
  /** Work beside the replica, each with its own timer. */
  #attendants: readonly { stop(): void }[] = [];
  /** The cluster that is adopting this member while its identity is being written. */
  #adopting = "";
  #closed = false;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.slots = new CheckpointSlots(options.checkpoints);
    this.handle = options.handle ?? { name: options.name };
    this.#identity = { groupId: GROUP_ID, clusterId: "", memberId: NONE, memberName: options.name };
  }

  get options(): MemberOptions {
    return this.#options;
  }

  get memberId(): MemberId {
    return this.#identity.memberId;
  }

  get clusterId(): string {
    return this.#identity.clusterId;
  }

  get replica(): Replica | undefined {
    return this.#replica;
  }

  get transport(): Transport {
    this.#transport ??= this.#options.transport(this.#transportIdentity());
    return this.#transport;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get state(): MemberState {
    const machine = this.#replica?.machine;
    if (this.#state !== "running" || machine === undefined) return this.#state;
    if (machine.clusterId === "") return "recovering";
    return machine.founding.complete ? "running" : "founding";
  }

  /** Opens the data directory and joins in. Errors of the disk and of the configuration come through `done`. */
  open(done: (error: Error | undefined) => void): void {
    const opened = this.#options.openLog();
    if (opened.type === "damaged") {
      const { segment, offset, reason } = opened.damage;
      const where = `${segment} at byte ${offset}: ${reason}`;
      if (this.#options.initialCluster.length === 1) {
        done(
          new ConcordError("CONCORD_STORAGE_DAMAGED", `The log is damaged in ${where}`, {
            details: { segment, offset },
          }),
        );
        return;
      }
      // Remembered first: from here on nobody may act under the old id again.
      this.#options.formerId.write(opened.damage.identity?.memberId ?? NONE);
      const directory = this.#options.setAside();
      this.#options.logger.error("The log is damaged; this member gives up its id and waits to be added anew", {
        segment,
        offset,
        reason,
        directory,
        formerId: opened.damage.identity?.memberId ?? "",
      });
      this.#openEmpty(done);
      return;
    }
    if (opened.type === "empty") {
      const checkpoints = this.#options.checkpoints.list();
      if (checkpoints.length === 0) this.#openEmpty(done);
      else
        done(
          new ConcordError(
            "CONCORD_MEMBER_LOST_DATA",
            `This member lost its log; replace it: the data directory holds ${checkpoints.join(", ")}, and no log`,
          ),
        );
      return;
    }
    this.#log = opened.store;
    this.#identity = opened.recovered.identity;
    if (this.#identity.clusterId === "") this.#startTransport(done);
    else this.#recover(opened.recovered, done);
  }

  /**
   * Founds the cluster with this member as its only voter. Refused when this member belongs to one already: founding is
   * done once.
   */
  found(command: Omit<FoundCommand, "type" | "founder">, done: (error: Error | undefined) => void): void {
    if (this.#state !== "waiting" || this.clusterId !== "" || this.#adopting !== "") {
      done(
        new ConcordError(
          "CONCORD_ALREADY_FOUNDED",
          `This member belongs to cluster ${this.clusterId || this.#adopting}`,
        ),
      );
      return;
    }
    this.#adopting = command.clusterId;
    const { environment, logger, name, peerUrls, clientUrls } = this.#options;
    const founder = { id: this.memberId, name, peerUrls, clientUrls, learner: false, joined: true };
    const machine = new Machine(this.#options.machine);
    const snapshot: SnapshotMeta = { index: 1, term: 1, configuration: { voters: [this.memberId], learners: [] } };
    machine.apply(
      { index: snapshot.index, clusterTimeMs: 0, wallTimeMs: Math.floor(environment.wallTime()) },
      { type: "found", founder, ...command },
    );
    this.slots.openNew((error, slot) => {
      if (error !== undefined || slot === undefined) {
        done(error ?? new Error("No checkpoint store"));
        return;
      }
      const frozen = machine.freeze({ onlyDirty: false });
      writeFrozen(
        environment,
        slot.store.begin(),
        frozen,
        snapshot,
        () => this.#closed,
        (writeError) => {
          frozen.close();
          if (writeError !== undefined || this.#closed) {
            done(writeError ?? new ConcordError("CONCORD_STOPPED"));
            return;
          }
          machine.checkpointed(frozen);
          this.#commitFounding(command.clusterId, slot, snapshot, machine, (commitError) => {
            if (commitError === undefined)
              logger.info("Founded the cluster", { clusterId: command.clusterId, size: command.size });
            done(commitError);
          });
        },
      );
    });
  }

  close(done: () => void): void {
    if (this.#closed) {
      done();
      return;
    }
    this.#closed = true;
    this.#wait?.stop();
    this.#stopReplica();
    const closeSlots = (): void => this.slots.close(done);
    const closeLog = (): void => {
      if (this.#log === undefined) closeSlots();
      else this.#log.close(closeSlots);
    };
    if (this.#transport === undefined) closeLog();
    else this.#transport.close(closeLog);
  }

  #openEmpty(done: (error: Error | undefined) => void): void {
    this.#identity = { ...this.#identity, memberId: this.#options.environment.randomId() };
    this.#log = this.#options.createLog(this.#identity);
    this.#startTransport(done);
  }

  /** The record that makes the founder a member: identity, first term and checkpoint, durable together. */
  #commitFounding(
    clusterId: string,
    slot: CheckpointSlot,
    snapshot: SnapshotMeta,
    machine: Machine,
    done: (error: Error | undefined) => void,
  ): void {
    const log = this.#requireLog();
    const identity = { ...this.#identity, clusterId };
    const hardState = { term: snapshot.term, vote: this.memberId, commit: snapshot.index };
    log.append(
      { identity, hardState, checkpoint: { meta: snapshot, directory: slot.directory }, resetLog: true },
      (error) => {
        if (error !== undefined) {
          done(error);
          return;
        }
        this.#identity = identity;
        this.#adopting = "";
        this.slots.switchTo(slot, () => {
          // The record is durable: the next start goes on from it.
          if (this.#closed) {
            done(new ConcordError("CONCORD_STOPPED"));
            return;
          }
          this.#startReplica(
            { hardState, snapshot, entries: [], applied: snapshot.index, configuration: snapshot.configuration },
            machine,
            false,
          );
          this.transport.setIdentity(this.#transportIdentity());
          done(undefined);
        });
      },
    );
  }

  /** A member of a cluster that has this member in its configuration speaks to it for the first time. */
  #adopt(clusterId: string): boolean {
    if (this.clusterId !== "" || this.#closed) return this.clusterId === clusterId;
    if (this.#adopting !== "") return this.#adopting === clusterId;
    this.#adopting = clusterId;
    const identity = { ...this.#identity, clusterId };
    this.#requireLog().append({ identity }, (error) => {
      if (error !== undefined) {
        this.#fail(error);
        return;
      }
      this.#identity = identity;
      this.#adopting = "";
      this.#options.logger.info("Adopted by a cluster", { clusterId });
      const nothing = { index: 0, term: 0, configuration: { voters: [], learners: [] } };
      this.#startReplica(
        {
          hardState: { term: 0, vote: NONE, commit: 0 },
          snapshot: nothing,
          entries: [],
          applied: 0,
          configuration: nothing.configuration,
        },
        new Machine(this.#options.machine),
        false,
      );
      this.transport.setIdentity(this.#transportIdentity());
    });
    return true;
  }

  #recover(recovered: RecoveredLog, done: (error: Error | undefined) => void): void {
    const { directory, meta } = recovered.checkpoint;
    if (meta.index === 0) {
      this.#recoverWith(recovered, new Machine(this.#options.machine), meta, false, done);
      return;
    }
    this.slots.open(directory, (openError, slot) => {
      if (openError !== undefined || slot === undefined) {
        this.#recoverDamaged(recovered, openError?.message ?? "it cannot be opened", done);
        return;
      }
      loadMachine(slot, this.#options.machine, meta.index, (machine, snapshot, reason) => {
        if (machine === undefined) this.slots.discard(slot, () => this.#recoverDamaged(recovered, reason, done));
        else this.slots.switchTo(slot, () => this.#recoverWith(recovered, machine, snapshot, false, done));
      });
    });
  }

  /** The log is whole, the checkpoint is not: this member votes, and asks the leader for the state. */
  #recoverDamaged(recovered: RecoveredLog, reason: string, done: (error: Error | undefined) => void): void {
    const { directory, meta } = recovered.checkpoint;
    if (isOnlyVoter(this.memberId, recovered)) {
      done(new ConcordError("CONCORD_STORAGE_DAMAGED", `The checkpoint in ${directory} is damaged: ${reason}`));
      return;
    }
    this.#options.logger.error("The checkpoint is damaged; asking the leader for a snapshot", { directory, reason });
    this.#recoverWith(recovered, new Machine(this.#options.machine), meta, true, done);
  }

  #recoverWith(
    recovered: RecoveredLog,
    machine: Machine,
    snapshot: SnapshotMeta,
    machineMissing: boolean,
    done: (error: Error | undefined) => void,
  ): void {
    const entries = recovered.entries.filter((entry) => entry.index > snapshot.index);
    this.#startReplica(
      {
        hardState: recovered.hardState,
        snapshot,
        entries,
        applied: snapshot.index,
        configuration: machineMissing ? snapshot.configuration : membersConfiguration(machine.members()),
      },
      machine,
      machineMissing,
    );
    this.#startTransport(done);
  }

  #startReplica(recovered: CoreOptions["recovered"], machine: Machine, machineMissing: boolean): void {
    const { environment, logger, core, name } = this.#options;
    const { transport } = this;
    const replica = new Replica({
      environment,
      logger,
      transport,
      machine,
      machineOptions: this.#options.machine,
      slots: this.slots,
      log: this.#requireLog(),
      memberId: this.memberId,
      memberName: name,
      handle: this.handle,
      core: new RaftCore({
        ...CORE_DEFAULTS,
        ...core,
        id: this.memberId,
        recovered,
        machineMissing,
        random: (bound) => environment.random(bound),
      }),
      onFatal: (error) => this.#fail(error),
      onRemoved: () => this.#removed(),
      ...this.#options.replica,
    });
    this.#wait?.stop();
    this.#replica = replica;
    this.#state = "running";
    this.#attendants = [
      new FoundingDriver(replica),
      new Publisher(replica, this.#options),
      new AutoCompaction(replica, this.#options.autoCompaction),
      new QuotaGuard(replica),
      new Repair(replica),
      ...(this.#options.formerId.read() === NONE
        ? []
        : [new Rejoin(replica, () => this.#options.formerId.write(NONE))]),
    ];
    replica.start();
  }

  #startTransport(done: (error: Error | undefined) => void): void {
    const handler: TransportHandler = {
      onFrame: (from, payload) => this.#replica?.receive(from, payload),
      onConnectionLost: (member) => this.#replica?.connectionLost(member),
      onUnreachable: (member) => this.#replica?.unreachable(member),
      onAdopt: (clusterId) => this.#adopt(clusterId),
      onRemoved: () => this.#removed(),
      members: () => this.#probeMembers(),
      isRemoved: (id) => this.#replica?.machine.isRemoved(id) ?? false,
    };
    this.transport.start(handler, (error) => {
      if (error === undefined && this.#replica === undefined && !this.#closed) {
        this.#wait = new FoundingWait(this);
        this.#wait.start();
      }
      done(error);
    });
  }

  #probeMembers(): ProbeAnswer["members"] {
    const machine = this.#replica?.machine;
    if (machine === undefined) return [];
    const awaited = machine.founding.awaited.map(({ name }) => ({ id: NONE, name, joined: false }));
    return [...machine.members().map(({ id, name, joined }) => ({ id, name, joined })), ...awaited];
  }

  #transportIdentity(): TransportIdentity {
    const { token, initialCluster } = this.#options;
    const formerId = this.clusterId === "" ? this.#options.formerId.read() : NONE;
    return { ...this.#identity, formerId, token, initialCluster: foundingList(initialCluster) };
  }

  #requireLog(): LogStore {
    if (this.#log === undefined) throw new Error("The log is not open");
    return this.#log;
  }

  #removed(): void {
    if (this.#state === "removed" || this.#closed) return;
    this.#state = "removed";
    this.#stopReplica();
    this.#options.onFatal(new ConcordError("CONCORD_MEMBER_REMOVED"));
  }

  #fail(error: Error): void {
    if (this.#state === "failed" || this.#closed) return;
    this.#state = "failed";
    this.#stopReplica();
    this.#options.onFatal(error);
  }

  #stopReplica(): void {
    for (const attendant of this.#attendants) attendant.stop();
    this.#replica?.stop();
  }
}
