import { type Environment } from "./environment.ts";
import { type Watch, type WatchBatch, type WatchRequest } from "./node-api.ts";
import { type WatchCursor, type WatchHub } from "./watch-hub.ts";

/** A watch as a promise a batch, for doors and embedding programs. One `next` at a time. */
export class RunningWatch implements Watch {
  readonly #cursor: WatchCursor;
  readonly #environment: Environment;
  #wake: (() => void) | undefined;

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
    for (;;) {
      const poll = this.#cursor.poll();
      switch (poll.type) {
        case "events":
          return { events: poll.events, revision: poll.revision };
        case "ended":
          return undefined;
        case "busy":
          await new Promise<void>((resolve) => this.#environment.defer(resolve));
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
}
