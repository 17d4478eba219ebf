import { encodeMember } from "../codec/command.ts";
import { type AdminRequest, type AdminResult, type PeerMessage } from "../codec/message.ts";
import { ConcordError, ERROR_TABLE, type ErrorCode } from "../client/errors.ts";
import { type Member } from "../machine/commands.ts";
import { type ConfigurationChange, type MemberId, NONE, type Refusal } from "../raft/types.ts";
import { type ProbeAnswer } from "../transport/transport.ts";
import { type Environment, firstRequestNumber } from "./environment.ts";
import { type Replica } from "./replica.ts";
import { type Done, failed, succeeded } from "./settled.ts";

/** What a finished request says. */
export interface MembershipAnswer {
  readonly members: readonly Member[];
  readonly leader: MemberId;
}

interface Request {
  readonly request: AdminRequest;
  readonly deadline: number;
  readonly done: Done<MembershipAnswer>;
  /** It came from another member, and is not forwarded again. */
  readonly forwarded: boolean;
}

/** Requests under way at once. */
const REQUESTS_MAX = 256;

const REFUSALS: Readonly<Record<Refusal, ErrorCode>> = {
  notLeader: "CONCORD_NOT_LEADER",
  transferring: "CONCORD_CHANGE_IN_PROGRESS",
  tooManyUncommitted: "CONCORD_TOO_MANY_REQUESTS",
  notCommittedInTerm: "CONCORD_CHANGE_IN_PROGRESS",
  configurationPending: "CONCORD_CHANGE_IN_PROGRESS",
  unknownMember: "CONCORD_MEMBER_NOT_FOUND",
  alreadyMember: "CONCORD_MEMBER_EXISTS",
  notLearner: "CONCORD_MEMBER_NOT_LEARNER",
  learnerBehind: "CONCORD_LEARNER_NOT_READY",
  wouldLoseQuorum: "CONCORD_WOULD_LOSE_QUORUM",
  lastVoter: "CONCORD_WOULD_LOSE_QUORUM",
};

/** Changes of the membership and transfers of leadership: made by the leader, asked for at any member. */
export class MembershipRequests {
  readonly #replica: Replica;
  readonly #environment: Environment;
  /** Wait for a leader in office. */
  #waiting: Request[] = [];
  /** In this leader's log, by index. */
  readonly #inLog = new Map<number, { readonly term: number; readonly request: Request }>();
  readonly #sent = new Map<number, { readonly to: MemberId; readonly request: Request }>();
  #transfers: { readonly from: MemberId; readonly request: Request }[] = [];
  #nextRequestId: number;

