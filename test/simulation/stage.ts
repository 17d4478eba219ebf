import { type Command } from "../../node/machine/commands.ts";
import { type ConfigurationChange, type Index, type Term } from "../../node/raft/types.ts";
import { type SimClock } from "../support/sim-clock.ts";
import { type SimNetwork } from "../support/sim-network.ts";
import { type SimNode } from "./node.ts";
import { type Settings } from "./settings.ts";

/** A part of a script: each `yield` waits until what it gives is true, looking after every event. */
export type Script<Result> = Generator<() => boolean, Result, void>;

const STEP_MS = 3_000;
const REQUEST_MS = 2_000;

/** What a scenario can see and do. All of it happens between two events, so nothing is in between unseen. */
export class Stage {
  readonly nodes: readonly SimNode[];
  readonly #clock: SimClock;
  readonly #network: SimNetwork;

  constructor(nodes: readonly SimNode[], clock: SimClock, network: SimNetwork) {
    this.nodes = nodes;
    this.#clock = clock;
    this.#network = network;
  }

  /** Waits for `condition`. @returns whether it came true in time */
  *until(condition: () => boolean, withinMs = STEP_MS): Script<boolean> {
    const end = this.#clock.now + withinMs;
    yield () => condition() || this.#clock.now >= end;
    return condition();
  }

  *pause(forMs: number): Script<void> {
    yield* this.until(() => false, forMs);
  }

  /** Waits until one of `among` leads in a term after `term`. */
  *leader(among: readonly SimNode[], term: Term = 0): Script<SimNode | undefined> {
    const find = (): SimNode | undefined => among.find((node) => node.leads && termOf(node) > term);
    yield* this.until(() => find() !== undefined);
    return find();
  }

  /** Waits until one of `voters` leads and all of them have applied the same. */
  *steadyLeader(voters: readonly SimNode[]): Script<SimNode | undefined> {
    const last = (node: SimNode): Index => node.replica?.core.applied ?? -1;
    const steady = (): boolean => voters.every((node) => last(node) === lastIndexOf(node) && last(node) === max());
    const max = (): Index => Math.max(...voters.map(lastIndexOf));
    yield* this.until(() => voters.some((node) => node.leads) && steady());
    return steady() ? voters.find((node) => node.leads) : undefined;
  }

  /** Nothing goes from `from` to `to` any more, nor what is under way. */
  cut(from: SimNode, to: SimNode): void {
    this.#network.block(from.address, to.address);
  }

  isolate(node: SimNode, but: readonly SimNode[] = []): void {
    for (const other of this.nodes) {
      if (other === node || but.includes(other)) continue;
      this.cut(node, other);
      this.cut(other, node);
    }
  }

  heal(): void {
    this.#network.heal();
  }

  /** An entry that changes nothing. */
  propose(node: SimNode): void {
    const nothing: Command = { type: "compact", revision: 1 };
    node.replica?.propose(nothing, REQUEST_MS, () => undefined);
  }

  /** Asks the core itself: what the runtime in front of it would hold back is to be refused there too. */
  change(node: SimNode, change: ConfigurationChange): boolean {
    const { replica } = node;
    const accepted = replica?.core.proposeChange(change, new Uint8Array()).ok ?? false;
    replica?.schedule();
    return accepted;
  }
}

/** A course of events that faults by chance do not bring about often enough. */
export interface Scenario {
  readonly name: string;
  readonly settings: Partial<Settings>;
  /** Plays once. @returns whether it came to its point: what goes wrong in a broken product has had its chance */
  play(stage: Stage): Script<boolean>;
}

export function termOf(node: SimNode): Term {
  return node.replica?.core.term ?? 0;
}

export function lastIndexOf(node: SimNode): Index {
  return node.replica?.core.status().lastIndex ?? 0;
}

/** It has the entry in its log, and on its disk. */
export function holds(node: SimNode, index: Index, term: Term): boolean {
  return node.replica?.core.termAt(index) === term && node.witness.holds(index, term);
}
