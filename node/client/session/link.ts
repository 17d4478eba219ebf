import { randomBytes } from "node:crypto";
import { ConcordError, type ErrorCode } from "../errors.ts";
import { type BackendOptions } from "../store/backend.ts";
import { type AnswerMessage, type Operation, type SessionRequest } from "../wire/types.ts";
import { type ConnectionSettings, errorOf, SessionConnection } from "./connection.ts";
import { Deadline } from "./deadline.ts";

export interface LinkOptions extends ConnectionSettings {
  /** `http(s)://host:port` of members, in any order: any of them can do everything. */
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  /** Longest pause between two attempts to find a member. */
  readonly backoffMaxMs: number;
  /** From 0 up to 1. */
  readonly random: () => number;
}

const BACKOFF_MS = 25;
/** After them the same request may be sent again, here or elsewhere: it certainly was not carried out. */
const AGAIN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "CONCORD_NO_LEADER",
  "CONCORD_NOT_LEADER",
  "CONCORD_LEADER_CHANGED",
  "CONCORD_FOUNDING",
  "CONCORD_UNHEALTHY",
  "CONCORD_TOO_MANY_REQUESTS",
]);
/** So, but at another member. */
const ELSEWHERE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "CONCORD_STOPPED",
  "CONCORD_WAITING",
  "CONCORD_LEARNER_UNSUPPORTED",
  "CONCORD_MEMBER_REMOVED",
]);
const KEY_BYTES = 16;

/**
 * The session of a client with a cluster: one connection at a time, to whichever member answers. What may be sent again
 * without harm is sent again until its time is over: reads, and writes under an idempotency key.
 */
