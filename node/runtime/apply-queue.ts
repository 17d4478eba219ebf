import { decodeMember } from "../codec/command.ts";
import { decodeEntry } from "../codec/entry-header.ts";
import { type Outcome } from "../machine/commands.ts";
import { type Machine } from "../machine/machine.ts";
import { type Entry } from "../raft/types.ts";

/** What the queue tells while it applies. */
export interface AppliedHandler {
  /** `outcome` is undefined for entries that carry no command. */
  applied(entry: Entry, outcome: Outcome | undefined): void;
  /** A configuration entry took effect in the machine. The core must hear of it before the next entry is applied. */
  configurationApplied(index: number): void;
}

/**
 * Committed entries on their way into the machine, in order and in slices: a command of any size gives the loop back
 * after `units` keys, and readers see the state before it until it is whole.
 */
export class ApplyQueue {
  readonly #machine: () => Machine;
  readonly #handler: AppliedHandler;
  #entries: Entry[] = [];
  #position = 0;
  #started = false;

  constructor(machine: () => Machine, handler: AppliedHandler) {
    this.#machine = machine;
    this.#handler = handler;
  }

  get length(): number {
    return this.#entries.length - this.#position;
  }

  /** A command is half applied: the machine cannot be frozen now. */
  get inEntry(): boolean {
    return this.#started;
  }

  push(entries: readonly Entry[]): void {
    if (this.#position === this.#entries.length) {
      this.#entries = [...entries];
      this.#position = 0;
    } else {
      this.#entries.push(...entries);
    }
  }

  /** The state was replaced by a snapshot at `index`: what it holds is not applied again. */
  skipTo(index: number): void {
    this.#entries = this.#entries.slice(this.#position).filter((entry) => entry.index > index);
    this.#position = 0;
    this.#started = false;
  }

  /** Applies entries for at most about `units` keys of work. Returns whether work is left. */
  run(units: number): boolean {
    let left = units;
    while (left > 0 && this.#position < this.#entries.length) {
      const entry = this.#entries[this.#position];
      if (entry === undefined) break;
      if (!this.#applyOne(entry, left)) return true;
      this.#position += 1;
      left -= 1;
    }
    return this.length > 0;
  }

  #applyOne(entry: Entry, units: number): boolean {
    const machine = this.#machine();
    if (entry.type === "configuration") {
      machine.applyMembership(
        entry.index,
        entry.change,
        entry.change.type === "addLearner" ? decodeMember(entry.data) : undefined,
      );
      this.#handler.configurationApplied(entry.index);
      this.#handler.applied(entry, undefined);
      return true;
    }
    if (entry.data.length === 0) {
      machine.applyEmpty(entry.index);
      this.#handler.applied(entry, undefined);
      return true;
    }
    if (!this.#started) {
      const { header, command } = decodeEntry(entry.data);
      machine.start(
        {
          index: entry.index,
          clusterTimeMs: header.clusterTimeMs,
          wallTimeMs: header.wallTimeMs,
          idempotency: header.idempotency,
        },
        command,
      );
      this.#started = true;
    }
    const outcome = machine.advance(units);
    if (outcome === undefined) return false;
    this.#started = false;
    this.#handler.applied(entry, outcome);
    return true;
  }
}
