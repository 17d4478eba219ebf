import { describe, expect, test } from "vitest";
import { type Index, type MemberId, type Message, type Term } from "../../node/raft/types.ts";
import { diskOf, encode, Member, type MemberOptions, waitingDisk } from "./member.ts";
import { Prng } from "../support/prng.ts";

const FOUNDERS = ["a", "b", "c"];
const OTHERS = ["d", "e"];
const OPTIONS: MemberOptions = {
  electionTimeoutTicks: 10,
  heartbeatTicks: 2,
  appendBytesMax: 200,
  inflightBytesMax: 600,
  inflightMessagesMax: 4,
  promotionLagEntries: 10,
};

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: Message;
}

/** What a message promises is on the disk when it leaves. */
function checkDurable({ id, disk }: Member, message: Message): void {
  const durable = disk.entries.at(-1)?.index ?? disk.checkpoint.meta.index;
  if (message.type === "appendResponse" && !message.refused) {
    expect(durable, `${id} has what it acknowledges`).toBeGreaterThanOrEqual(message.index);
  }
  const isVote = (message.type === "voteRequest" || message.type === "voteResponse") && !message.preVote;
  if (isVote) expect(disk.hardState.term, `${id} voted durably`).toBeGreaterThanOrEqual(message.term);
}

/**
 * A cluster under a random schedule: messages are lost, doubled and reordered, groups become durable late, members
 * crash and restart, write checkpoints, come and go. After every step the promises of Raft (paper, figure 3) are checked.
 */
class Storm {
  readonly random: Prng;
  readonly members = new Map<MemberId, Member>();
  readonly partitioned = new Set<MemberId>();
  network: Envelope[] = [];
  // Promises.
  readonly leaders = new Map<Term, MemberId>();
  readonly committed = new Map<Index, string>();
  highestCommit = 0;
  readonly openReads = new Map<number, Index>();
  answeredReads = 0;
  proposals = 0;

  constructor(seed: number) {
    this.random = new Prng(seed);
    const configuration = { voters: FOUNDERS, learners: [] };
    for (const id of FOUNDERS) this.#add(new Member(id, diskOf(configuration), this.#below, OPTIONS));
    for (const id of OTHERS) this.#add(new Member(id, waitingDisk(), this.#below, OPTIONS));
  }

  readonly #below = (bound: number): number => this.random.below(bound);

