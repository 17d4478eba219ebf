import { ConcordError } from "../client/errors.ts";
import { type KeyRange, type KeyValue, type Operation } from "../machine/commands.ts";
import { type RequestOptions } from "../runtime/node-api.ts";
import { Contest, contenders, type ContestRequest, type Place } from "./contest.ts";
import { type WriteOptions } from "./idempotency.ts";
import { type KvService } from "./kv.ts";
import { type LeaseService } from "./lease.ts";
import { putOf, rangeOf } from "./operations.ts";
import { type Principal } from "./principal.ts";
import { type WatchService } from "./watch.ts";

/** The leader's row, and the revision of the store when it was seen. */
export interface LeaderSeen {
  readonly revision: number;
  readonly row: KeyValue;
}

const NO_BYTES = new Uint8Array(0);

/** Elections as etcd's concurrency package holds them: whoever is first in a contest of the name leads. */
export class ElectionService {
  readonly #kv: KvService;
  readonly #watch: WatchService;
  readonly #contest: Contest;

  constructor(services: { readonly kv: KvService; readonly lease: LeaseService; readonly watch: WatchService }) {
    this.#kv = services.kv;
    this.#watch = services.watch;
    this.#contest = new Contest(services);
  }

  /** Resolves when the caller leads. @throws ConcordError as `Contest.win`. */
  campaign(principal: Principal, request: Omit<ContestRequest, "waitMs">, signal: AbortSignal): Promise<Place> {
    return this.#contest.win(principal, { ...request, waitMs: Infinity }, signal);
  }

  /**
   * Gives the leader's value anew. @returns the revision.
   *
   * @throws ConcordError `CONCORD_ELECTION_NOT_LEADER` when the place is no more.
   */
  async proclaim(principal: Principal, place: Place, value: Uint8Array, options?: WriteOptions): Promise<number> {
    const put = putOf({ key: place.key, value, lease: place.leaseId });
    const { revision, succeeded } = await this.#ifHeld(principal, place, put, options);
    if (!succeeded) throw new ConcordError("CONCORD_ELECTION_NOT_LEADER");
    return revision;
  }

  /** Gives the place up; nothing happens when it is no more. @returns the revision. */
  async resign(principal: Principal, place: Place, options?: WriteOptions): Promise<number> {
    const remove = { type: "delete", key: place.key, rangeEnd: NO_BYTES, previous: false } as const;
    return (await this.#ifHeld(principal, place, remove, options)).revision;
  }

  /** @throws ConcordError `CONCORD_ELECTION_NO_LEADER` */
  async leader(principal: Principal, name: Uint8Array, options?: RequestOptions): Promise<LeaderSeen> {
    const { revision, row } = await this.#first(principal, name, options);
    if (row === undefined) throw new ConcordError("CONCORD_ELECTION_NO_LEADER");
    return { revision, row };
  }

  /**
   * Every leader, and every value of it, in order, from the present one on. Who led only while a watch was begun anew, from
   * the end of one leader to the next, may be passed over, as etcd's observers do.
   */
  async *observe(principal: Principal, name: Uint8Array, signal: AbortSignal): AsyncGenerator<LeaderSeen, undefined> {
    while (!signal.aborted) {
      const { revision, row } = await this.#first(principal, name, { signal });
      const queue = contenders(name);
      const seen = row === undefined ? await this.#firstPut(principal, queue, revision + 1, signal) : { revision, row };
      if (seen === undefined) continue;
      yield seen;
      // Whatever was put before was seen: the row is the newest of its key at `seen.revision`, or the put itself.
      const from = row === undefined ? seen.row.modRevision + 1 : revision + 1;
      const leader = { key: seen.row.key, rangeEnd: NO_BYTES };
      for await (const change of this.#changes(principal, leader, from, signal)) {
        if (change.row.version === 0) break;
        yield change;
      }
    }
    return undefined;
  }

  async #firstPut(
    principal: Principal,
    range: KeyRange,
    startRevision: number,
    signal: AbortSignal,
  ): Promise<LeaderSeen | undefined> {
    for await (const change of this.#changes(principal, range, startRevision, signal))
      if (change.row.version > 0) return change;
    return undefined;
  }

  /** Until it is aborted, or compaction overtakes it. */
  async *#changes(
    principal: Principal,
    range: KeyRange,
    startRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<LeaderSeen, undefined> {
    const filter = { previous: false, filterPut: false, filterDelete: false };
    const watch = this.#watch.open(principal, { ...range, ...filter, startRevision });
    const cancel = (): void => watch.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      for (let batch = await watch.next(); batch !== undefined; batch = await watch.next())
        for (const { event } of batch.events) yield { revision: batch.revision, row: event.row };
    } finally {
      signal.removeEventListener("abort", cancel);
      watch.cancel();
    }
    if (watch.end?.reason === "stopped") throw new ConcordError("CONCORD_STOPPED");
    return undefined;
  }

  async #first(
    principal: Principal,
    name: Uint8Array,
    options?: RequestOptions,
  ): Promise<{ readonly revision: number; readonly row: KeyValue | undefined }> {
    const first = rangeOf({ ...contenders(name), revision: 0, limit: 1, sortTarget: "create", sortOrder: "ascend" });
    const { revision, reply } = await this.#kv.range(principal, first, "strong", options);
    return { revision, row: reply.rows[0] };
  }

  async #ifHeld(
    principal: Principal,
    { key, createRevision }: Place,
    operation: Operation,
    options?: WriteOptions,
  ): Promise<{ readonly revision: number; readonly succeeded: boolean }> {
    const compare = { key, rangeEnd: NO_BYTES, target: "create", result: "equal", operand: createRevision } as const;
    const txn = { type: "txn", compares: [compare], success: [operation], failure: [] } as const;
    const { revision, reply } = await this.#kv.txn(principal, txn, "strong", options);
    return { revision, succeeded: reply.succeeded };
  }
}
