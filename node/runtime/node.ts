import { ConcordError } from "../client/errors.ts";
import {
  type Command,
  type Member as MemberRow,
  type Outcome,
  type RangeOperation,
  type TxnOperation,
} from "../machine/commands.ts";
import { type Lease, Machine, type ReadResult } from "../machine/machine.ts";
import { SnapshotEncoder } from "../codec/snapshot.ts";
import { currentRequest } from "../observability/channels.ts";
import { type NodeHandle } from "../observability/events.ts";
import { membersConfiguration } from "./configuration.ts";
import { FreshnessTracker } from "./freshness.ts";
import { type Member } from "./member.ts";
import { type MembershipAnswer } from "./membership-requests.ts";
import {
  type NodeApi,
  type NodeHeader,
  type NodeInfo,
  type ProposeOptions,
  type ReadAnswer,
  type ReadLevel,
  type ReadOptions,
  type RequestOptions,
  type Watch,
  type WatchRequest,
} from "./node-api.ts";
import { GROUP_ID } from "./constants.ts";
import { type Replica } from "./replica.ts";
import { type Done } from "./settled.ts";
import { RunningWatch } from "./running-watch.ts";

const TIMEOUT_MS = 5_000;
/** Keys of a read in one slice: about 1 ms. */
const SLICE_KEYS = 1_000;
/** Bytes of pages in one slice of a snapshot. */
const SLICE_BYTES = 256 << 10;

/** The promises that doors and embedding programs use, over a member that speaks in completions. */
export class ConcordNode implements NodeApi {
  readonly #freshness = new FreshnessTracker();
  readonly #member: Member;

  constructor(member: Member) {
    this.#member = member;
  }

  get handle(): NodeHandle {
    return this.#member.handle;
  }

  info(): NodeInfo {
    const { options, memberId, clusterId, replica, state } = this.#member;
    const base = { state, clusterId, memberId, memberName: options.name };
    if (replica === undefined) return { ...WAITING, ...base, clusterUid: options.clusterUid };
    const { machine, core } = replica;
    const status = core.status();
    const stats = machine.stats();
    const peers = new Map(status.peers.map((peer) => [peer.id, peer]));
    return {
      ...base,
      clusterUid: machine.clusterUid === "" ? options.clusterUid : machine.clusterUid,
      leaderId: status.leader,
      role: roleOf(replica, memberId),
      term: status.term,
      commitIndex: status.commit,
      appliedIndex: machine.appliedIndex,
      revision: machine.revision,
      compactRevision: machine.compactRevision,
      machineVersion: machine.version,
      databaseBytes: stats.bytes,
      databaseBytesInUse: stats.liveBytes,
      keys: stats.keys,
      leases: stats.leases,
      rowsWithEnd: machine.rowsWithEnd,
      pendingWrites: replica.proposals.unresolved,
      idempotencyKeys: stats.records,
      idempotencyBytes: stats.recordBytes,
      alarms: machine.alarms,
      members: machine.members().map((row) => {
        const peer = peers.get(row.id);
        const own = row.id === memberId && status.role === "leader";
        return {
          ...row,
          matchIndex: own ? status.lastIndex : (peer?.match ?? -1),
          active: own || (peer?.active ?? false),
          caughtUp: own || (peer?.caughtUp ?? false),
        };
      }),
    };
  }

  header(): NodeHeader {
    const { memberId, clusterId, replica } = this.#member;
    if (replica === undefined) return { clusterId, memberId, leaderId: "", role: "follower", term: 0, revision: 0 };
    const { machine, core } = replica;
    const { leader: leaderId, term } = core;
    return { clusterId, memberId, leaderId, role: roleOf(replica, memberId), term, revision: machine.revision };
  }

