import { setTimeout as sleep } from "node:timers/promises";
import { isAlreadyExists, isConflict } from "./api-error.ts";
import { Deferred } from "./deferred.ts";
import { NotLeaderError } from "./errors.ts";
import { type KubernetesObject, type ObjectMeta, RESOURCES } from "./kubernetes-object.ts";
import { type Logger } from "./logger.ts";
import { microTime } from "./micro-time.ts";
import { type RestClient } from "./rest-client.ts";

interface Lease extends KubernetesObject {
  readonly metadata: ObjectMeta;
  readonly spec?: {
    readonly holderIdentity?: string | null;
    readonly leaseDurationSeconds?: number | null;
    readonly acquireTime?: string | null;
    readonly renewTime?: string | null;
    readonly leaseTransitions?: number | null;
  };
}

export interface LeaderElectionOptions {
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process, for example pod name and a UUID. */
  readonly identity: string;
  /** Others wait this long after the last renewal they saw. @default 15000 */
  readonly leaseDurationMs?: number;
  /** The leader gives up when it could not renew for this long. Less than the lease's duration. @default 10000 */
  readonly renewDeadlineMs?: number;
  /** Wait between two tries. @default 2000 */
  readonly retryPeriodMs?: number;
  readonly now?: () => number;
}

/**
 * One leader among the processes of the operator, by a Lease, with client-go's rules: a holder is judged by when *this*
 * process saw its record change, never by the clock of another, so clock skew cannot make two leaders.
 */
export class LeaderElector {
  readonly #client: RestClient;
  readonly #log: Logger;
  readonly #options: LeaderElectionOptions;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  readonly #now: () => number;
  readonly #abort = new AbortController();
  readonly #lost = new Deferred<undefined>();
  #observed: { readonly record: string; readonly atMs: number } | undefined;
  #lease: Lease | undefined;
  /** Start of the last renewal that succeeded. Undefined while not leading. */
  #renewedMs: number | undefined;
  #renewing: Promise<void> | undefined;

  constructor(client: RestClient, log: Logger, options: LeaderElectionOptions) {
    this.#client = client;
    this.#log = log.child({ lease: `${options.namespace}/${options.name}`, identity: options.identity });
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2_000;
    this.#now = options.now ?? (() => performance.now());
    if (this.#renewDeadlineMs >= this.#leaseDurationMs || this.#retryPeriodMs >= this.#renewDeadlineMs) {
      throw new RangeError("Leader election needs leaseDurationMs > renewDeadlineMs > retryPeriodMs");
    }
  }

  /** True while nobody else can have taken over. */
  get isLeader(): boolean {
    return this.#renewedMs !== undefined && this.#now() - this.#renewedMs < this.#renewDeadlineMs;
  }

  /** Resolves when the leadership is lost; never before it was won. */
  get lost(): Promise<unknown> {
    return this.#lost.promise;
  }

  /** The fence of every write. @throws NotLeaderError */
  readonly assertLeader = (): void => {
    if (!this.isLeader) throw new NotLeaderError();
  };

  /** Waits until this process leads, then keeps renewing in the background. @throws AbortError after `close` */
  async acquire(): Promise<void> {
    while (!(await this.#try())) {
      await sleep(this.#jittered(), undefined, { signal: this.#abort.signal });
    }
    this.#log.info({}, "Became leader");
    this.#renewing = this.#renew();
  }

  /** Stops and hands the lease back, so that another process need not wait for it to run out. */
  async close(): Promise<void> {
    this.#abort.abort();
    await this.#renewing;
    if (!this.isLeader) return;
    this.#renewedMs = undefined;
    try {
      if (this.#lease !== undefined) await this.#client.replace(this.#record("", 1, this.#lease));
      this.#log.info({}, "Released leadership");
    } catch (error) {
      this.#log.warn({ err: error }, "Could not release the lease; it runs out by itself");
    }
  }

  async #renew(): Promise<void> {
    for (;;) {
      try {
        await sleep(this.#retryPeriodMs, undefined, { signal: this.#abort.signal });
      } catch {
        return;
      }
      await this.#try();
      if (!this.isLeader) {
        this.#renewedMs = undefined;
        this.#log.error({}, "Lost leadership");
        this.#lost.resolve(undefined);
        return;
      }
    }
  }

  /** @returns whether this process holds the lease */
  async #try(): Promise<boolean> {
    const startedMs = this.#now();
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(this.#renewDeadlineMs / 2)]);
    try {
      const { namespace, name, identity } = this.#options;
      const lease = await this.#client.get<Lease>(RESOURCES.leases, namespace, name, { signal });
      if (lease === undefined) {
        this.#lease = await this.#client.create(this.#record(identity, this.#leaseSeconds, undefined), { signal });
      } else {
        this.#observe(lease);
        if (!this.#mayTake(lease)) {
          this.#renewedMs = undefined;
          return false;
        }
        this.#lease = await this.#client.replace(this.#record(identity, this.#leaseSeconds, lease), { signal });
      }
      this.#observe(this.#lease);
      this.#renewedMs = startedMs;
      return true;
    } catch (error) {
      if (!this.#abort.signal.aborted && !isConflict(error) && !isAlreadyExists(error)) {
        this.#log.warn({ err: error }, "Could not reach the lease");
      }
      return false;
    }
  }

  #observe(lease: Lease): void {
    const record = JSON.stringify(lease.spec ?? {});
    if (this.#observed?.record !== record) this.#observed = { record, atMs: this.#now() };
  }

  #mayTake(lease: Lease): boolean {
    const holder = lease.spec?.holderIdentity ?? "";
    if (holder === "" || holder === this.#options.identity) return true;
    const durationMs = (lease.spec?.leaseDurationSeconds ?? this.#leaseSeconds) * 1000;
    return this.#now() - (this.#observed?.atMs ?? this.#now()) >= durationMs;
  }

  #record(holder: string, seconds: number, previous: Lease | undefined): Lease {
    const now = microTime(Date.now());
    const renews = previous?.spec?.holderIdentity === holder;
    const transitions = previous?.spec?.leaseTransitions ?? 0;
    return {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: previous?.metadata ?? { name: this.#options.name, namespace: this.#options.namespace },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: seconds,
        acquireTime: renews ? (previous.spec.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: previous === undefined || renews || holder === "" ? transitions : transitions + 1,
      },
    };
  }

  get #leaseSeconds(): number {
    return Math.ceil(this.#leaseDurationMs / 1000);
  }

  #jittered(): number {
    return this.#retryPeriodMs * (1 + 0.2 * Math.random());
  }
}
