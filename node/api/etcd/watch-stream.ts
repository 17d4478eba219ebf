import { ConcordError, ERROR_TABLE } from "../../client/errors.ts";
import { type Watch, type WatchBatch } from "../../runtime/node-api.ts";
import { type Principal } from "../../service/principal.ts";
import { type MessageStream, type StreamListener } from "../grpc/method.ts";
import { cut } from "../watch-cut.ts";
import { wantsLeader, type EtcdCalls } from "./calls.ts";
import { type WatchCreateRequest, type WatchRequestMessage, type WatchResponse } from "./messages.ts";
import { watchRequest } from "./requests.ts";
import { eventBytes, eventMessage } from "./responses.ts";
import { grpcStatus } from "./status.ts";

export interface WatchStreamOptions {
  /** Between two marks of progress for an idle watch, milliseconds. */
  readonly progressIntervalMs: number;
  /** Messages are cut at revisions so that they stay below this; within a revision only when the client allows it. */
  readonly messageBytes: number;
  /** On one stream. */
  readonly watchesMax: number;
}

/** How soon a request for progress is looked at again while a watch still catches up. */
const PROGRESS_RETRY_MS = 50;
/** The id that stands for all watches of the stream, and for none. */
const NO_WATCH = "-1";

interface RunningWatch {
  readonly id: string;
  readonly watch: Watch;
  readonly startRevision: number;
  readonly progressNotify: boolean;
  readonly fragment: boolean;
  /** A batch was taken from the watch and is not wholly written: its revisions are not delivered yet. */
  writing: boolean;
  /** Events or a mark of progress went out since the last tick. */
  recentlyHeard: boolean;
}

/**
 * One Watch stream with its watches. Every response of a watch comes after its `created`; the events of a revision come
 * together; progress is announced only when everything up to it has been written.
 */
export class WatchStream implements StreamListener<WatchRequestMessage> {
  readonly #call: MessageStream<WatchResponse>;
  readonly #calls: EtcdCalls;
  readonly #options: WatchStreamOptions;
  readonly #principal: Principal;
  readonly #watches = new Map<string, RunningWatch>();
  readonly #ticker: NodeJS.Timeout;
  readonly #onClosed: () => void;
  #nextId = 0;
  #closed = false;
  #progressTimer: NodeJS.Timeout | undefined;
  /** Set while the client reads slower than it is written to. */
  #backlog: { readonly drained: Promise<void>; readonly end: () => void } | undefined;

  constructor(call: MessageStream<WatchResponse>, calls: EtcdCalls, options: WatchStreamOptions, onClosed: () => void) {
    this.#call = call;
    this.#calls = calls;
    this.#options = options;
    this.#principal = calls.principal(call);
    this.#onClosed = onClosed;
    // Spread, so that streams that began together do not all speak at once.
    const interval = options.progressIntervalMs * (1 + Math.random() / 10);
    this.#ticker = setInterval(() => this.#tick(), interval);
    this.#ticker.unref();
  }

  /** Whether this stream would rather end than stay at a member without a leader. */
  get wantsLeader(): boolean {
    return wantsLeader(this.#call);
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  /** Ends the stream with an error. */
  fail(error: ConcordError): void {
    if (this.#closed) return;
    this.#release();
    this.#call.fail(grpcStatus(error));
  }

  receive(request: WatchRequestMessage): void {
    if (this.#closed) return;
    switch (request.request_union) {
      case "create_request":
        this.#create(request.create_request);
        return;
      case "cancel_request":
        this.#cancel(request.cancel_request.watch_id);
        return;
      case "progress_request":
        this.#announceProgress();
        return;
      case undefined:
        // Something newer than this server. etcd ignores it too: the other watches of the stream go on.
        return;
    }
  }

  ended(): void {
    this.#release();
    this.#call.end();
  }

  drained(): void {
    const backlog = this.#backlog;
    if (backlog === undefined) return;
    this.#backlog = undefined;
    this.#call.resume();
    backlog.end();
  }

  closed(): void {
    this.#release();
  }

  #create(request: WatchCreateRequest): void {
    if (BigInt(request.start_revision) < 0n) {
      this.#refuse(new ConcordError("CONCORD_COMPACTED"));
      return;
    }
    const id = request.watch_id === "0" ? this.#freeId() : request.watch_id;
    if (this.#watches.has(id)) {
      this.#refuse(undefined, "mvcc: duplicate watch ID provided on the WatchStream");
      return;
    }
    if (this.#watches.size >= this.#options.watchesMax) {
      this.#refuse(new ConcordError("CONCORD_TOO_MANY_REQUESTS"));
      return;
    }
    const wanted = watchRequest(request);
    let watch: Watch;
    try {
      watch = this.#calls.services.watch.open(this.#principal, wanted);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    const running: RunningWatch = {
      id,
      watch,
      startRevision: wanted.startRevision,
      progressNotify: request.progress_notify,
      fragment: request.fragment,
      writing: false,
      recentlyHeard: true,
    };
    this.#watches.set(id, running);
    this.#write({ header: this.#calls.header(watch.startedAt), watch_id: id, created: true });
    void this.#pump(running);
  }

  /** A watch that was never begun is created and cancelled in one response. */
  #refuse(error: unknown, reason = grpcStatus(error).details): void {
    this.#write({
      header: this.#calls.header(),
      watch_id: NO_WATCH,
      created: true,
      canceled: true,
      cancel_reason: reason,
    });
  }

