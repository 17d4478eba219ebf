import { ConcordError } from "../../node/client/errors.ts";
import { decodeCommand, encodeCommand } from "../../node/codec/command.ts";
import { SnapshotEncoder } from "../../node/codec/snapshot.ts";
import {
  type Command,
  type Member,
  type Outcome,
  type RangeOperation,
  type TxnOperation,
} from "../../node/machine/commands.ts";
import { type Idempotency, type Lease, Machine, type ReadResult } from "../../node/machine/machine.ts";
import { ROW_EXPIRIES_MAX } from "../../node/machine/limits.ts";
import {
  type NodeApi,
  type NodeHeader,
  type NodeInfo,
  type ProposeOptions,
  type ReadAnswer,
  type ReadLevel,
  type ReadOptions,
  type Watch,
  type WatchRequest,
} from "../../node/runtime/node-api.ts";
import { membersConfiguration } from "../../node/runtime/configuration.ts";
import { GROUP_ID } from "../../node/runtime/constants.ts";
import { RunningWatch } from "../../node/runtime/running-watch.ts";
import { systemEnvironment } from "../../node/runtime/system-environment.ts";
import { WatchHub } from "../../node/runtime/watch-hub.ts";

const OWN_ID = "00000000000000a1";
const CLUSTER_ID = "c000000000000001";

/** What a test may change to see how the doors take it. */
export interface LocalSituation {
  /** No leader: linearizable reads and writes fail. */
  leaderless: boolean;
  learner: boolean;
  state: NodeInfo["state"];
  /** Thrown by the next write instead of applying it. */
  nextWriteFails: ConcordError | undefined;
}

/**
 * A member of one over the real state machine, in memory and without a log: what the doors see of a replica, for tests
 * of the doors alone.
 */
export class LocalNode implements NodeApi {
  readonly machine: Machine;
  readonly handle = { name: "a" };
  readonly situation: LocalSituation = {
    leaderless: false,
    learner: false,
    state: "running",
    nextWriteFails: undefined,
  };
  readonly #hub: WatchHub;
  #passedMs = 0;
  #index = 0;

