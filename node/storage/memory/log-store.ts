import { invariant } from "../../raft/assert.ts";
import { type Index } from "../../raft/types.ts";
import { LogState } from "../log-state.ts";
import { type LogGroup, type LogIdentity, type LogStats, type LogStore } from "../log-store.ts";

type Done = (error: Error | undefined) => void;

/**
 * A log that keeps nothing: for a node that runs in memory only. It holds its caller to the same rules as the durable one,
 * and completes in the same order. The Raft core keeps the entries themselves.
 */
export class MemoryLogStore implements LogStore {
  readonly #state: LogState;
  readonly #defer: (action: () => void) => void;
  #waiting: Done[] = [];
  #closing = false;
  #groups = 0;

  /** @param defer runs an action after the present call has returned. A simulator injects its own. @default setImmediate */
  constructor(identity: LogIdentity, defer: (action: () => void) => void = setImmediate) {
    this.#state = new LogState(identity);
    this.#defer = defer;
  }

  append(group: LogGroup, done: Done): void {
    invariant(!this.#closing, "Log is open");
    this.#state.check(group);
    this.#state.apply(group);
    this.#groups += 1;
    this.#complete(done);
  }

  release(index: Index): void {
    invariant(index >= 0, "An index is not negative");
  }

  stats(): LogStats {
    return { segments: 0, bytes: 0, syncs: 0, groups: this.#groups };
  }

  close(done: Done): void {
    invariant(!this.#closing, "A log is closed once");
    this.#closing = true;
    this.#complete(done);
  }

  /** Everything that was given in one turn completes together, in order. */
  #complete(done: Done): void {
    this.#waiting.push(done);
    if (this.#waiting.length > 1) return;
    this.#defer(() => {
      const completed = this.#waiting;
      this.#waiting = [];
      for (const each of completed) each(undefined);
    });
  }
}
