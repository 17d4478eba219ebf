import { ConcordError } from "../errors.ts";
import { type BackendWatch } from "../store/backend.ts";
import { type Change, type WatchRequest } from "../wire/types.ts";
import { errorOf, type SessionConnection, type WatchMessage } from "./connection.ts";
import { Deadline } from "./deadline.ts";
import { type SessionLink } from "./link.ts";

/** Changes that wait for the program to take them; beyond it the watch is let go of, and taken up again later. */
const QUEUE_BYTES_MAX = 8 * 1024 * 1024;
/** Before a watch that ended is taken up again. */
const RESUME_MS = 20;

/**
 * A watch that outlives its connections: it goes on where it was, at any member, without a gap and without a change
 * twice. A program that is slow keeps a bounded queue, and its place in the history.
 */
export class RemoteWatch implements BackendWatch {
  readonly started: Promise<number>;
  readonly #link: SessionLink;
  readonly #request: Omit<WatchRequest, "fragment">;
  readonly #stop = new AbortController();
  #begun: (revision: number) => void = () => undefined;
  #failed: (error: unknown) => void = () => undefined;
  #queue: (readonly Change[])[] = [];
  #queuedBytes = 0;
  /** Part of a revision whose rest has not come. */
  #partial: Change[] = [];
  /** First revision that is still wanted; 0: the watch has not begun anywhere. */
  #next: number;
  #id = 0;
  #connection: SessionConnection | undefined;
  #suspended = false;
  #over = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(link: SessionLink, request: Omit<WatchRequest, "fragment">) {
    this.#link = link;
    this.#request = request;
    this.#next = request.startRevision;
    this.started = new Promise((resolve, reject) => {
      this.#begun = resolve;
      this.#failed = reject;
    });
    const { current } = link;
    // At once where that is possible, so that no later request of the program overtakes it.
    if (current === undefined) this.#resume(0);
    else this.#open(current);
  }

  async next(): Promise<readonly Change[] | undefined> {
    for (;;) {
      const batch = this.#queue.shift();
      if (batch !== undefined) {
        this.#queuedBytes -= sizeOf(batch);
        return batch;
      }
      if (this.#suspended) {
        this.#suspended = false;
        this.#resume(0);
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#over) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  cancel(): void {
    if (this.#over) return;
    this.#connection?.cancel(this.#id);
    this.#end(undefined);
  }

  /** Ends for the program; what has come by then is still taken. */
  #end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#stop.abort();
    this.#failed(error ?? new ConcordError("CONCORD_CANCELLED"));
    this.#wake?.();
  }

  #resume(afterMs: number): void {
    this.#connection = undefined;
    this.#partial = [];
    const find = async (): Promise<void> => {
      using deadline = new Deadline(Infinity, this.#stop.signal);
      if (afterMs > 0) await deadline.pause(afterMs);
      const connection = await this.#link.connection(deadline);
      if (!this.#over) this.#open(connection);
    };
    find().catch((error: unknown) => {
      // A closed client ends its watches as a closed store does.
      const stopped = ConcordError.is(error) && error.code === "CONCORD_STOPPED";
      this.#end(stopped ? undefined : error instanceof Error ? error : new Error(String(error)));
    });
  }

  #open(connection: SessionConnection): void {
    this.#connection = connection;
    const request = { ...this.#request, startRevision: this.#next, fragment: true };
    const id = connection.watch(request, (message) => {
      // What comes late of a watch that was left is not of this one.
      if (!this.#over && this.#connection === connection && this.#id === id) this.#take(connection, message);
    });
    this.#id = id;
  }

  #take(connection: SessionConnection, message: WatchMessage | undefined): void {
    switch (message?.type) {
      case undefined:
        this.#resume(RESUME_MS);
        return;
      case "watching":
        if (this.#next === 0) this.#next = message.revision + 1;
        this.#begun(this.#next);
        return;
      case "progress":
        this.#next = Math.max(this.#next, message.revision + 1);
        return;
      case "changes":
        this.#partial.push(...message.changes);
        if (!message.fragment) this.#deliver(connection, message.revision);
        return;
      case "ended":
        this.#ended(connection, message.reason, message.nextRevision);
        return;
      case "error": {
        const error = errorOf(message);
        if (error.code === "CONCORD_STOPPED" || error.code === "CONCORD_WAITING") this.#link.leave(connection, error);
        else if (!error.retryable || error.code === "CONCORD_TOO_MANY_REQUESTS") {
          this.#end(error);
          return;
        }
        this.#resume(RESUME_MS);
        return;
      }
    }
  }

  #deliver(connection: SessionConnection, revision: number): void {
    const batch = this.#partial;
    this.#partial = [];
    this.#next = revision + 1;
    if (batch.length === 0) return;
    this.#queue.push(batch);
    this.#queuedBytes += sizeOf(batch);
    this.#wake?.();
    if (this.#queuedBytes <= QUEUE_BYTES_MAX) return;
    connection.cancel(this.#id);
    this.#connection = undefined;
    this.#suspended = true;
  }

  #ended(connection: SessionConnection, reason: string, nextRevision: number): void {
    if (reason === "compacted") {
      this.#end(new ConcordError("CONCORD_COMPACTED", undefined, { details: { compactRevision: nextRevision } }));
      return;
    }
    if (reason === "stopped") this.#link.leave(connection, new ConcordError("CONCORD_STOPPED"));
    this.#resume(RESUME_MS);
  }
}

function sizeOf(batch: readonly Change[]): number {
  return batch.reduce((sum, { row }) => sum + row.key.length + row.value.length + 64, 0);
}