  constructor(
    options: {
      readonly clusterUid?: string;
      readonly clusterId?: string;
      readonly quotaBytes?: number;
      readonly valueBytesMax?: number;
    } = {},
  ) {
    this.machine = new Machine({
      limits: {
        keyBytesMax: 1_572_864,
        valueBytesMax: options.valueBytesMax ?? 1_572_864,
        operationsMax: 500,
        nestingMax: 16,
      },
      quotaBytes: options.quotaBytes ?? 1 << 30,
    });
    this.#hub = new WatchHub(() => this.machine);
    const founder: Member = {
      id: OWN_ID,
      name: "a",
      peerUrls: ["http://127.0.0.1:2380"],
      clientUrls: ["http://127.0.0.1:2379"],
      learner: false,
      joined: true,
    };
    const clusterUid = options.clusterUid ?? "test-uid";
    this.#apply({
      type: "found",
      clusterId: options.clusterId ?? CLUSTER_ID,
      clusterUid,
      size: 1,
      founder,
      awaited: [],
    });
  }

  info(): NodeInfo {
    const stats = this.machine.stats();
    return {
      state: this.situation.state,
      clusterId: this.machine.clusterId,
      clusterUid: this.machine.clusterUid,
      memberId: OWN_ID,
      memberName: "a",
      leaderId: this.situation.leaderless ? "" : OWN_ID,
      role: this.situation.learner ? "learner" : this.situation.leaderless ? "follower" : "leader",
      term: 2,
      commitIndex: this.#index,
      appliedIndex: this.#index,
      revision: this.machine.revision,
      compactRevision: this.machine.compactRevision,
      machineVersion: this.machine.version,
      databaseBytes: stats.bytes,
      databaseBytesInUse: stats.liveBytes,
      keys: stats.keys,
      leases: stats.leases,
      rowsWithEnd: this.machine.rowsWithEnd,
      pendingWrites: 0,
      idempotencyKeys: stats.records,
      idempotencyBytes: stats.recordBytes,
      alarms: this.machine.alarms,
      members: this.machine
        .members()
        .map((member) => ({ ...member, matchIndex: this.#index, active: true, caughtUp: true })),
    };
  }

  header(): NodeHeader {
    return this.info();
  }

  async propose(command: Command, options: ProposeOptions = {}): Promise<Outcome> {
    await this.barrier();
    const failure = this.situation.nextWriteFails;
    this.situation.nextWriteFails = undefined;
    if (failure !== undefined) throw failure;
    // By way of its bytes, as through a log.
    return this.machine.check(command) ?? this.#apply(decodeCommand(encodeCommand(command)), options.idempotency);
  }

  grantLease(id: bigint, ttlSeconds: number, options?: ProposeOptions): Promise<Outcome> {
    const chosen = id === 0n ? BigInt(`0x${systemEnvironment.randomId()}`) : id;
    return this.propose({ type: "leaseGrant", id: chosen, ttlSeconds }, options);
  }

  renewLease(id: bigint): Promise<Outcome> {
    return this.propose({ type: "leaseKeepAlive", ids: [id] });
  }

  writeRevision(key: Uint8Array): number | undefined {
    return this.machine.writeRevision(key);
  }

  leases(): readonly Lease[] {
    return this.machine.leases.list();
  }

  async read(
    operation: RangeOperation | TxnOperation,
    level: ReadLevel,
    { minRevision = 0 }: ReadOptions = {},
  ): Promise<ReadAnswer> {
    if (level !== "eventual") await this.barrier();
    const freshness = { level, term: 2, stalenessMs: 0 };
    const { revision, compactRevision } = this.machine;
    if (minRevision > revision) return { ok: false, revision, reason: "futureRevision", compactRevision, freshness };
    const task = this.machine.read(operation);
    for (;;) {
      const result = task.advance(1000);
      if (result !== undefined) return { ...result, freshness };
    }
  }

  getLocal(key: Uint8Array, revision?: number): ReadResult {
    return this.machine.get(key, revision);
  }

  barrier(): Promise<void> {
    if (this.situation.state === "waiting") return Promise.reject(new ConcordError("CONCORD_WAITING"));
    return this.situation.leaderless ? Promise.reject(new ConcordError("CONCORD_NO_LEADER")) : Promise.resolve();
  }

  watch(request: WatchRequest): Watch {
    return new RunningWatch(this.#hub, request, systemEnvironment);
  }

  grant(): Promise<void> {
    return Promise.reject(new ConcordError("CONCORD_ALREADY_FOUNDED"));
  }

  addLearner(request: { readonly name: string; readonly peerUrls: readonly string[] }): Promise<readonly Member[]> {
    this.#index += 1;
    const member = "00000000000000b2";
    this.machine.applyMembership(
      this.#index,
      { type: "addLearner", member },
      { id: member, ...request, clientUrls: [], learner: true, joined: false },
    );
    return Promise.resolve(this.machine.members());
  }

  promote(id: string): Promise<readonly Member[]> {
    return this.#change("promote", id);
  }

  remove(id: string): Promise<readonly Member[]> {
    return this.#change("remove", id);
  }

  transfer(to: string): Promise<string> {
    if (to !== "" && to !== OWN_ID) return Promise.reject(new ConcordError("CONCORD_MEMBER_NOT_FOUND"));
    return Promise.resolve(OWN_ID);
  }

  hash(revision: number): ReturnType<NodeApi["hash"]> {
    if (revision !== 0 && revision < this.machine.compactRevision)
      return Promise.reject(new ConcordError("CONCORD_COMPACTED"));
    if (revision > this.machine.revision) return Promise.reject(new ConcordError("CONCORD_FUTURE_REVISION"));
    const task = this.machine.hash(revision);
    for (;;) {
      const result = task.advance(1000);
      if (result !== undefined) return Promise.resolve(result);
    }
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the interface is asynchronous
  async *snapshot(): AsyncIterable<Uint8Array> {
    const frozen = this.machine.freeze({ onlyDirty: false });
    try {
      const encoder = new SnapshotEncoder({
        groupId: GROUP_ID,
        clusterId: this.machine.clusterId,
        snapshot: { index: this.#index, term: 2, configuration: membersConfiguration(this.machine.members()) },
        machine: frozen.meta,
      });
      for (let pages = frozen.nextPages(65_536); pages !== undefined; pages = frozen.nextPages(65_536))
        yield* encoder.push(pages);
      yield* encoder.finish();
    } finally {
      frozen.close();
    }
  }

  ready(): Promise<void> {
    return this.barrier();
  }

  /** Ends all watches, as a member that stops does. */
  stop(): void {
    this.#hub.stop();
  }

  /** Lets time go on, and ends the rows that it was for, as a leader does. */
  pass(ms: number): void {
    this.#passedMs += ms;
    this.#apply({ type: "advanceTime" });
    const rows = this.machine.endedRows(this.#index + this.#passedMs, ROW_EXPIRIES_MAX);
    if (rows.length > 0) this.#apply({ type: "expireRows", rows });
  }

  #apply(command: Command, idempotency?: Idempotency): Outcome {
    this.#index += 1;
    const clusterTimeMs = this.#index + this.#passedMs;
    const outcome = this.machine.apply(
      { index: this.#index, clusterTimeMs, wallTimeMs: this.#index, idempotency },
      command,
    );
    this.#hub.advanced();
    return outcome;
  }

  #change(type: "promote" | "remove", member: string): Promise<readonly Member[]> {
    if (!this.machine.members().some((each) => each.id === member)) {
      return Promise.reject(new ConcordError("CONCORD_MEMBER_NOT_FOUND"));
    }
    this.#index += 1;
    this.machine.applyMembership(this.#index, { type, member }, undefined);
    return Promise.resolve(this.machine.members());
  }
}
