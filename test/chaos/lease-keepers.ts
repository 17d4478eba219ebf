import { setTimeout as delay } from "node:timers/promises";
import { ConcordError } from "../../node/client/errors.ts";
import { HttpConnection } from "../../node/client/http-connection.ts";
import { type RenewedLease } from "../../node/client/rest.ts";
import { EtcdClient } from "./etcd-client.ts";
import { type LedgerLease, type LeaseLedger } from "./lease-ledger.ts";

const REQUEST_TIMEOUT_MS = 2_000;
/** After a failure, so that clients do not take the processor from members that start. */
const PAUSE_FAILED_MS = 50;

/** Renews some leases, over and over, until it is stopped. */
export interface LeaseKeeper {
  readonly door: string;
  /** Renewals that were answered. */
  readonly renewals: number;
  stop(): Promise<void>;
}

export interface KeeperOptions {
  readonly endpoints: readonly string[];
  readonly leases: readonly LedgerLease[];
  readonly ledger: LeaseLedger;
  readonly periodMs: number;
  /** Which member it begins at. */
  readonly attempt: number;
}

interface KeepAliveResponse {
  readonly ID: string;
  readonly TTL: string;
}

/** All leases over one stream of etcd's door; another stream, at the next member, when that ends. */
export class GrpcKeeper implements LeaseKeeper {
  readonly door = "etcd gRPC stream";
  renewals = 0;
  readonly #options: KeeperOptions;
  readonly #running: Promise<void>;
  #attempt: number;
  #stopping = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#attempt = options.attempt;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      await this.#stream().catch(() => undefined);
      this.#attempt += 1;
      await delay(PAUSE_FAILED_MS);
    }
  }

  /** Renews over one stream until it fails. */
  async #stream(): Promise<void> {
    const { endpoints, leases, ledger, periodMs } = this.#options;
    const client = new EtcdClient(endpoints[this.#attempt % endpoints.length] ?? "");
    const stream = client.stream<object, KeepAliveResponse>("Lease", "LeaseKeepAlive");
    const byId = new Map(leases.map((lease) => [String(lease.id), lease]));
    /** Answers come in the order of the requests. */
    const sentMs: number[] = [];
    let answered = true;
    const failed = new Promise<never>((_, reject) => {
      stream.on("error", reject);
      stream.on("end", () => reject(new Error("The stream ended")));
    });
    stream.on("data", ({ ID, TTL }: KeepAliveResponse) => {
      const lease = byId.get(ID);
      const sent = sentMs.shift();
      if (lease === undefined || sent === undefined) return;
      answered = true;
      this.renewals += 1;
      if (Number(TTL) === 0) ledger.ended(lease.key, performance.now());
      else ledger.renewed(lease, sent, Number(TTL));
    });
    try {
      while (!this.#stopping) {
        // A member that says nothing for a whole period is left.
        if (!answered) throw new Error("No renewal was answered");
        answered = false;
        for (const { id } of leases) {
          sentMs.push(performance.now());
          stream.write({ ID: String(id) });
        }
        await Promise.race([delay(periodMs), failed]);
      }
    } finally {
      failed.catch(() => undefined);
      stream.cancel();
      client.close();
    }
  }
}

/** Each lease with requests of its own over REST. */
export class RestKeeper implements LeaseKeeper {
  readonly door = "REST";
  renewals = 0;
  readonly #options: KeeperOptions;
  readonly #running: Promise<void>;
  #attempt: number;
  #connection: HttpConnection;
  #stopping = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#attempt = options.attempt;
    this.#connection = new HttpConnection(options.endpoints[options.attempt % options.endpoints.length] ?? "");
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
    await this.#connection.close();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const at = performance.now();
      await this.#renewAll();
      await delay(Math.max(0, this.#options.periodMs - (performance.now() - at)));
    }
  }

  async #renewAll(): Promise<void> {
    for (let left = this.#options.leases; left.length > 0 && !this.#stopping;) {
      const outcomes = await Promise.all(left.map(async (lease) => ({ lease, ok: await this.#renew(lease) })));
      left = outcomes.filter(({ ok }) => !ok).map(({ lease }) => lease);
      if (left.length > 0) await this.#next();
    }
  }

  /** @returns whether it was answered */
  async #renew(lease: LedgerLease): Promise<boolean> {
    const sentMs = performance.now();
    const path = `/api/v1/leases/${lease.id.toString(16).padStart(16, "0")}/keepalive`;
    try {
      const { body } = await this.#connection.call({ method: "POST", path }, { timeoutMs: REQUEST_TIMEOUT_MS });
      const { ttlSeconds } = JSON.parse(body.toString("utf8")) as RenewedLease;
      this.#options.ledger.renewed(lease, sentMs, ttlSeconds);
    } catch (error) {
      if (!ConcordError.is(error) || error.code !== "CONCORD_LEASE_NOT_FOUND") return false;
      this.#options.ledger.ended(lease.key, performance.now());
    }
    this.renewals += 1;
    return true;
  }

  async #next(): Promise<void> {
    const { endpoints } = this.#options;
    await this.#connection.close();
    this.#attempt += 1;
    this.#connection = new HttpConnection(endpoints[this.#attempt % endpoints.length] ?? "");
    await delay(PAUSE_FAILED_MS);
  }
}