  #cancel(id: string): void {
    const running = this.#watches.get(id);
    if (running === undefined) return;
    this.#watches.delete(id);
    running.watch.cancel();
    this.#write({ header: this.#calls.header(), watch_id: id, canceled: true });
  }

  /** Takes batches from a watch and writes them, no faster than the client reads. Ends with the watch. */
  async #pump(running: RunningWatch): Promise<void> {
    try {
      for (;;) {
        const batch = await running.watch.next();
        if (this.#watches.get(running.id) !== running) return;
        if (batch === undefined) {
          this.#ended(running);
          return;
        }
        running.writing = true;
        if (batch.events.length > 0) await this.#deliver(running, batch);
        running.writing = false;
        if (this.#progressTimer !== undefined) this.#announceProgress();
      }
    } catch (error) {
      this.fail(ConcordError.is(error) ? error : new ConcordError("CONCORD_INTERNAL", undefined, { cause: error }));
    }
  }

  async #deliver(running: RunningWatch, batch: WatchBatch): Promise<void> {
    for (const part of cut(batch, this.#options.messageBytes, running.fragment, eventBytes)) {
      if (this.#backlog !== undefined) await this.#backlog.drained;
      if (this.#watches.get(running.id) !== running) return;
      this.#write({
        header: this.#calls.header(part.revision),
        watch_id: running.id,
        fragment: part.fragment,
        events: part.events.map(eventMessage),
      });
      running.recentlyHeard = true;
    }
  }

  #ended(running: RunningWatch): void {
    this.#watches.delete(running.id);
    const end = running.watch.end;
    if (end?.reason === "stopped") {
      this.fail(new ConcordError("CONCORD_STOPPED"));
      return;
    }
    this.#write({
      header: this.#calls.header(),
      watch_id: running.id,
      canceled: true,
      ...(end?.reason === "compacted"
        ? {
            compact_revision: end.compactRevision,
            cancel_reason: `etcdserver: ${ERROR_TABLE.CONCORD_COMPACTED.message}`,
          }
        : {}),
    });
  }

  /** Idle watches that asked for it are told how far they have come. */
  #tick(): void {
    for (const running of this.#watches.values()) {
      if (running.progressNotify && !running.recentlyHeard && this.#isSynced(running)) {
        this.#write({ header: this.#calls.header(running.watch.deliveredRevision), watch_id: running.id });
      }
      running.recentlyHeard = false;
    }
  }

  /** One response for the whole stream, once every watch on it has delivered everything; until then it waits. */
  #announceProgress(): void {
    clearTimeout(this.#progressTimer);
    this.#progressTimer = undefined;
    const all = [...this.#watches.values()];
    if (all.length === 0 || this.#closed) return;
    if (all.every((running) => this.#isSynced(running))) {
      const revision = Math.min(...all.map((running) => running.watch.deliveredRevision));
      this.#write({ header: this.#calls.header(revision), watch_id: NO_WATCH });
      return;
    }
    this.#progressTimer = setTimeout(() => this.#announceProgress(), PROGRESS_RETRY_MS);
    this.#progressTimer.unref();
  }

  /** A watch that begins in the future has not come as far as it promised to begin. */
  #isSynced(running: RunningWatch): boolean {
    const { revision } = this.#calls.services.header();
    return !running.writing && running.watch.deliveredRevision >= revision && running.startRevision <= revision + 1;
  }

  #write(response: WatchResponse): void {
    if (this.#closed) return;
    if (this.#call.write(response) || this.#backlog !== undefined) return;
    // No new batch is taken, and no new request read, until the client caught up.
    this.#call.pause();
    let end = (): void => undefined;
    const drained = new Promise<void>((resolve) => (end = resolve));
    this.#backlog = { drained, end };
  }

  #freeId(): string {
    while (this.#watches.has(String(this.#nextId))) this.#nextId += 1;
    const id = String(this.#nextId);
    this.#nextId += 1;
    return id;
  }

  #release(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticker);
    clearTimeout(this.#progressTimer);
    for (const { watch } of this.#watches.values()) watch.cancel();
    this.#watches.clear();
    this.#backlog?.end();
    this.#onClosed();
  }
}
