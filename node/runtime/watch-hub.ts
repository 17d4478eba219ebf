import { type ChangeEvent } from "../machine/commands.ts";
import { type Machine } from "../machine/machine.ts";
import { type WatchRequest } from "./node-api.ts";

/** What a poll of a watch found. */
export type WatchPoll =
  | { readonly type: "events"; readonly events: readonly WatchedEvent[]; readonly revision: number }
  /** Looked at a slice without a match: poll again, but let others have a turn first. */
  | { readonly type: "busy" }
  /** Everything up to the store's revision is delivered; `onWake` tells of the next change. */
  | { readonly type: "idle" }
  | {
      readonly type: "ended";
      readonly reason: "cancelled" | "compacted" | "stopped";
      readonly compactRevision: number;
    };

export interface WatchedEvent {
  readonly event: ChangeEvent;
  readonly previous: ChangeEvent["row"] | undefined;
}

/** Changes looked at in one slice, about 1 ms of work. */
const SLICE_CHANGES = 1000;

/**
 * One watch: a position in the machine's change log. It pulls, so a slow reader holds no events but its own position;
 * when compaction overtakes that position the watch ends with the revision to list again from.
 */
export class WatchCursor {
  readonly request: WatchRequest;
  readonly startedAt: number;
  readonly #hub: WatchHub;
  readonly #onWake: () => void;
  #next: number;
  #end: Extract<WatchPoll, { type: "ended" }> | undefined;

  constructor(hub: WatchHub, request: WatchRequest, onWake: () => void) {
    this.#hub = hub;
    this.request = request;
    this.#onWake = onWake;
    this.startedAt = hub.machine().revision;
    this.#next = request.startRevision > 0 ? request.startRevision : this.startedAt + 1;
  }

  /** Revision up to which everything was delivered. */
  get deliveredRevision(): number {
    return Math.min(this.#next - 1, this.#hub.machine().revision);
  }

  /** Whether there is more to look at already. */
  get behind(): boolean {
    return this.#end === undefined && this.#next <= this.#hub.machine().revision;
  }

  get end(): Extract<WatchPoll, { type: "ended" }> | undefined {
    return this.#end;
  }

  poll(): WatchPoll {
    if (this.#end !== undefined) return this.#end;
    const machine = this.#hub.machine();
    if (this.#next > machine.revision) {
      this.#hub.wait(this);
      return { type: "idle" };
    }
    if (this.#next < machine.compactRevision) {
      return this.close("compacted", machine.compactRevision);
    }
    const found = machine.changes(this.request, this.#next, machine.revision, {
      previous: this.request.previous,
      units: SLICE_CHANGES,
    });
    this.#next = found.next;
    const events: WatchedEvent[] = [];
    for (const [position, event] of found.events.entries()) {
      if (event.type === "put" ? this.request.filterPut : this.request.filterDelete) continue;
      events.push({ event, previous: found.previousRows[position] });
    }
    if (events.length > 0) return { type: "events", events, revision: found.next - 1 };
    return { type: "busy" };
  }

  cancel(): void {
    this.close("cancelled", 0);
  }

  /** For the hub: something changed, or the watch ended. */
  wake(): void {
    this.#onWake();
  }

  close(reason: "cancelled" | "compacted" | "stopped", compactRevision: number): Extract<WatchPoll, { type: "ended" }> {
    if (this.#end === undefined) {
      this.#end = { type: "ended", reason, compactRevision };
      this.#hub.forget(this);
    }
    return this.#end;
  }
}

/** The watches of one member. Wakes those that wait when the revision moved. */
export class WatchHub {
  readonly #machine: () => Machine;
  readonly #all = new Set<WatchCursor>();
  #waiting = new Set<WatchCursor>();

  constructor(machine: () => Machine) {
    this.#machine = machine;
  }

  machine(): Machine {
    return this.#machine();
  }

  get count(): number {
    return this.#all.size;
  }

  open(request: WatchRequest, onWake: () => void): WatchCursor {
    const cursor = new WatchCursor(this, request, onWake);
    this.#all.add(cursor);
    return cursor;
  }

  wait(cursor: WatchCursor): void {
    this.#waiting.add(cursor);
  }

  forget(cursor: WatchCursor): void {
    this.#all.delete(cursor);
    this.#waiting.delete(cursor);
  }

  /** The machine's revision (or the machine itself) changed. */
  advanced(): void {
    if (this.#waiting.size === 0) return;
    const woken = this.#waiting;
    this.#waiting = new Set();
    for (const cursor of woken) cursor.wake();
  }

  /** Ends all watches: the member stops. */
  stop(): void {
    for (const cursor of [...this.#all]) {
      cursor.close("stopped", 0);
      cursor.wake();
    }
  }
}
