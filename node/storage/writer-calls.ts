import { invariant } from "../raft/assert.ts";

/** Holds the caller of a CheckpointWriter to its protocol: one call at a time, none after the end. */
export class WriterCalls {
  #busy = false;
  #ended = false;
  #committing = false;

  get ended(): boolean {
    return this.#ended;
  }

  enter(call: "put" | "remove" | "commit"): void {
    invariant(!this.#ended, "Checkpoint writer was used after its end");
    invariant(!this.#busy, "Checkpoint writer was called before its last call was done");
    this.#busy = true;
    this.#committing = call === "commit";
  }

  leave(): void {
    this.#busy = false;
    this.#committing = false;
  }

  /** True the first time. */
  end(): boolean {
    invariant(!this.#committing, "Checkpoint writer was aborted during its commit");
    const first = !this.#ended;
    this.#ended = true;
    return first;
  }
}
