import { decodeTrace } from "../codec/trace.ts";
import { type Command, type Outcome } from "../machine/commands.ts";
import { type Machine } from "../machine/machine.ts";
import { CHANNELS } from "../observability/channels.ts";
import { type Election, type NodeHandle, type SnapshotMoved } from "../observability/events.ts";
import { type Entry, type Index, type MemberId, type Role, type Term } from "../raft/types.ts";
import { type AppliedCommand } from "./apply-queue.ts";
import { type Environment } from "./environment.ts";
import { type Proposal } from "./proposals.ts";
import { type Settled } from "./settled.ts";

/** What a replica saw of its core at the end of a turn. */
export interface Seen {
  readonly role: Role;
  readonly term: Term;
  readonly leader: MemberId;
}

/**
 * Tells what a replica does. The core, the machine and the codec know nothing of it: their shells call here. Whoever adds
 * a method asks first whether anybody listens, so that nothing is made for nobody.
 */
export class ReplicaEvents {
  readonly #node: NodeHandle;
  readonly #environment: Pick<Environment, "now">;

  constructor(node: NodeHandle, environment: Pick<Environment, "now">) {
    this.#node = node;
    this.#environment = environment;
  }

  /** A write came from a door or from another part of this member; tells its outcome when it has one. */
  submitted(proposal: Proposal): Proposal {
    if (!CHANNELS.answered.hasSubscribers || proposal.forwarded) return proposal;
    const began = this.#environment.now();
    const { command, request, done } = proposal;
    return {
      ...proposal,
      done: (result) => {
        CHANNELS.answered.publish({
          node: this.#node,
          operation: command.type,
          ...outcomeOf(result),
          durationMs: this.#environment.now() - began,
          request,
        });
        done(result);
      },
    };
  }

  proposed(index: Index, term: Term, { command, request, trace }: Proposal): void {
    if (!CHANNELS.proposed.hasSubscribers) return;
    CHANNELS.proposed.publish({ node: this.#node, index, term, operation: command.type, request, trace });
  }

  forwarded(leaderId: MemberId, { command, request, trace }: Proposal): void {
    if (!CHANNELS.forwarded.hasSubscribers) return;
    CHANNELS.forwarded.publish({ node: this.#node, leaderId, operation: command.type, request, trace });
  }

  /** @returns What to call when the entries are durable. */
  persisting(entries: readonly Entry[]): () => void {
    const [first, last] = [entries[0], entries.at(-1)];
    if (!CHANNELS.persisted.hasSubscribers || first === undefined || last === undefined) return NOTHING;
    const began = this.#environment.now();
    return () =>
      CHANNELS.persisted.publish({
        node: this.#node,
        firstIndex: first.index,
        lastIndex: last.index,
        durationMs: this.#environment.now() - began,
      });
  }

  committed(entries: readonly Entry[]): void {
    const [first, last] = [entries[0], entries.at(-1)];
    if (!CHANNELS.committed.hasSubscribers || first === undefined || last === undefined) return;
    CHANNELS.committed.publish({ node: this.#node, firstIndex: first.index, lastIndex: last.index });
  }

  applied({ index, term }: Entry, { header, command, outcome }: AppliedCommand): void {
    const node = this.#node;
    const { ok, revision } = outcome;
    if (CHANNELS.applied.hasSubscribers) {
      const trace = header.trace === undefined ? undefined : decodeTrace(header.trace);
      CHANNELS.applied.publish({ node, index, term, operation: command.type, ok, revision, trace });
    }
    if (ok && outcome.replayed !== true) this.#changed(command, outcome);
  }

  membership(entry: Extract<Entry, { type: "configuration" }>, machine: Machine): void {
    if (!CHANNELS.membership.hasSubscribers) return;
    const members = machine.members();
    const learners = members.filter(({ learner }) => learner).length;
    CHANNELS.membership.publish({
      node: this.#node,
      index: entry.index,
      change: entry.change.type,
      memberId: entry.change.member,
      voters: members.length - learners,
      learners,
    });
  }

  /** Role, term and leader, where they differ. */
  leadership(before: Seen, now: Seen): void {
    const node = this.#node;
    const { role, term, leader } = now;
    if (before.term !== term && CHANNELS.term.hasSubscribers)
      CHANNELS.term.publish({ node, term, previous: before.term });
    if (before.role !== role) {
      if (CHANNELS.role.hasSubscribers) CHANNELS.role.publish({ node, role, previous: before.role, term });
      const step = electionStep(before.role, role);
      if (step !== undefined) this.election(step, term);
    }
    if (before.leader !== leader && CHANNELS.leader.hasSubscribers)
      CHANNELS.leader.publish({ node, leaderId: leader, previous: before.leader, term });
  }

  election(step: Election["step"], term: Term): void {
    if (CHANNELS.election.hasSubscribers) CHANNELS.election.publish({ node: this.#node, step, term });
  }

  snapshot(step: SnapshotMoved["step"], memberId: MemberId, index: Index): void {
    if (CHANNELS.snapshot.hasSubscribers) CHANNELS.snapshot.publish({ node: this.#node, step, memberId, index });
  }

  /** @returns What to call when it is over: with how long its last write took, or without when it failed. */
  checkpoint(index: Index): (commitMs?: number) => void {
    if (!CHANNELS.checkpoint.hasSubscribers) return NOTHING;
    const node = this.#node;
    const began = this.#environment.now();
    CHANNELS.checkpoint.publish({ node, step: "started", index, durationMs: 0, commitMs: 0 });
    return (commitMs) =>
      CHANNELS.checkpoint.publish({
        node,
        step: commitMs === undefined ? "failed" : "written",
        index,
        durationMs: this.#environment.now() - began,
        commitMs: commitMs ?? 0,
      });
  }

  /** What a command changed besides rows that clients write. */
  #changed(command: Command, outcome: Extract<Outcome, { ok: true }>): void {
    const node = this.#node;
    const { revision, reply } = outcome;
    switch (command.type) {
      case "leaseExpire":
        // Renewed in between, it did not end.
        if (CHANNELS.expiry.hasSubscribers && reply.type === "leaseRevoke") {
          const leaseId = command.id.toString(16).padStart(16, "0");
          CHANNELS.expiry.publish({ node, kind: "lease", leaseId, deleted: reply.deleted, revision });
        }
        return;
      case "expireRows":
        if (CHANNELS.expiry.hasSubscribers && reply.type === "delete" && reply.deleted > 0)
          CHANNELS.expiry.publish({ node, kind: "row", leaseId: "", deleted: reply.deleted, revision });
        return;
      case "compact":
        if (CHANNELS.compaction.hasSubscribers) CHANNELS.compaction.publish({ node, revision: command.revision });
        return;
      case "alarm":
        if (CHANNELS.alarm.hasSubscribers) {
          const { action, alarm, member: memberId } = command;
          CHANNELS.alarm.publish({ node, action, alarm, memberId });
        }
        return;
      default:
    }
  }
}

const NOTHING = (): void => undefined;

function outcomeOf(result: Settled<Outcome>): {
  readonly outcome: "ok" | "failed" | "unknown";
  readonly reason: string;
} {
  if (!result.ok) return { outcome: result.error.outcome, reason: result.error.code };
  return result.value.ok ? { outcome: "ok", reason: "" } : { outcome: "failed", reason: result.value.reason };
}

function electionStep(before: Role, now: Role): Election["step"] | undefined {
  const asked = before === "preCandidate" || before === "candidate";
  if (now === "leader") return "won";
  if (now === "follower") return asked ? "lost" : undefined;
  return asked ? undefined : "campaign";
}
