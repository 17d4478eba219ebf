import { type FoundCommand, type Member } from "./commands.ts";

/** Ids of removed members that are remembered. */
export const REMOVED_MEMBERS_MAX = 10_000;

export interface AwaitedMember {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

export interface Alarm {
  readonly member: string;
  readonly alarm: "noSpace";
}

/** What the machine keeps about the cluster besides keys. */
export interface ClusterState {
  readonly clusterId: string;
  readonly clusterUid: string;
  readonly foundingSize: number;
  readonly foundingComplete: boolean;
  readonly awaited: readonly AwaitedMember[];
  /** In the order of their ids. */
  readonly members: readonly Member[];
  /** In the order of their removal. */
  readonly removed: readonly string[];
  /** In the order of the members' ids. */
  readonly alarms: readonly Alarm[];
}

/** The members of the cluster and how it came to be. Values are replaced, never changed, so they can be handed out. */
export class Members {
  #state: ClusterState;
  #removed: ReadonlySet<string>;

  constructor(state: ClusterState = UNFOUNDED) {
    this.#state = state;
    this.#removed = new Set(state.removed);
  }

  get state(): ClusterState {
    return this.#state;
  }

  get isFounded(): boolean {
    return this.#state.clusterId !== "";
  }

  isRemoved(id: string): boolean {
    return this.#removed.has(id);
  }

  has(id: string): boolean {
    return this.#state.members.some((member) => member.id === id);
  }

  found(command: FoundCommand): void {
    const { clusterId, clusterUid, size, founder, awaited } = command;
    this.#set({
      ...this.#state,
      clusterId,
      clusterUid,
      foundingSize: size,
      members: [{ ...founder, learner: false }],
      awaited: awaited.filter(({ name }) => name !== founder.name),
    });
  }

  /** What the member says about itself. @returns false when it is no member. */
  publish(member: Pick<Member, "id" | "name" | "peerUrls" | "clientUrls">): boolean {
    const known = this.#state.members.find(({ id }) => id === member.id);
    if (known === undefined) return false;
    this.#put({ ...known, ...member, joined: true });
    return true;
  }

  /** A change that Raft has committed. Done twice it is done once. */
  change(type: "addLearner" | "promote" | "remove", id: string, added: Member | undefined): void {
    switch (type) {
      case "addLearner": {
        const member = added ?? { id, name: "", peerUrls: [], clientUrls: [], learner: true, joined: false };
        this.#put({ ...member, id, learner: true });
        return;
      }
      case "promote": {
        const member = this.#state.members.find((known) => known.id === id);
        if (member !== undefined) this.#put({ ...member, learner: false });
        return;
      }
      case "remove":
        this.#remove(id);
    }
  }

  setAlarm(alarm: Alarm): void {
    const others = this.#state.alarms.filter(({ member }) => member !== alarm.member);
    this.#set({ ...this.#state, alarms: [...others, alarm].sort((a, b) => byText(a.member, b.member)) });
  }

  /** Clears the alarm of one member, or all with an empty id. */
  clearAlarm(member: string): void {
    const alarms = member === "" ? [] : this.#state.alarms.filter((alarm) => alarm.member !== member);
    this.#set({ ...this.#state, alarms });
  }

  #put(member: Member): void {
    const others = this.#state.members.filter(({ id }) => id !== member.id);
    this.#set({
      ...this.#state,
      members: [...others, member].sort((a, b) => byText(a.id, b.id)),
      awaited: this.#state.awaited.filter(({ name }) => name !== member.name),
    });
  }

  #remove(id: string): void {
    const removed = [...this.#state.removed.filter((known) => known !== id), id].slice(-REMOVED_MEMBERS_MAX);
    this.#removed = new Set(removed);
    this.#set({
      ...this.#state,
      members: this.#state.members.filter((member) => member.id !== id),
      alarms: this.#state.alarms.filter(({ member }) => member !== id),
      removed,
    });
  }

  /** The founding is complete once as many members vote as were asked for, and stays so whatever happens later. */
  #set(state: ClusterState): void {
    const voters = state.members.filter(({ learner }) => !learner).length;
    const foundingComplete = state.foundingComplete || (state.clusterId !== "" && voters >= state.foundingSize);
    this.#state = { ...state, foundingComplete };
  }
}

const UNFOUNDED: ClusterState = {
  clusterId: "",
  clusterUid: "",
  foundingSize: 0,
  foundingComplete: false,
  awaited: [],
  members: [],
  removed: [],
  alarms: [],
};

/** By code unit, in every locale. */
function byText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