  #add(member: Member): void {
    this.members.set(member.id, member);
  }

  step(): void {
    const { random } = this;
    const member = random.pick([...this.members.values()]);
    const action = random.below(1000);
    if (action < 110) member.core.step({ type: "tick" });
    else if (action < 400) this.#deliver(1 + random.below(6));
    else if (action < 700) this.#work(member);
    else if (action < 850) member.persistNext();
    else if (action < 920) this.#propose(member);
    else if (action < 950) this.#read(member);
    else if (action < 960) this.#change();
    else if (action < 975) this.#checkpoint(member);
    else this.#fault(member, random.below(1000));
    this.#check(member);
  }

  /** Faults end; everybody ticks and delivers until all is calm. */
  heal(ticks: number): void {
    this.partitioned.clear();
    for (let tick = 0; tick < ticks; tick += 1) {
      for (const member of this.members.values()) member.core.step({ type: "tick" });
      for (let round = 0; round < 20; round += 1) {
        for (const member of this.members.values()) {
          member.settle();
          this.#collect(member);
          this.#check(member);
        }
        const network = this.network;
        this.network = [];
        for (const envelope of network) this.#receive(envelope);
      }
    }
  }

  leader(): Member | undefined {
    return [...this.members.values()]
      .filter((member) => member.core.status().role === "leader")
      .sort((one, other) => other.core.status().term - one.core.status().term)[0];
  }

  #work(member: Member): void {
    if (member.core.hasReady() && member.pendingGroups < 4) {
      member.takeReady();
    }
    this.#collect(member);
  }

  #collect(member: Member): void {
    for (const { to, message } of member.outbox.splice(0)) {
      checkDurable(member, message);
      this.network.push({ from: member.id, to, message });
    }
  }

  #deliver(count: number): void {
    for (let i = 0; i < count && this.network.length > 0; i += 1) this.#deliverOne();
  }

  #deliverOne(): void {
    const { random, network } = this;
    // Mostly in order, sometimes not.
    const at = random.chance(0.8) ? 0 : random.below(network.length);
    const envelope = random.chance(0.05) ? network[at] : network.splice(at, 1)[0];
    if (envelope === undefined || random.chance(0.05)) return;
    this.#receive(envelope);
  }

  #receive({ from, to, message }: Envelope): void {
    if (this.partitioned.has(from) !== this.partitioned.has(to)) return;
    const member = this.members.get(to);
    member?.core.step({ type: "message", from, message });
    if (member !== undefined) this.#check(member);
  }

  #propose(member: Member): void {
    const texts = Array.from({ length: 1 + this.random.below(3) }, () => `${(this.proposals += 1)}`);
    member.core.propose(texts.map(encode));
  }

  #read(member: Member): void {
    const context = this.openReads.size + 1;
    this.openReads.set(context, this.highestCommit);
    member.core.step({ type: "readIndex", context });
  }

  #change(): void {
    const id = this.random.pick([...this.members.keys()]);
    const leader = this.leader();
    if (leader === undefined) return;
    const { configuration } = leader.core.status();
    const type = this.random.pick(["addLearner", "promote", "promote", "remove"] as const);
    if (type === "remove" && configuration.voters.length <= 2) return;
    // An id that was removed is never used again.
    if (type === "addLearner" && this.members.get(id)?.configuration.voters.length !== 0) return;
    leader.core.proposeChange({ type, member: id }, encode(id));
  }

  #checkpoint(member: Member): void {
    // Entries that are not on the disk yet are still to be written behind the checkpoint.
    if (member.pendingGroups === 0) member.checkpoint();
  }

  #fault(member: Member, dice: number): void {
    if (dice < 150) member.restart();
    else if (dice < 250) this.partitioned.add(member.id);
    else if (dice < 500) this.partitioned.clear();
    else if (dice < 650)
      member.core.step({ type: "connectionLost", member: this.#other(), delayTicks: this.random.below(5) });
    else if (dice < 800) member.core.step({ type: "unreachable", member: this.#other() });
    else if (dice < 900) member.core.step({ type: "transferLeadership", to: this.#other() });
    else member.core.step({ type: "campaign" });
  }

  #other(): MemberId {
    return this.random.pick([...this.members.keys()]);
  }

  #check(member: Member): void {
    member.core.checkInvariants();
    const status = member.core.status();
    if (status.role === "leader") this.#checkLeader(member);
    for (const entry of member.appliedEntries.splice(0)) {
      const text = `${entry.term} ${entry.type} ${new TextDecoder().decode(entry.data)}`;
      expect(this.committed.get(entry.index) ?? text, `state machine safety at ${entry.index}`).toBe(text);
      this.committed.set(entry.index, text);
    }
    this.highestCommit = Math.max(this.highestCommit, status.commit);
    for (const { context, index } of member.reads.splice(0)) {
      expect(index, `read ${context} is linearizable`).toBeGreaterThanOrEqual(this.openReads.get(context) ?? Infinity);
      this.answeredReads += 1;
    }
  }

  #checkLeader(member: Member): void {
    const { term, firstIndex } = member.core.status();
    if (this.leaders.has(term)) {
      expect(this.leaders.get(term), `election safety in term ${term}`).toBe(member.id);
      return;
    }
    this.leaders.set(term, member.id);
    for (const [index, text] of this.committed) {
      if (index < firstIndex) continue;
      expect(member.core.termAt(index), `leader completeness at ${index}`).toBe(Number(text.split(" ")[0]));
    }
  }
}

// More of the same: RAFT_SEEDS=1,2,3 RAFT_STEPS=50000.
describe("a cluster under a random schedule", () => {
  const seeds = process.env["RAFT_SEEDS"]?.split(",").map(Number) ?? [1, 2, 3, 4, 5, 6, 7, 8];
  test.each(seeds)("seed %i keeps every promise, and recovers", (seed) => {
    const storm = new Storm(seed);
    const steps = Number(process.env["RAFT_STEPS"] ?? 12_000);
    for (let i = 0; i < steps; i += 1) storm.step();
    storm.heal(120);
    const leader = storm.leader();
    expect(leader, "there is a leader after the faults").toBeDefined();
    leader?.core.propose([encode("the end")]);
    storm.heal(10);
    const { configuration, commit } = leader!.core.status();
    expect(leader!.texts.at(-1)).toBe("the end");
    for (const id of [...configuration.voters, ...configuration.learners]) {
      const member = storm.members.get(id)!;
      expect(member.texts, `${id} has the same state`).toEqual(leader!.texts);
      expect(member.core.status().commit).toBe(commit);
    }
    // The schedule did something.
    expect(storm.leaders.size).toBeGreaterThan(1);
    expect(storm.answeredReads).toBeGreaterThan(0);
    expect(leader!.texts.length).toBeGreaterThan(20);
  });
});