  async propose(command: Command, options: ProposeOptions = {}): Promise<Outcome> {
    const replica = this.#replica();
    return this.#settle<Outcome>(options, "write", (timeoutMs, done) =>
      replica.propose(command, timeoutMs, done, originOf(options)),
    );
  }

  async grantLease(id: bigint, ttlSeconds: number, options: ProposeOptions = {}): Promise<Outcome> {
    const { environment } = this.#member.options;
    for (;;) {
      const chosen = id === 0n ? BigInt(`0x${environment.randomId()}`) : id;
      const outcome = await this.propose({ type: "leaseGrant", id: chosen, ttlSeconds }, options);
      const taken = !outcome.ok && outcome.reason === "leaseExists";
      if (id !== 0n || !taken) return outcome;
    }
  }

  async renewLease(id: bigint, options: RequestOptions = {}): Promise<Outcome> {
    const replica = this.#replica();
    return this.#settle<Outcome>(options, "write", (timeoutMs, done) => replica.renewals.renew(id, timeoutMs, done));
  }

  leases(): readonly Lease[] {
    return this.#replica().machine.leases.list();
  }

  writeRevision(key: Uint8Array): number | undefined {
    return this.#replica().machine.writeRevision(key);
  }

  async barrier(options: RequestOptions = {}): Promise<void> {
    const replica = this.#replica();
    const beganAt = replica.environment.now();
    await this.#settle<undefined>(options, "read", (timeoutMs, done) => replica.barrier(timeoutMs, done));
    this.#freshness.confirmed(replica, beganAt);
  }

  async read(
    operation: RangeOperation | TxnOperation,
    level: ReadLevel,
    options: ReadOptions = {},
  ): Promise<ReadAnswer> {
    const confirm = this.#freshness.mustConfirm(this.#replica(), level, options);
    if (confirm) await this.barrier(options);
    const replica = this.#replica();
    const { machine } = replica;
    const freshness = this.#freshness.of(replica, confirm);
    if ((options.minRevision ?? 0) > machine.revision) {
      const { revision, compactRevision } = machine;
      return { ok: false, revision, reason: "futureRevision", compactRevision, freshness };
    }
    const task = machine.read(operation);
    try {
      for (;;) {
        const result = task.advance(SLICE_KEYS);
        if (result !== undefined) return { ...result, freshness };
        await this.#turn();
        if (options.signal?.aborted === true) throw new ConcordError("CONCORD_CANCELLED");
      }
    } finally {
      task.close();
    }
  }

  getLocal(key: Uint8Array, revision?: number): ReadResult {
    return this.#replica().machine.get(key, revision);
  }

  watch(request: WatchRequest): Watch {
    const replica = this.#replica();
    return new RunningWatch(replica.watches, request, replica.environment);
  }

  async grant(request: {
    readonly clusterId: string;
    readonly clusterUid: string;
    readonly size: number;
  }): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#member.found({ ...request, awaited: [] }, (error) => {
        if (error === undefined) resolve();
        else reject(ConcordError.is(error) ? error : new ConcordError("CONCORD_STORAGE_FAILED", error.message));
      });
    });
  }

  async addLearner(
    request: { readonly name: string; readonly peerUrls: readonly string[] },
    options: RequestOptions = {},
  ): Promise<readonly MemberRow[]> {
    return (await this.#membership({ type: "addLearner", ...request }, options)).members;
  }

  async promote(id: string, options: RequestOptions = {}): Promise<readonly MemberRow[]> {
    return (await this.#membership({ type: "promote", id }, options)).members;
  }

  async remove(id: string, options: RequestOptions = {}): Promise<readonly MemberRow[]> {
    return (await this.#membership({ type: "remove", id }, options)).members;
  }

  async transfer(to: string, options: RequestOptions = {}): Promise<string> {
    return (await this.#membership({ type: "transfer", to }, options)).leader;
  }

  async hash(
    revision: number,
    options: RequestOptions = {},
  ): Promise<{ revision: number; compactRevision: number; hash: string }> {
    const { machine } = this.#replica();
    if (revision !== 0 && revision < machine.compactRevision) throw new ConcordError("CONCORD_COMPACTED");
    if (revision > machine.revision) throw new ConcordError("CONCORD_FUTURE_REVISION");
    const task = machine.hash(revision);
    try {
      for (;;) {
        const result = task.advance(SLICE_KEYS);
        if (result !== undefined) return result;
        await this.#turn();
        if (options.signal?.aborted === true) throw new ConcordError("CONCORD_CANCELLED");
      }
    } finally {
      task.close();
    }
  }

  async *snapshot(): AsyncIterable<Uint8Array> {
    const replica = this.#replica();
    while (!replica.betweenEntries) await this.#turn();
    const { machine, core } = replica;
    const term = core.termAt(machine.appliedIndex);
    if (term === undefined) throw new ConcordError("CONCORD_UNHEALTHY", "This member has no whole state yet");
    const frozen = machine.freeze({ onlyDirty: false });
    replica.events.snapshot("taken", "", machine.appliedIndex);
    try {
      const encoder = new SnapshotEncoder({
        groupId: GROUP_ID,
        clusterId: machine.clusterId,
        snapshot: { index: machine.appliedIndex, term, configuration: membersConfiguration(machine.members()) },
        machine: frozen.meta,
      });
      for (let pages = frozen.nextPages(SLICE_BYTES); pages !== undefined; pages = frozen.nextPages(SLICE_BYTES)) {
        yield* encoder.push(pages);
        await this.#turn();
      }
      yield* encoder.finish();
    } finally {
      frozen.close();
    }
  }

  /**
   * Prepares the end of this member: hands leadership to another voter, then waits until what is in flight has its
   * answer. Takes at most `timeoutMs`; whoever comes later still gets one of the three outcomes.
   */
  async handOver(timeoutMs: number): Promise<void> {
    const { replica } = this.#member;
    if (replica === undefined) return;
    const { environment } = replica;
    const deadline = environment.now() + timeoutMs;
    const voters = replica.core.status().configuration.voters.length;
    if (replica.status.role === "leader" && voters > 1) {
      await this.transfer("", { timeoutMs }).catch((error: unknown) => {
        replica.logger.warn("Leadership was not handed over", { error: String(error) });
      });
    }
    while (replica.unresolved > 0 && environment.now() < deadline) {
      await new Promise<void>((resolve) => environment.timer(5, resolve));
    }
  }

  async ready(options: RequestOptions = {}): Promise<void> {
    const { environment } = this.#member.options;
    const deadline = environment.now() + (options.timeoutMs ?? TIMEOUT_MS);
    for (;;) {
      if (this.#member.state === "running") {
        await this.barrier({ ...options, timeoutMs: Math.max(1, deadline - environment.now()) });
        return;
      }
      if (environment.now() >= deadline)
        throw new ConcordError("CONCORD_TIMEOUT", `The member is ${this.#member.state}`);
      if (options.signal?.aborted === true) throw new ConcordError("CONCORD_CANCELLED");
      await new Promise<void>((resolve) => environment.timer(20, resolve));
    }
  }

  #replica(): Replica {
    const { replica, closed } = this.#member;
    if (closed) throw new ConcordError("CONCORD_STOPPED");
    if (replica === undefined) throw new ConcordError("CONCORD_WAITING");
    return replica;
  }

  async #membership(
    request: Parameters<Replica["membership"]["request"]>[0],
    options: RequestOptions,
  ): Promise<MembershipAnswer> {
    const replica = this.#replica();
    return this.#settle<MembershipAnswer>(options, "write", (timeoutMs, done) =>
      replica.membership.request(request, timeoutMs, done),
    );
  }

  async #settle<T>(
    options: RequestOptions,
    kind: "read" | "write",
    start: (timeoutMs: number, done: Done<T>) => void,
  ): Promise<T> {
    const { signal } = options;
    if (signal?.aborted === true) throw new ConcordError("CONCORD_CANCELLED");
    return new Promise<T>((resolve, reject) => {
      const onAbort = (): void =>
        reject(new ConcordError(kind === "write" ? "CONCORD_OUTCOME_UNKNOWN" : "CONCORD_CANCELLED"));
      signal?.addEventListener("abort", onAbort, { once: true });
      start(options.timeoutMs ?? TIMEOUT_MS, (result) => {
        signal?.removeEventListener("abort", onAbort);
        if (result.ok) resolve(result.value);
        else reject(result.error);
      });
    });
  }

  async #turn(): Promise<void> {
    return new Promise((resolve) => this.#member.options.environment.defer(resolve));
  }
}

