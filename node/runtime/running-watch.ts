import { type Environment } from "./environment.ts";
import { type Watch, type WatchBatch, type WatchRequest } from "./node-api.ts";
import { type WatchCursor, type WatchHub } from "./watch-hub.ts";

/** A watch as a promise a batch, for doors and embedding programs. One `next` at a time. */
export class RunningWatch implements Watch {
  readonly #cursor: WatchCursor;
  readonly #environment: Environment;
  #wake: (() => void) | undefined;
  /** The last batch was a slice of a long history. */
  #catchingUp = false;

  constructor(hub: WatchHub, request: WatchRequest, environment: Environment) {
    this.#environment = environment;
    this.#cursor = hub.open(request, () => this.#wake?.());
  }

  get startedAt(): number {
    return this.#cursor.startedAt;
  }

  get deliveredRevision(): number {
    return this.#cursor.deliveredRevision;
  }

  get end(): Watch["end"] {
    const end = this.#cursor.end;
    return end === undefined ? undefined : { reason: end.reason, compactRevision: end.compactRevision };
  }

  async next(): Promise<WatchBatch | undefined> {
    // A reader that asks for the next batch at once would keep this process from everything else until it caught up.
    if (this.#catchingUp) await this.#others();
    for (;;) {
      const poll = this.#cursor.poll();
      switch (poll.type) {
        case "events":
          this.#catchingUp = this.#cursor.behind;
          return { events: poll.events, revision: poll.revision };
        case "ended":
          return undefined;
        case "busy":
          await this.#others();
          break;
        case "idle":
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = undefined;
          break;
      }
    }
  }

  cancel(): void {
    this.#cursor.cancel();
    this.#wake?.();
  }

  /** Lets everything that waits have its turn. */
  #others(): Promise<void> {
    return new Promise((resolve) => this.#environment.defer(resolve));
  }
}
