import { CodecError } from "../codec/bytes.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "../codec/message.ts";
import { type Command, type Member, type Outcome } from "../machine/commands.ts";
import { type Machine, type MachineOptions } from "../machine/machine.ts";
import { type NodeHandle } from "../observability/events.ts";
import { type RaftCore } from "../raft/core.ts";
import { type Entry, type MemberId, type Message, NONE, type Ready, type Status } from "../raft/types.ts";
import { type LogStore } from "../storage/log-store.ts";
import { type Transport } from "../transport/transport.ts";
import { type AppliedCommand, ApplyQueue } from "./apply-queue.ts";
import { Checkpointer } from "./checkpointer.ts";
import { type CheckpointSlots } from "./checkpoint-slots.ts";
import { GROUP_ID, TICK_MS } from "./constants.ts";
import { type Environment, firstRequestNumber, type RuntimeLogger } from "./environment.ts";
import { Forwarding } from "./forwarding.ts";
import { Expiry } from "./expiry.ts";
import { LeaseRenewals } from "./lease-renewals.ts";
import { LeaderSearch } from "./leader-search.ts";
import { Leadership } from "./leadership.ts";
import { MembershipRequests } from "./membership-requests.ts";
import { PersistQueue } from "./persist-queue.ts";
import { dataOf, type Proposal, Proposals } from "./proposals.ts";
import { ReadRequests } from "./read-requests.ts";
import { ReplicaEvents } from "./replica-events.ts";
import { type Done, failed, succeeded } from "./settled.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import { WatchHub } from "./watch-hub.ts";

/** Keys of apply work in one turn: about 2 ms. */
const APPLY_UNITS = 1000;
/** Versions that a tick removes behind a compaction: about 1 ms, and 200 000 a second. */
const SWEEP_UNITS = 2_000;
/** Readies taken in one turn before others get theirs. */
const READIES_PER_TURN = 8;

export interface ReplicaOptions {
  readonly environment: Environment;
  readonly logger: RuntimeLogger;
  readonly core: RaftCore;
  readonly log: LogStore;
  readonly machine: Machine;
  /** For the machine that an installed snapshot makes. */
  readonly machineOptions: MachineOptions;
  readonly slots: CheckpointSlots;
  readonly transport: Transport;
  readonly memberId: MemberId;
  readonly memberName: string;
  /** Whose events these are. */
  readonly handle: NodeHandle;
  /** Called once, when this replica must not go on: a bug, a failed disk. */
  readonly onFatal: (error: Error) => void;
  /** The member was removed from its cluster. */
  readonly onRemoved: () => void;
  /** Told of every entry right after it was applied; for tests and metrics. */
  readonly onApplied?: (entry: Entry, machine: Machine) => void;
  /** Bytes of log after which a checkpoint is written. @default 32 MiB */
  readonly checkpointLogBytes?: number;
  /** Entries after which a checkpoint is written. @default 100 000 */
  readonly checkpointEntries?: number;
}

/**
 * The one loop that owns a member's state. Everything that happens (a frame, a tick, a durable group, a request) goes
 * into the core at once; what follows from it is done in the next turn, in this order:
 *
 * 1. propose or forward what was collected, 2. take what the core asks for, 3. send, 4. write to the log,
 * 5. when durable: tell the core and send what depended on it, 6. apply what is committed, 7. answer.
 */
