import {
  type Change as WireChange,
  type Freshness,
  type RequestSettings,
  type SessionReply,
  type SessionRequest,
  type WatchRequest,
} from "../wire/types.ts";

export interface RequestOptions {
  /** Ends the wait. A write that may have been applied by then is `CONCORD_OUTCOME_UNKNOWN`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the request gives up. @default 5000 */
  readonly timeoutMs?: number | undefined;
}

export type BackendOptions = RequestSettings & Pick<RequestOptions, "signal">;

export interface BackendAnswer {
  readonly revision: number;
  readonly reply: SessionReply;
  readonly replayed?: boolean;
  readonly freshness?: Freshness | undefined;
}

/** A watch as it comes: whole revisions, in order, without a gap. */
export interface BackendWatch {
  /** The first revision that this watch tells of; known when it has begun. */
  readonly started: Promise<number>;
  /** Undefined: it is over. One call at a time. */
  next(): Promise<readonly WireChange[] | undefined>;
  cancel(): void;
}

/** Where a store's requests go: to a member in this process, or over a session to one elsewhere. */
export interface StoreBackend {
  /** @throws ConcordError */
  carryOut(request: SessionRequest, options: BackendOptions): Promise<BackendAnswer>;
  /** Begins before it returns, or before any request that is made later. */
  watch(request: Omit<WatchRequest, "fragment">): BackendWatch;
  close(): Promise<void>;
}