  constructor(replica: Replica, environment: Environment) {
    this.#replica = replica;
    this.#environment = environment;
    this.#nextRequestId = firstRequestNumber(environment);
    replica.onLeadershipChange(() => this.#onLeadershipChange());
  }

  request(request: AdminRequest, timeoutMs: number, done: Done<MembershipAnswer>): void {
    this.#submit({ request, deadline: this.#environment.now() + timeoutMs, done, forwarded: false });
  }

  /** A request that another member hands on. */
  serve(from: MemberId, message: Extract<PeerMessage, { type: "forwardAdmin" }>): void {
    this.#submit({
      request: message.request,
      deadline: this.#environment.now() + message.deadlineMs,
      forwarded: true,
      done: (result) => {
        const answer: AdminResult = result.ok
          ? { type: "ok", members: result.value.members, leader: result.value.leader }
          : { type: "failed", code: result.error.code, message: result.error.message };
        this.#replica.send(from, { type: "forwardAdminReply", requestId: message.requestId, result: answer });
      },
    });
  }

  answered(requestId: number, result: AdminResult): void {
    const sent = this.#sent.get(requestId);
    if (sent === undefined) return;
    this.#sent.delete(requestId);
    if (result.type === "ok") sent.request.done(succeeded({ members: result.members, leader: result.leader }));
    else sent.request.done({ ok: false, error: new ConcordError(asCode(result.code), result.message) });
  }

  /** A configuration entry was applied. */
  applied(index: number, term: number): void {
    const found = this.#inLog.get(index);
    if (found === undefined) return;
    this.#inLog.delete(index);
    if (found.term === term) found.request.done(succeeded(this.#answer()));
    else found.request.done(failed("CONCORD_LEADER_CHANGED"));
  }

  lost(member: MemberId): void {
    for (const [requestId, { to, request }] of this.#sent) {
      if (to !== member) continue;
      this.#sent.delete(requestId);
      request.done(failed("CONCORD_OUTCOME_UNKNOWN"));
    }
  }

  expire(now: number): void {
    this.#waiting = this.#waiting.filter((request) => {
      if (request.deadline > now) return true;
      request.done(failed("CONCORD_NO_LEADER"));
      return false;
    });
    this.#transfers = this.#transfers.filter(({ request }) => {
      if (request.deadline > now) return true;
      request.done(failed("CONCORD_TRANSFER_FAILED"));
      return false;
    });
    for (const table of [this.#inLog, this.#sent]) {
      for (const [key, { request }] of table) {
        if (request.deadline > now) continue;
        table.delete(key);
        request.done(failed("CONCORD_OUTCOME_UNKNOWN"));
      }
    }
  }

  stop(): void {
    for (const { done } of this.#waiting) done(failed("CONCORD_STOPPED"));
    this.#waiting = [];
    this.expire(Number.POSITIVE_INFINITY);
  }

  #submit(request: Request): void {
    const replica = this.#replica;
    const leader = replica.status.leader;
    if (this.#waiting.length + this.#sent.size >= REQUESTS_MAX) {
      request.done(failed("CONCORD_TOO_MANY_REQUESTS"));
    } else if (replica.inOffice) {
      this.#lead(request);
    } else if (request.forwarded && leader !== replica.memberId) {
      request.done(failed("CONCORD_NOT_LEADER"));
    } else if (leader === NONE || leader === replica.memberId) {
      this.#waiting.push(request);
    } else {
      this.#forward(leader, request);
    }
  }

  #forward(leader: MemberId, request: Request): void {
    const requestId = this.#nextRequestId++;
    const deadlineMs = Math.max(1, Math.ceil(request.deadline - this.#environment.now()));
    this.#sent.set(requestId, { to: leader, request });
    if (this.#replica.send(leader, { type: "forwardAdmin", requestId, deadlineMs, request: request.request })) return;
    this.#sent.delete(requestId);
    request.done(failed("CONCORD_NO_LEADER"));
  }

  #lead(request: Request): void {
    switch (request.request.type) {
      case "addLearner":
        this.#addLearner(request, request.request.name, request.request.peerUrls);
        return;
      case "promote":
        this.#change(request, { type: "promote", member: request.request.id }, new Uint8Array());
        return;
      case "remove":
        this.#change(request, { type: "remove", member: request.request.id }, new Uint8Array());
        return;
      case "transfer":
        this.#transfer(request, request.request.to);
        return;
    }
  }

  /** Only the member itself knows its Raft id, so the leader asks it; it must be empty and carry the name, if one is given. */
  #addLearner(request: Request, wantedName: string, peerUrls: readonly string[]): void {
    if (this.#refuseNameTaken(request, wantedName)) return;
    this.#replica.transport.probe(peerUrls, (error, answer) => {
      if (this.#replica.stopped) return;
      const name = wantedName === "" ? (answer?.memberName ?? "") : wantedName;
      const refusal = refuseProbed(name, peerUrls, error, answer);
      if (refusal !== undefined || answer === undefined) {
        request.done({ ok: false, error: refusal ?? new ConcordError("CONCORD_PEER_UNREACHABLE") });
        return;
      }
      if (this.#refuseNameTaken(request, name)) return;
      const id = answer.memberId;
      const member: Member = { id, name, peerUrls, clientUrls: [], learner: true, joined: false };
      this.#change(request, { type: "addLearner", member: id }, encodeMember(member));
    });
  }

  #refuseNameTaken(request: Request, name: string): boolean {
    const known = this.#replica.machine.members().find((member) => member.name === name);
    if (known === undefined) return false;
    request.done(failed("CONCORD_MEMBER_EXISTS", `A member named "${name}" exists already, with the id ${known.id}`));
    return true;
  }

  #change(request: Request, change: ConfigurationChange, data: Uint8Array): void {
    const result = this.#replica.core.proposeChange(change, data);
    if (!result.ok) {
      request.done(failed(REFUSALS[result.reason]));
      return;
    }
    // What stood at this place before was cut off, so nobody can ever commit it.
    this.#inLog.get(result.firstIndex)?.request.done(failed("CONCORD_LEADER_CHANGED"));
    this.#inLog.set(result.firstIndex, { term: result.term, request });
    this.#replica.schedule();
  }

  #transfer(request: Request, to: MemberId): void {
    const { status, memberId } = this.#replica;
    const voters = status.peers.filter((peer) => !peer.learner && peer.id !== memberId);
    const furthest = voters.filter((peer) => peer.active).sort((a, b) => b.match - a.match)[0]?.id;
    const target = to === NONE ? furthest : to;
    if (target === memberId) {
      request.done(succeeded(this.#answer()));
    } else if (target === undefined || !voters.some((peer) => peer.id === target)) {
      request.done(failed("CONCORD_BAD_LEADER_TRANSFEREE"));
    } else {
      this.#transfers.push({ from: memberId, request });
      this.#replica.step({ type: "transferLeadership", to: target });
    }
  }

  #onLeadershipChange(): void {
    const { status } = this.#replica;
    if (status.leader !== NONE) {
      const moved = this.#transfers.filter(({ from }) => from !== status.leader);
      this.#transfers = this.#transfers.filter(({ from }) => from === status.leader);
      for (const { request } of moved) request.done(succeeded(this.#answer()));
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const request of waiting) this.#submit(request);
  }

  #answer(): MembershipAnswer {
    return { members: this.#replica.machine.members(), leader: this.#replica.status.leader };
  }
}

function asCode(code: string): ErrorCode {
  return code in ERROR_TABLE ? (code as ErrorCode) : "CONCORD_INTERNAL";
}

function refuseProbed(
  name: string,
  urls: readonly string[],
  error: Error | undefined,
  answer: ProbeAnswer | undefined,
): ConcordError | undefined {
  if (error !== undefined || answer === undefined)
    return new ConcordError(
      "CONCORD_PEER_UNREACHABLE",
      `Nobody answers at ${urls.join(", ")}: ${error?.message ?? ""}`,
    );
  if (answer.state !== "empty")
    return new ConcordError(
      "CONCORD_PEER_NOT_EMPTY",
      `The member at ${urls.join(", ")} is not waiting to be added: ${answer.reason || `it belongs to cluster ${answer.clusterId}`}`,
    );
  if (answer.memberName !== name)
    return new ConcordError(
      "CONCORD_PEER_NOT_EMPTY",
      `The member at ${urls.join(", ")} is named "${answer.memberName}", wanted "${name}"`,
    );
  return undefined;
}
