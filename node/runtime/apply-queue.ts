import { decodeMember } from "../codec/command.ts";
import { decodeEntry, type EntryHeader } from "../codec/entry-header.ts";
import { type Command, type Outcome } from "../machine/commands.ts";
import { type Machine } from "../machine/machine.ts";
import { type Entry } from "../raft/types.ts";

/** What the queue tells while it applies. */
export interface AppliedHandler {
  /** `result` is undefined for entries that carry no command. */
  applied(entry: Entry, result: AppliedCommand | undefined): void;
  /** A configuration entry took effect in the machine. The core must hear of it before the next entry is applied. */
  configurationApplied(index: number): void;
}

/** What an entry carried, and what came of it. */
export interface AppliedCommand extends DecodedEntry {
  readonly outcome: Outcome;
}

interface DecodedEntry {
  readonly header: EntryHeader;
  readonly command: Command;
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
  /** Half applied. */
  #current: DecodedEntry | undefined;

  constructor(machine: () => Machine, handler: AppliedHandler) {
    this.#machine = machine;
    this.#handler = handler;
  }

  get length(): number {
    return this.#entries.length - this.#position;
  }

  /** A command is half applied: the machine cannot be frozen now. */
  get inEntry(): boolean {
    return this.#current !== undefined;
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
    this.#current = undefined;
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
    if (this.#current === undefined) {
      this.#current = decodeEntry(entry.data);
      const { header, command } = this.#current;
      machine.start(
        {
          index: entry.index,
          clusterTimeMs: header.clusterTimeMs,
          wallTimeMs: header.wallTimeMs,
          idempotency: header.idempotency,
        },
        command,
      );
    }
    const outcome = machine.advance(units);
    if (outcome === undefined) return false;
    const { header, command } = this.#current;
    this.#current = undefined;
    this.#handler.applied(entry, { header, command, outcome });
    return true;
  }
}
