import { type Readable } from "node:stream";
import { type Static, type TSchema } from "typebox";
import { Value } from "typebox/value";
import {
  CompactAnswer,
  HashAnswer,
  MembersAnswer,
  MemberStatus,
  TransferAnswer,
  type AddLearnerRequest,
  type GrantRequest,
} from "./admin.ts";
import { ConcordError } from "./errors.ts";
import { HttpConnection, type Call, type CallOptions, type ConnectionOptions } from "./http-connection.ts";

/** Leaves room for the server's own limit of a transfer (10 s) and of a membership change. */
const CHANGE_TIMEOUT_MS = 15_000;

/**
 * The admin door of one member. All methods reject with ConcordError only: the member's own code, or
 * `CONCORD_UNREACHABLE`, `CONCORD_TIMEOUT` (reads), `CONCORD_OUTCOME_UNKNOWN` (changes). Nothing is retried: every change
 * can be repeated after a look at `status()`.
 *
 * @example
 * ```ts
 * import { AdminClient, clientTlsFromFiles } from "concord-kv/client";
 *
 * const tls = clientTlsFromFiles({ ca: "ca.crt", cert: "tls.crt", key: "tls.key" });
 * const admin = new AdminClient("https://demo-m1-0.demo-peers.default.svc:2379", { tls });
 * const { state, clusterId } = await admin.status();
 * ```
 */
export class AdminClient {
  readonly #connection: HttpConnection;

  constructor(url: string, options: ConnectionOptions = {}) {
    this.#connection = new HttpConnection(url, options);
  }

  get url(): string {
    return this.#connection.url;
  }

  status(options?: CallOptions): Promise<MemberStatus> {
    return this.#json(MemberStatus, { method: "GET", path: "/admin/v1/status" }, options);
  }

  /** Founds the cluster at this waiting member. `CONCORD_ALREADY_FOUNDED` when it belongs to a cluster. */
  grant(request: GrantRequest, options?: CallOptions): Promise<MemberStatus> {
    return this.#json(MemberStatus, post("/admin/v1/grant", request), change(options));
  }

  /** Adds the waiting member at `peerUrls` as a learner; any member takes the request. */
  addLearner(request: AddLearnerRequest, options?: CallOptions): Promise<MembersAnswer> {
    return this.#json(MembersAnswer, post("/admin/v1/members", request), change(options));
  }

  /** `CONCORD_LEARNER_NOT_READY` (retryable) until the learner has caught up. */
  promote(id: string, options?: CallOptions): Promise<MembersAnswer> {
    return this.#json(MembersAnswer, post(`/admin/v1/members/${encodeURIComponent(id)}/promote`), change(options));
  }

  remove(id: string, options?: CallOptions): Promise<MembersAnswer> {
    const path = `/admin/v1/members/${encodeURIComponent(id)}`;
    return this.#json(MembersAnswer, { method: "DELETE", path }, change(options));
  }

  /** Hands leadership over. @param to - Raft id; empty: the voter that is furthest. */
  transfer(to = "", options?: CallOptions): Promise<TransferAnswer> {
    return this.#json(TransferAnswer, post("/admin/v1/transfer", { to }), change(options));
  }

  /**
   * @param options - `revision`: of the data as it was then; without it, the newest that the member has
   * @throws ConcordError `CONCORD_COMPACTED`, `CONCORD_FUTURE_REVISION`
   */
  hash(options: CallOptions & { readonly revision?: number } = {}): Promise<HashAnswer> {
    const { revision, ...rest } = options;
    const query = revision === undefined ? "" : `?revision=${revision}`;
    return this.#json(HashAnswer, { method: "GET", path: `/admin/v1/hash${query}` }, change(rest));
  }

  /** Discards the history before a revision. @throws ConcordError `CONCORD_COMPACTED`, `CONCORD_FUTURE_REVISION` */
  compact(revision: number, options?: CallOptions): Promise<CompactAnswer> {
    return this.#json(CompactAnswer, post("/admin/v1/compact", { revision }), change(options));
  }

  /** The snapshot as it comes. Read it to the end or destroy it; the frames inside carry their own checksums. */
  snapshot(options?: CallOptions): Promise<Readable> {
    return this.#connection.stream({ method: "GET", path: "/admin/v1/snapshot" }, options);
  }

  /** Ends the connections; what is under way is rejected. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #json<T extends TSchema>(schema: T, call: Call, options?: CallOptions): Promise<Static<T>> {
    const { body } = await this.#connection.call(call, options);
    let answer: unknown;
    try {
      answer = JSON.parse(body.toString("utf8"));
    } catch {
      answer = undefined;
    }
    if (Value.Check(schema, answer)) return answer;
    throw new ConcordError("CONCORD_INTERNAL", `${this.url}${call.path} did not answer in the form of the admin door`);
  }
}

function post(path: string, body: object = {}): Call {
  return { method: "POST", path, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

function change(options: CallOptions | undefined): CallOptions {
  return { timeoutMs: CHANGE_TIMEOUT_MS, ...options };
}