export class Replica {
  readonly proposals: Proposals;
  readonly reads: ReadRequests;
  readonly watches: WatchHub;
  readonly membership: MembershipRequests;
  readonly renewals: LeaseRenewals;
  readonly events: ReplicaEvents;
  readonly #options: ReplicaOptions;
  readonly #core: RaftCore;
  readonly #forwarding: Forwarding;
  readonly #applyQueue: ApplyQueue;
  readonly #persists = new PersistQueue();
  readonly #checkpointer: Checkpointer;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #leaderSearch: LeaderSearch;
  readonly #leadership: Leadership;
  readonly #expiry: Expiry;
  #machine: Machine;
  /** The members whose URLs the transport has. */
  #peersOf: readonly Member[] = [];
  #turnScheduled = false;
  #stopped = false;
  #cancelTick: () => void = () => undefined;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#core = options.core;
    this.#machine = options.machine;
    this.events = new ReplicaEvents(options.handle, options.environment);
    this.#leadership = new Leadership(this, () => this.#sender.stop());
    this.proposals = new Proposals(firstRequestNumber(options.environment));
    this.reads = new ReadRequests(firstRequestNumber(options.environment));
    const machine = (): Machine => this.#machine;
    this.watches = new WatchHub(machine);
    this.#applyQueue = new ApplyQueue(machine, {
      applied: (entry, result) => this.#onApplied(entry, result),
      configurationApplied: (index) => this.#onConfigurationApplied(index),
    });
    this.#forwarding = new Forwarding(this);
    this.membership = new MembershipRequests(this, options.environment);
    this.renewals = new LeaseRenewals(this);
    this.#expiry = new Expiry(this);
    this.#checkpointer = new Checkpointer(this, options.slots, options.log);
    this.#sender = new SnapshotSender(this);
    this.#receiver = new SnapshotReceiver(this, options.slots, options.log);
    this.#leaderSearch = new LeaderSearch(options.core, options.environment, () => this.step({ type: "campaign" }));
  }

  get environment(): Environment {
    return this.#options.environment;
  }

  get logger(): RuntimeLogger {
    return this.#options.logger;
  }

  get transport(): Transport {
    return this.#options.transport;
  }

  get memberId(): MemberId {
    return this.#options.memberId;
  }

  get memberName(): string {
    return this.#options.memberName;
  }

  get core(): RaftCore {
    return this.#core;
  }

  get machine(): Machine {
    return this.#machine;
  }

  /** Made of copies; what a turn needs is asked of the core itself. */
  get status(): Status {
    return this.#core.status();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get options(): ReplicaOptions {
    return this.#options;
  }

  /** This member leads, and has applied an entry of its own term: its state is current and its clock runs. */
  get inOffice(): boolean {
    return this.#leadership.clock !== undefined;
  }

  /** The cluster's time as this leader's clock has it, ms; undefined out of office. */
  get clusterTimeMs(): number | undefined {
    return this.#leadership.clock?.stamps().clusterTimeMs;
  }

  /** Requests that have no answer yet. */
  get unresolved(): number {
    return this.proposals.unresolved + this.reads.unresolved;
  }

  /** No command is half applied: the machine can be frozen. */
  get betweenEntries(): boolean {
    return !this.#applyQueue.inEntry;
  }

  start(): void {
    this.#setPeers();
    this.#scheduleTick();
    const { voters } = this.#core.status().configuration;
    // A voter without others has nobody to listen for: it need not wait for an election timeout.
    if (voters.length === 1 && voters[0] === this.memberId) this.#core.step({ type: "campaign" });
    this.schedule();
  }

  /** Calls `listener` whenever the role, the term or the known leader changes. */
  onLeadershipChange(listener: () => void): () => void {
    return this.#leadership.onChange(listener);
  }

  /** A write. The outcome comes when it is applied here (or at the leader). */
  propose(
    command: Command,
    timeoutMs: number,
    done: Done<Outcome>,
    origin: Pick<Proposal, "idempotency" | "request" | "trace"> = {},
  ): void {
    this.submit({ command, ...origin, deadline: this.environment.now() + timeoutMs, done, forwarded: false });
  }

  submit(submitted: Proposal): void {
    const proposal = this.events.submitted(submitted);
    if (this.#stopped) {
      proposal.done(failed("CONCORD_STOPPED"));
      return;
    }
    const refusal = this.#machine.check(proposal.command);
    if (refusal !== undefined) {
      proposal.done(succeeded(refusal));
      return;
    }
    this.proposals.add(proposal);
    this.schedule();
  }

  /** Answers when a read of this member's machine is linearizable. */
  barrier(timeoutMs: number, done: Done<undefined>): void {
    if (this.#stopped) {
      done(failed("CONCORD_STOPPED"));
      return;
    }
    this.reads.add(this.environment.now() + timeoutMs, done);
    this.schedule();
  }

  /** A frame from a member of this cluster. */
  receive(from: MemberId, payload: Uint8Array): void {
    if (this.#stopped || this.#receiver.switching) return;
    try {
      const { groupId, message } = decodeMessage(payload);
      if (groupId !== GROUP_ID || this.#forwarding.handle(from, message)) return;
      this.step({ type: "message", from, message: message as Message });
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      this.logger.warn("Unreadable message dropped", { from, error: error.message });
    }
  }

  connectionLost(member: MemberId): void {
    if (this.#stopped) return;
    this.proposals.lost(member);
    this.membership.lost(member);
    if (member === this.#core.leader) this.#leaderSearch.start();
    // A random 0-50 ms, so that the followers of a dead leader do not campaign in the same moment.
    this.step({ type: "connectionLost", member, delayTicks: this.environment.random(6) });
  }

  unreachable(member: MemberId): void {
    if (!this.#stopped) this.step({ type: "unreachable", member });
  }

  step(input: Parameters<RaftCore["step"]>[0]): void {
    this.#core.step(input);
    this.schedule();
  }

  send(to: MemberId, message: PeerMessage): boolean {
    return this.transport.send(to, encodeMessage(GROUP_ID, message));
  }

  /** The state is another one now: a snapshot was installed. */
  replaceMachine(machine: Machine): void {
    this.#machine = machine;
    this.#applyQueue.skipTo(machine.appliedIndex);
    this.proposals.skippedTo(machine.appliedIndex);
    this.reads.applied(machine.appliedIndex);
    this.#setPeers();
    this.watches.advanced();
  }

  fatal(error: Error): void {
    if (this.#stopped) return;
    this.stop();
    this.#options.onFatal(error);
  }

  /** Ends the loop at once. What is unresolved is answered so. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelTick();
    this.#leaderSearch.stop();
    this.#sender.stop();
    this.#checkpointer.stop();
    this.proposals.stop();
    this.reads.stop();
    this.membership.stop();
    this.watches.stop();
  }

  /** Asks for a turn. Everything that arrives before it is handled in it together. */
  schedule(): void {
    if (this.#turnScheduled || this.#stopped) return;
    this.#turnScheduled = true;
    this.environment.defer(() => {
      this.#turnScheduled = false;
      if (this.#stopped) return;
      try {
        this.#turn();
      } catch (error) {
        this.fatal(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  #turn(): void {
    if (this.#receiver.switching) return;
    this.#askReads();
    this.#propose();
    for (let taken = 0; taken < READIES_PER_TURN && this.#core.hasReady(); taken += 1) this.#handle(this.#core.ready());
    const more = this.#applyQueue.run(APPLY_UNITS);
    if (this.#machine.appliedIndex > this.#core.applied) {
      this.#core.step({ type: "applied", index: this.#machine.appliedIndex });
      this.reads.applied(this.#machine.appliedIndex);
      this.watches.advanced();
    }
    this.#leadership.observe();
    this.#checkpointer.maybeStart();
    if (more || this.#core.hasReady() || (this.inOffice && this.proposals.waiting > 0)) this.schedule();
  }

  #handle(ready: Ready): void {
    for (const { to, message } of ready.messages) this.send(to, message);
    const persisted = this.events.persisting(ready.entries);
    const whenDurable = (): void => {
      if (this.#stopped) return;
      persisted();
      for (const { to, message } of ready.messagesAfterPersist) this.send(to, message);
      this.step({ type: "persisted", ready: ready.number });
    };
    if (ready.hardState === undefined && ready.entries.length === 0) {
      this.#persists.nothing(ready.number, whenDurable);
    } else {
      const durable = this.#persists.writing(ready.number, whenDurable);
      this.#options.log.append({ hardState: ready.hardState, entries: ready.entries }, (error) => {
        if (error !== undefined) this.fatal(error);
        else durable();
      });
      this.#checkpointer.logged(ready.entries);
    }
    if (ready.committed.length > 0) {
      this.events.committed(ready.committed);
      this.#applyQueue.push(ready.committed);
    }
    for (const { context, index } of ready.reads) this.reads.confirmed(context, index);
    for (const { context } of ready.failedReads) this.reads.failed(context);
    this.reads.applied(this.#machine.appliedIndex);
    for (const request of ready.snapshotRequests) this.#sender.request(request);
    for (const chunk of ready.install) this.#receiver.receive(chunk);
  }

  #askReads(): void {
    if (this.reads.collected > 0) this.#core.step({ type: "readIndex", context: this.reads.ask() });
  }

  #propose(): void {
    if (this.proposals.waiting === 0) return;
    const { clock } = this.#leadership;
    if (clock === undefined) {
      this.#forwarding.forwardWaiting();
      return;
    }
    const stamps = clock.stamps();
    const proposals = this.proposals.take();
    const header = { groupId: GROUP_ID, machineVersion: this.#machine.version, ...stamps };
    const result = this.#core.propose(proposals.map((proposal) => dataOf(proposal, header)));
    if (result.ok) {
      for (const [position, proposal] of proposals.entries()) {
        this.proposals.proposed(result.firstIndex + position, result.term, proposal);
        this.events.proposed(result.firstIndex + position, result.term, proposal);
      }
    } else if (result.reason === "tooManyUncommitted") {
      for (const { done } of proposals) done(failed("CONCORD_TOO_MANY_REQUESTS"));
    } else {
      this.proposals.putBack(proposals);
    }
  }

  #onApplied(entry: Entry, result: AppliedCommand | undefined): void {
    this.#options.onApplied?.(entry, this.#machine);
    if (result !== undefined) this.events.applied(entry, result);
    this.proposals.applied(entry.index, entry.term, result?.outcome);
    // A member has other URLs.
    if (this.#machine.members() !== this.#peersOf) this.#setPeers();
    if (entry.type !== "configuration") return;
    this.events.membership(entry, this.#machine);
    this.membership.applied(entry.index, entry.term);
  }

  #onConfigurationApplied(index: number): void {
    this.#core.step({ type: "applied", index });
    this.#setPeers();
    if (this.#machine.isRemoved(this.memberId)) this.#options.onRemoved();
  }

  #setPeers(): void {
    const members = this.#machine.members();
    this.#peersOf = members;
    this.transport.setPeers(
      members.filter(({ id }) => id !== this.memberId).map(({ id, name, peerUrls }) => ({ id, name, urls: peerUrls })),
    );
  }

  #scheduleTick(): void {
    this.#cancelTick = this.environment.timer(TICK_MS, () => {
      if (this.#stopped) return;
      this.#scheduleTick();
      this.#machine.sweep(SWEEP_UNITS);
      const now = this.environment.now();
      this.#sender.expire(now);
      const leaderKnown = this.#core.leader !== NONE;
      this.proposals.expire(now, leaderKnown);
      this.reads.expire(now, leaderKnown);
      this.membership.expire(now);
      this.#expiry.tick();
      if (!this.#receiver.switching) this.step({ type: "tick" });
    });
  }
}
