import { HttpConnection, type CallOptions, type ConnectionOptions } from "./http-connection.ts";
import { escapeBytes, restCall } from "./rest-call.ts";
import {
  type AcquiredLock,
  type AcquireLock,
  type Deleted,
  type GrantedLease,
  type GrantLease,
  type LeaseInfo,
  type LeaseList,
  type RenewedLease,
} from "./rest.ts";

/**
 * Leases, and locks on them, at one member, over REST. Lease ids are 16 hex digits. Rejects with ConcordError; nothing is
 * retried, and a lease is not renewed by itself.
 *
 * @example
 * ```ts
 * import { LeaseClient } from "concord-kv/client";
 *
 * await using client = new LeaseClient("http://127.0.0.1:2379");
 * const { id } = await client.grant({ ttlSeconds: 30 });
 * const { fencingToken } = await client.acquire("jobs/nightly", { leaseId: id, waitMs: 5000 });
 * await client.keepAlive(id);
 * await client.revoke(id);
 * ```
 */
export class LeaseClient {
  readonly #connection: HttpConnection;

  /** @throws ConcordError `CONCORD_INVALID_ARGUMENT` when the URL is not `http(s)://host:port`. */
  constructor(url: string, options: ConnectionOptions = {}) {
    this.#connection = new HttpConnection(url, options);
  }

  /** @throws ConcordError `CONCORD_LEASE_EXISTS`, `CONCORD_LEASE_TTL_TOO_LARGE`, `CONCORD_TOO_MANY_LEASES` */
  grant(request: GrantLease, options?: CallOptions): Promise<GrantedLease> {
    return restCall(this.#connection, "POST", "/api/v1/leases", { json: request }, options);
  }

  list(options?: CallOptions): Promise<LeaseList> {
    return restCall(this.#connection, "GET", "/api/v1/leases", {}, options);
  }

  /** @throws ConcordError `CONCORD_LEASE_NOT_FOUND` */
  show(id: string, options: CallOptions & { readonly keys?: boolean | undefined } = {}): Promise<LeaseInfo> {
    const query = options.keys === true ? "?keys=true" : "";
    return restCall(this.#connection, "GET", `${leasePath(id)}${query}`, {}, options);
  }

  /** Gives it its whole time again. May be repeated. @throws ConcordError `CONCORD_LEASE_NOT_FOUND` */
  keepAlive(id: string, options?: CallOptions): Promise<RenewedLease> {
    return restCall(this.#connection, "POST", `${leasePath(id)}/keepalive`, {}, options);
  }

  /** Ends it, and its keys with it: locks too. @throws ConcordError `CONCORD_LEASE_NOT_FOUND` */
  revoke(id: string, options?: CallOptions): Promise<Deleted> {
    return restCall(this.#connection, "DELETE", leasePath(id), {}, options);
  }

  /**
   * Takes a lock. With a `leaseId` the request may be repeated. Give `timeoutMs` room for `waitMs`.
   *
   * @throws ConcordError `CONCORD_LOCK_HELD`, `CONCORD_LEASE_NOT_FOUND`
   */
  acquire(name: string, request: AcquireLock, options?: CallOptions): Promise<AcquiredLock> {
    return restCall(this.#connection, "POST", `/api/v1/locks/${escapeBytes(name)}`, { json: request }, options);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function leasePath(id: string): string {
  return `/api/v1/leases/${escapeBytes(id)}`;
}