/** Taken where the request is, for the loop goes on without it. */
function originOf({ idempotency }: ProposeOptions): Parameters<Replica["propose"]>[3] {
  const request = currentRequest.getStore();
  return request === undefined ? { idempotency } : { idempotency, request, trace: request.trace };
}

function roleOf({ core, machine, inOffice }: Replica, memberId: string): NodeInfo["role"] {
  // Whoever was added a moment ago has applied no configuration with itself in it yet, and has no vote either.
  if (!core.configuration.voters.includes(memberId) && !machine.isRemoved(memberId)) return "learner";
  // Elected is not in office: until it applied an entry of its own term, what it says of the cluster may be old.
  return core.role === "leader" && !inOffice ? "candidate" : core.role;
}

/** What is known of a member that belongs to no cluster. */
const WAITING = {
  leaderId: "",
  role: "follower",
  term: 0,
  commitIndex: 0,
  appliedIndex: 0,
  revision: 0,
  compactRevision: -1,
  machineVersion: Machine.versionMax,
  databaseBytes: 0,
  databaseBytesInUse: 0,
  keys: 0,
  leases: 0,
  rowsWithEnd: 0,
  pendingWrites: 0,
  idempotencyKeys: 0,
  idempotencyBytes: 0,
  alarms: [],
  members: [],
} as const;
