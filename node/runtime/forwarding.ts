import { decodeProposal, encodeProposal } from "../codec/proposal.ts";
import { type ForwardResult, type PeerMessage } from "../codec/message.ts";
import { decodeOutcome, encodeOutcome } from "../codec/outcome.ts";
import { ConcordError } from "../client/errors.ts";
import { type Outcome } from "../machine/commands.ts";
import { type MemberId, NONE } from "../raft/types.ts";
import { type Replica } from "./replica.ts";
import { type Settled } from "./settled.ts";

/** Hands writes of this member's clients to the leader, and answers those that other members hand to this one. */
export class Forwarding {
  readonly #replica: Replica;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** Sends what waits to the leader. Without a leader, or without a way to it, it goes on waiting. */
  forwardWaiting(): void {
    const { proposals, status, environment, memberId } = this.#replica;
    const leader = status.leader;
    const waiting = proposals.take();
    const kept = [];
    for (const proposal of waiting) {
      if (proposal.forwarded && leader !== memberId) {
        proposal.done({ ok: false, error: new ConcordError("CONCORD_NOT_LEADER") });
        continue;
      }
      if (leader === NONE || leader === memberId) {
        kept.push(proposal);
        continue;
      }
      const requestId = proposals.sent(leader, proposal);
      const deadlineMs = Math.max(1, Math.ceil(proposal.deadline - environment.now()));
      const sent = this.#replica.send(leader, {
        type: "forward",
        requestId,
        deadlineMs,
        command: encodeProposal(proposal),
      });
      if (sent) {
        this.#replica.events.forwarded(leader, proposal);
        continue;
      }
      proposals.unsent(requestId);
      kept.push(proposal);
    }
    proposals.putBack(kept);
  }

  /** True when the message was one of the kinds that are handled here. */
  handle(from: MemberId, message: PeerMessage): boolean {
    switch (message.type) {
      case "forward":
        this.#serve(from, message);
        return true;
      case "forwardReply":
        this.#replica.proposals.answered(message.requestId, readResult(message.result));
        this.#replica.schedule();
        return true;
      case "forwardAdmin":
        this.#replica.membership.serve(from, message);
        return true;
      case "forwardAdminReply":
        this.#replica.membership.answered(message.requestId, message.result);
        return true;
      default:
        return false;
    }
  }

  #serve(from: MemberId, message: Extract<PeerMessage, { type: "forward" }>): void {
    const { environment, status, memberId } = this.#replica;
    const reply = (result: ForwardResult): void => {
      this.#replica.send(from, { type: "forwardReply", requestId: message.requestId, result });
    };
    if (status.leader !== memberId) {
      reply({ type: "refused", reason: "notLeader" });
      return;
    }
    this.#replica.submit({
      ...decodeProposal(message.command),
      deadline: environment.now() + message.deadlineMs,
      forwarded: true,
      done: (result) => {
        reply(writeResult(result));
      },
    });
  }
}

function writeResult(result: Settled<Outcome>): ForwardResult {
  if (result.ok) return { type: "outcome", outcome: encodeOutcome(result.value) };
  if (result.error.outcome === "unknown") return { type: "unknown" };
  return {
    type: "refused",
    reason: result.error.code === "CONCORD_TOO_MANY_REQUESTS" ? "tooManyUncommitted" : "notLeader",
  };
}

/** Undefined: certainly not proposed, worth another try. */
function readResult(result: ForwardResult): { outcome: Outcome } | { error: ConcordError } | undefined {
  switch (result.type) {
    case "outcome":
      return { outcome: decodeOutcome(result.outcome) };
    case "unknown":
      return { error: new ConcordError("CONCORD_OUTCOME_UNKNOWN") };
    case "refused":
      return result.reason === "tooManyUncommitted"
        ? { error: new ConcordError("CONCORD_TOO_MANY_REQUESTS") }
        : undefined;
  }
}
