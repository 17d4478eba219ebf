import { type ConcordError } from "../client/errors.ts";
import { encodeEntry, type EntryHeader } from "../codec/entry-header.ts";
import { encodeTrace } from "../codec/trace.ts";
import { type Command, type Outcome } from "../machine/commands.ts";
import { type Idempotency } from "../machine/machine-types.ts";
import { type ApiRequest, type TraceContext } from "../observability/events.ts";
import { type MemberId } from "../raft/types.ts";
import { type Done, failed, succeeded } from "./settled.ts";

/** A write on its way: from a door of this member, or handed on by another member. */
export interface Proposal {
  readonly command: Command;
  /** So that a retry of it is recognised. */
  readonly idempotency?: Idempotency | undefined;
  /** Monotonic ms. */
  readonly deadline: number;
  readonly done: Done<Outcome>;
  /** It came from another member, and is not forwarded again. */
  readonly forwarded: boolean;
  /** What it is done for, when a request at a door of this member. */
  readonly request?: ApiRequest | undefined;
  /** Where it belongs in a trace, whichever member's door it came to. */
  readonly trace?: TraceContext | undefined;
}

/** The log entry of a write. */
export function dataOf({ command, idempotency, trace }: Proposal, header: EntryHeader): Uint8Array {
  if (idempotency === undefined && trace === undefined) return encodeEntry(header, command);
  const traceBytes = trace === undefined ? undefined : encodeTrace(trace);
  return encodeEntry({ ...header, idempotency, trace: traceBytes }, command);
}

interface InLog {
  readonly term: number;
  readonly proposal: Proposal;
}

interface Sent {
  readonly to: MemberId;
  readonly proposal: Proposal;
  /** Monotonic ms: it led no longer, and is given until then to say what became of the write. */
  answerBy: number;
}

/** etcd's texts for writes of unknown outcome; its clients know them (api/v3rpc/rpctypes). */
const CONNECTION_LOST = "request timed out, possibly due to connection lost";
const LEADER_FAILED = "request timed out, possibly due to previous leader failure";

/** Writes that wait for a leader. Beyond it: too many requests. */
const WAITING_MAX = 20_000;

/**
 * Where every write is until its outcome is known: waiting (not proposed anywhere), in this leader's log, or sent to the
 * leader. That place decides what an end without an answer means: from `waiting` a write has certainly failed, from the
 * other two its outcome is unknown.
 */
export class Proposals {
  #waiting: Proposal[] = [];
  readonly #inLog = new Map<number, InLog>();
  readonly #sent = new Map<number, Sent>();
  #nextRequestId: number;

  /** `firstRequestId`: see `firstRequestNumber`. */
  constructor(firstRequestId: number) {
    this.#nextRequestId = firstRequestId;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Writes whose outcome nobody knows yet. */
  get unresolved(): number {
    return this.#waiting.length + this.#inLog.size + this.#sent.size;
  }

  add(proposal: Proposal): void {
    if (this.#waiting.length >= WAITING_MAX) {
      proposal.done(failed("CONCORD_TOO_MANY_REQUESTS"));
      return;
    }
    this.#waiting.push(proposal);
  }

  /** Takes all that wait, to propose or to send them. */
  take(): Proposal[] {
    const taken = this.#waiting;
    this.#waiting = [];
    return taken;
  }

  /** Puts back what could not be proposed, before everything newer. */
  putBack(proposals: readonly Proposal[]): void {
    this.#waiting = [...proposals, ...this.#waiting];
  }

  /** It stands in this leader's log. What stood there before was cut off, so nobody can ever commit it. */
  proposed(index: number, term: number, proposal: Proposal): void {
    this.#inLog.get(index)?.proposal.done(failed("CONCORD_LEADER_CHANGED"));
    this.#inLog.set(index, { term, proposal });
  }

  sent(to: MemberId, proposal: Proposal): number {
    const requestId = this.#nextRequestId++;
    this.#sent.set(requestId, { to, proposal, answerBy: Number.POSITIVE_INFINITY });
    return requestId;
  }

  /** The send failed before a byte left: the write is certainly not proposed. */
  unsent(requestId: number): void {
    this.#sent.delete(requestId);
  }

  /** An entry was applied. An entry of another term at this place means that ours will never be. */
  applied(index: number, term: number, outcome: Outcome | undefined): void {
    const waiting = this.#inLog.get(index);
    if (waiting === undefined) return;
    this.#inLog.delete(index);
    if (waiting.term === term && outcome !== undefined) waiting.proposal.done(succeeded(outcome));
    else waiting.proposal.done(failed("CONCORD_LEADER_CHANGED"));
  }

  /** The state jumped to `index` by a snapshot: nobody here saw what became of the entries before. */
  skippedTo(index: number): void {
    for (const [at, { proposal }] of this.#inLog) {
      if (at > index) continue;
      this.#inLog.delete(at);
      proposal.done(failed("CONCORD_OUTCOME_UNKNOWN"));
    }
  }

  /** The leader's answer to a sent write. Undefined: it certainly was not proposed, so it may be tried again. */
  answered(
    requestId: number,
    result: { readonly outcome: Outcome } | { readonly error: ConcordError } | undefined,
  ): void {
    const sent = this.#sent.get(requestId);
    if (sent === undefined) return;
    this.#sent.delete(requestId);
    if (result === undefined) this.putBack([sent.proposal]);
    else if ("error" in result) sent.proposal.done({ ok: false, error: result.error });
    else sent.proposal.done(succeeded(result.outcome));
  }

  /** What was sent to `member` will not be answered any more. */
  lost(member: MemberId): void {
    for (const [requestId, { to, proposal }] of this.#sent) {
      if (to !== member) continue;
      this.#sent.delete(requestId);
      proposal.done(failed("CONCORD_OUTCOME_UNKNOWN", CONNECTION_LOST));
    }
  }

  /** `member` leads no longer. It may know what became of the writes it was sent, and still say so until `answerBy`. */
  leaderChanged(member: MemberId, answerBy: number): void {
    for (const sent of this.#sent.values()) if (sent.to === member) sent.answerBy = Math.min(sent.answerBy, answerBy);
  }

  /** Ends what is over its deadline. `leaderKnown` only chooses the words. */
  expire(now: number, leaderKnown: boolean): void {
    const late = this.#waiting.filter((proposal) => proposal.deadline <= now);
    if (late.length > 0) {
      this.#waiting = this.#waiting.filter((proposal) => proposal.deadline > now);
      for (const proposal of late) proposal.done(failed(leaderKnown ? "CONCORD_TIMEOUT" : "CONCORD_NO_LEADER"));
    }
    for (const [index, { proposal }] of this.#inLog) {
      if (proposal.deadline > now) continue;
      this.#inLog.delete(index);
      proposal.done(failed("CONCORD_OUTCOME_UNKNOWN"));
    }
    for (const [requestId, { proposal, answerBy }] of this.#sent) {
      if (proposal.deadline > now && answerBy > now) continue;
      this.#sent.delete(requestId);
      proposal.done(failed("CONCORD_OUTCOME_UNKNOWN", answerBy > now ? undefined : LEADER_FAILED));
    }
  }

  /** The member stops: waiting writes have failed, the others are unknown. */
  stop(): void {
    for (const proposal of this.take()) proposal.done(failed("CONCORD_STOPPED"));
    this.expire(Number.POSITIVE_INFINITY, true);
  }
}
