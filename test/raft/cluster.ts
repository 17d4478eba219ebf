import { type KnownCommit, type MemberId, type Message } from "../../node/raft/types.ts";
import { type Disk, diskOf, encode, Member, type MemberOptions } from "./member.ts";

/** Ten ticks without a leader, and nobody's wait is longer than another's: tests say who campaigns. */
export const ELECTION_TIMEOUT = 10;

/** What a member says of commits that knows of none. */
export const NOTHING_KNOWN: KnownCommit = { index: 0, term: 0 };

/** Members that talk to each other when a test says so. Messages to and from `isolated` members are lost. */
export class Cluster {
  readonly members = new Map<MemberId, Member>();
  readonly isolated = new Set<MemberId>();

  constructor(ids: readonly MemberId[], options: MemberOptions = {}, disks: Readonly<Record<MemberId, Disk>> = {}) {
    const configuration = { voters: ids, learners: [] };
    for (const id of ids) {
      const all = { electionTimeoutTicks: ELECTION_TIMEOUT, heartbeatTicks: 2, ...options };
      this.members.set(id, new Member(id, disks[id] ?? diskOf(configuration), () => 0, all));
    }
  }

  member(id: MemberId): Member {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`No member "${id}"`);
    return member;
  }

  status(id: MemberId): ReturnType<Member["core"]["status"]> {
    return this.member(id).core.status();
  }

  tick(id: MemberId, count = 1): void {
    for (let i = 0; i < count; i += 1) this.member(id).core.step({ type: "tick" });
  }

  campaign(id: MemberId): void {
    this.member(id).core.step({ type: "campaign" });
  }

  elect(id: MemberId): void {
    this.campaign(id);
    this.settle();
  }

  propose(id: MemberId, ...texts: string[]): ReturnType<Member["core"]["propose"]> {
    return this.member(id).core.propose(texts.map(encode));
  }

  receive(from: MemberId, to: MemberId, message: Message): void {
    this.member(to).core.step({ type: "message", from, message });
    this.member(to).core.checkInvariants();
  }

  /** Takes the messages that `id` has for the network. */
  sent(id: MemberId): { to: MemberId; message: Message }[] {
    const member = this.member(id);
    member.settle();
    return member.outbox.splice(0);
  }

  /** Passes messages until nobody has anything to do. */
  settle(): void {
    for (;;) {
      const moved = [...this.members.keys()].map((id) => this.sent(id).map((outgoing) => ({ from: id, ...outgoing })));
      const messages = moved.flat();
      if (messages.length === 0) return;
      for (const { from, to, message } of messages) {
        if (!this.isolated.has(from) && !this.isolated.has(to) && this.members.has(to)) this.receive(from, to, message);
      }
    }
  }
}

/** A disk with entries of these terms, each entry's text its term. */
export function diskWithTerms(ids: readonly MemberId[], terms: readonly number[], term = terms.at(-1) ?? 0): Disk {
  const disk = diskOf({ voters: ids, learners: [] });
  disk.entries = terms.map((t, i) => ({ type: "normal", index: i + 1, term: t, data: encode(`${t}`) }));
  disk.hardState = { term, vote: "", commit: 0 };
  return disk;
}

/** The accepted answer of a follower. */
export function accepted(term: number, index: number): Message {
  return { type: "appendResponse", term, index, refused: false, hintIndex: 0, hintTerm: 0, needSnapshot: false };
}