export class SessionLink {
  readonly #options: LinkOptions;
  #current: SessionConnection | undefined;
  #dialing: Promise<SessionConnection> | undefined;
  #waiting = 0;
  #next: number;
  #clusterId = "";
  /** Why no member could be reached, while that is so. */
  #lastFailure: ConcordError | undefined;
  #closed: ConcordError | undefined;
  readonly #stop = new AbortController();

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#next = Math.floor(options.random() * options.endpoints.length);
  }

  /** Resolves with the member's answer. @throws ConcordError */
  async request(request: SessionRequest, options: BackendOptions): Promise<AnswerMessage> {
    const { signal, timeoutMs = this.#options.timeoutMs, ...settings } = options;
    using deadline = new Deadline(timeoutMs, signal);
    const attempts = new Attempts(request, settings.idempotencyKey);
    let last: ConcordError | undefined;
    for (let failures = 0; ; failures += 1) {
      if (failures > 0) await this.#pause(deadline, failures, attempts, last);
      const connection = await this.#connection(deadline, attempts);
      attempts.check(deadline);
      const left = Math.max(1, Math.min(deadline.leftMs, timeoutMs));
      const sent = connection.request(request, { ...settings, idempotencyKey: attempts.key, timeoutMs: left });
      attempts.sent();
      let outcome;
      try {
        outcome = await deadline.race(sent.outcome);
      } catch (error) {
        if (request.type === "lock") connection.cancel(sent.id);
        throw attempts.failure(error);
      }
      if (outcome?.type === "answer") return outcome;
      if (outcome === undefined) {
        const lost = new ConcordError("CONCORD_UNREACHABLE", `The session with ${connection.url} ended`);
        if (!attempts.repeatable) throw attempts.failure(lost);
        attempts.uncertain(lost);
        last = lost;
        continue;
      }
      const error = errorOf(outcome);
      last = error;
      attempts.answered();
      if (error.outcome === "unknown" && attempts.repeatable) attempts.uncertain(error);
      else if (attempts.isOwnKeyRefused(error)) failures -= 1;
      else if (ELSEWHERE.has(error.code)) this.leave(connection, error);
      else if (!AGAIN.has(error.code)) throw attempts.failure(error);
    }
  }

  /** A connection that works, however long it takes. @throws ConcordError when the link is closed. */
  async connection(deadline: Deadline): Promise<SessionConnection> {
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#current?.open === true) return this.#current;
    this.#waiting += 1;
    try {
      return await deadline.race((this.#dialing ??= this.#dial()));
    } finally {
      this.#waiting -= 1;
    }
  }

  /** One that works, after each member was asked once at most. @throws ConcordError what the last one said. */
  first(): Promise<SessionConnection> {
    return (this.#dialing ??= this.#dial());
  }

  /** The connection that there is, for what must not overtake anything. */
  get current(): SessionConnection | undefined {
    return this.#current?.open === true ? this.#current : undefined;
  }

  /** This member is of no use now: the next attempt goes to another one. */
  leave(connection: SessionConnection, reason: ConcordError): void {
    connection.close(reason);
  }

  close(): void {
    this.#closed ??= new ConcordError("CONCORD_STOPPED", "The client is closed");
    this.#stop.abort();
    this.#current?.close(this.#closed);
  }

  async #connection(deadline: Deadline, attempts: Attempts): Promise<SessionConnection> {
    try {
      return await this.connection(deadline);
    } catch (error) {
      const last = this.#lastFailure;
      if (!ConcordError.is(error) || error.code !== "CONCORD_TIMEOUT" || last === undefined)
        throw attempts.failure(error);
      throw attempts.failure(new ConcordError("CONCORD_UNREACHABLE", last.message, { cause: last }));
    }
  }

  async #pause(
    deadline: Deadline,
    failures: number,
    attempts: Attempts,
    last: ConcordError | undefined,
  ): Promise<void> {
    try {
      await deadline.pause(this.#backoffMs(failures));
    } catch (error) {
      // What kept it from being done says more than that its time is over.
      const isTimeout = ConcordError.is(error) && error.code === "CONCORD_TIMEOUT";
      throw attempts.failure(isTimeout ? (last ?? error) : error);
    }
  }

  /** Tries one member after the other for as long as somebody waits for it. */
  async #dial(): Promise<SessionConnection> {
    const { endpoints } = this.#options;
    try {
      for (let attempt = 0; ; attempt += 1) {
        const url = endpoints[this.#next % endpoints.length] as string;
        this.#next += 1;
        try {
          const connection = await SessionConnection.open(url, this.#options);
          this.#check(connection);
          this.#current = connection;
          this.#lastFailure = undefined;
          return connection;
        } catch (error) {
          if (!ConcordError.is(error)) throw error;
          this.#lastFailure = error;
          // The first round asks each member once, without a pause between; a refusal that would stay ends it.
          const isLastOfRound = attempt + 1 >= endpoints.length;
          if (isLastOfRound && (!error.retryable || this.#waiting === 0)) throw error;
          if (isLastOfRound) await new Deadline(this.#backoffMs(attempt), this.#stop.signal).over();
          if (this.#closed !== undefined) throw this.#closed;
        }
      }
    } finally {
      this.#dialing = undefined;
    }
  }

  /** Revisions of another cluster mean nothing here. */
  #check(connection: SessionConnection): void {
    const { clusterId } = connection.welcome;
    if (this.#closed !== undefined) {
      connection.close(this.#closed);
      throw this.#closed;
    }
    if (clusterId === "") return;
    if (this.#clusterId === "") this.#clusterId = clusterId;
    if (this.#clusterId === clusterId) return;
    const message = `${connection.url} belongs to the cluster ${clusterId}, expected ${this.#clusterId}`;
    const error = new ConcordError("CONCORD_CLUSTER_MISMATCH", message);
    connection.close(error);
    throw error;
  }

  /** Doubles with every failure, and half of it is chance: clients that lost a member do not all come back at once. */
  #backoffMs(failures: number): number {
    const { backoffMaxMs, random } = this.#options;
    return Math.ceil(Math.min(backoffMaxMs, BACKOFF_MS * 2 ** Math.min(failures, 20)) * (0.5 + random() / 2));
  }
}

/** What is known of a request that may be sent more than once. */
class Attempts {
  readonly #request: SessionRequest;
  readonly #ownKey: boolean;
  #key: Uint8Array | undefined;
  /** Sent, and not answered. */
  #open = false;
  #uncertain: ConcordError | undefined;

  constructor(request: SessionRequest, key: Uint8Array | undefined) {
    this.#request = request;
    this.#ownKey = key === undefined && takesKey(request);
    this.#key = this.#ownKey ? randomBytes(KEY_BYTES) : key;
  }

  get key(): Uint8Array | undefined {
    return this.#key;
  }

  /** Whether carrying it out twice is as good as once. */
  get repeatable(): boolean {
    return this.#key !== undefined || !takesKey(this.#request);
  }

  /** @throws ConcordError when nobody waits any more: then it is not sent. */
  check(deadline: Deadline): void {
    const error = deadline.error;
    if (error !== undefined) throw this.failure(error);
  }

  sent(): void {
    this.#open = true;
  }

  answered(): void {
    this.#open = false;
  }

  /** An attempt ended, and nobody knows how. */
  uncertain(reason: ConcordError): void {
    this.#uncertain = reason;
  }

  /**
   * When there is no room for another idempotency key, a write goes without: its client did not ask for one. What becomes
   * of it when its connection ends is unknown then.
   */
  isOwnKeyRefused(error: ConcordError): boolean {
    if (error.code !== "CONCORD_IDEMPOTENCY_FULL" || !this.#ownKey || this.#key === undefined) return false;
    if (this.#uncertain !== undefined) return false;
    this.#key = undefined;
    return true;
  }

  /** What to tell of the request as a whole. */
  failure(error: unknown): unknown {
    if (!ConcordError.is(error) || isRead(this.#request)) return error;
    // One attempt may have been carried out, whatever the last one says; or the last one was sent, and has no answer.
    if (error.outcome === "unknown" || (this.#uncertain === undefined && !this.#open)) return error;
    return new ConcordError("CONCORD_OUTCOME_UNKNOWN", `No answer to a ${this.#request.type}; it may have been done`, {
      cause: error,
    });
  }
}

/** Writes that are done again when they are sent again. A renewal and a lock on a lease are as good twice as once. */
function takesKey(request: SessionRequest): boolean {
  switch (request.type) {
    case "put":
    case "delete":
    case "touch":
    case "compact":
    case "leaseGrant":
    case "leaseRevoke":
      return true;
    case "txn":
      return writes(request);
    default:
      return false;
  }
}

function writes(operation: Operation): boolean {
  if (operation.type === "txn") return [...operation.success, ...operation.failure].some(writes);
  return operation.type !== "range";
}

/** Nothing is left of it when nobody heard the answer. A lock that was not heard of ends with its lease. */
function isRead(request: SessionRequest): boolean {
  return !takesKey(request) && request.type !== "leaseKeepAlive" && request.type !== "unlock";
}
