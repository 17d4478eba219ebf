import { type WebSocket } from "ws";
import { ConcordError, ERROR_TABLE } from "../../client/errors.ts";
import { KEY_BYTES_MAX } from "../../client/rest.ts";
import { WireError } from "../../client/wire/fields.ts";
import { PROTOCOL_VERSION, readClientMessage, readFrame, type WireRecord } from "../../client/wire/requests.ts";
import { type ClientMessage, type SessionLimits, type WatchEnd } from "../../client/wire/types.ts";
import { type Logger } from "../../observability/log.ts";
import { type Principal } from "../../service/principal.ts";
import { type Services } from "../../service/services.ts";
import { type OpenRequest, type RequestEvents } from "../request-events.ts";
import { carryOut, checkLength } from "../calls.ts";
import { Outbox } from "./outbox.ts";
import { SessionWatch } from "./session-watch.ts";

/** Which limits sessions came up against, for the metrics. */
export const SESSION_LIMITS = ["sessions", "frame", "requests", "watches", "buffer"] as const;
export type SessionLimit = (typeof SESSION_LIMITS)[number];

export interface SessionOptions {
  readonly limits: SessionLimits & { readonly bufferBytesMax: number };
  /** Version of Concord. */
  readonly version: string;
  /** Between two marks of progress for an idle watch. */
  readonly progressIntervalMs: number;
  /** Between two pings; a client that is silent for as long is gone. */
  readonly pingIntervalMs: number;
  /** How long a client may read slower than its watches run, before they end. */
  readonly slowMs: number;
  readonly logger: Logger;
  readonly events: RequestEvents;
  readonly onLimit: (limit: SessionLimit) => void;
}

/** Close codes (RFC 6455, section 7.4). */
const CLOSE = { goingAway: 1001, protocol: 1002, notBinary: 1003, policy: 1008, internal: 1011 } as const;
/** Longest that a request may wait. */
export const TIMEOUT_MAX_MS = 60_000;
/** HTTP status of what went well, as that of an error is in the error table. */
const GOOD = 200;
/** Longest reason that a close frame takes. */
const REASON_BYTES_MAX = 123;

type RequestMessage = Extract<ClientMessage, { readonly type: "request" }>;
type WatchMessage = Extract<ClientMessage, { readonly type: "watch" }>;

/** One client's connection: requests in any number, answers in any order, and watches beside them. */
export class Session {
  readonly #socket: WebSocket;
  readonly #services: Services;
  readonly #principal: () => Principal;
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #watches = new Map<number, SessionWatch>();
  /** Requests without an answer; those that wait for a lock can be cancelled. */
  readonly #requests = new Map<number, AbortController | undefined>();
  readonly #timers: readonly NodeJS.Timeout[];
  #greeted = false;
  #heard = true;
  #ending = false;
  #closed = false;

  constructor(socket: WebSocket, services: Services, principal: () => Principal, options: SessionOptions) {
    this.#socket = socket;
    this.#services = services;
    this.#principal = principal;
    this.#options = options;
    this.#outbox = new Outbox(socket, {
      bufferBytesMax: options.limits.bufferBytesMax,
      slowMs: options.slowMs,
      onFull: (full) => this.#regulate(full),
      onProgress: () => (this.#heard = true),
    });
    this.#timers = [
      setInterval(() => this.#checkAlive(), options.pingIntervalMs).unref(),
      setInterval(() => {
        for (const watch of this.#watches.values()) watch.tick();
      }, options.progressIntervalMs).unref(),
    ];
    socket.on("message", (data, isBinary) => this.#receive(data as Buffer, isBinary));
    socket.on("pong", () => (this.#heard = true));
    socket.on("ping", (data) => this.#pong(data));
    socket.on("error", (error: Error & { code?: string }) => this.#onError(error));
    socket.once("close", () => this.#release());
  }

  get requestCount(): number {
    return this.#requests.size;
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  get bufferedBytes(): number {
    return this.#outbox.bufferedBytes;
  }

  /** The server stops: what is in flight is still answered, then the session ends. */
  end(): void {
    this.#ending = true;
    for (const controller of this.#requests.values()) controller?.abort();
    this.#endIfDone();
  }

  /** Ends the session now. */
  close(): void {
    this.#closeWith(CLOSE.goingAway, new ConcordError("CONCORD_STOPPED"));
  }

  #receive(frame: Buffer, isBinary: boolean): void {
    if (this.#closed) return;
    this.#heard = true;
    if (!isBinary) {
      this.#refuse(CLOSE.notBinary, "The frame is text, expected binary");
      return;
    }
    const { requestsMax, watchesMax } = this.#options.limits;
    let records: readonly WireRecord[];
    try {
      records = readFrame(frame, { recordsMax: requestsMax + watchesMax, tolerant: false });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#refuse(CLOSE.protocol, error.message);
      return;
    }
    // All of the frame is read before any of it is acted on.
    const messages = records.map((record) => ({ id: record.id, message: read(record) }));
    const complaint = this.#complaint(messages);
    if (complaint !== undefined) {
      this.#refuse(CLOSE.protocol, complaint);
      return;
    }
    for (const { id, message } of messages) {
      if (message instanceof ConcordError) this.#pushError(id, message);
      else this.#carryOut(message);
    }
  }

  /** What makes a frame as a whole wrong: an answer could not be told from another one. */
  #complaint(
    messages: readonly { readonly id: number; readonly message: ClientMessage | ConcordError }[],
  ): string | undefined {
    const begun = new Set<number>();
    for (const [at, { id, message }] of messages.entries()) {
      const type = message instanceof ConcordError ? "request" : message.type;
      const isHello = type === "hello";
      if (isHello !== (!this.#greeted && at === 0))
        return isHello ? "A hello comes first, and once" : "The first record of a session is not a hello";
      if (isHello) {
        if (id !== 0) return `The hello has the id ${id}, expected 0`;
        continue;
      }
      if (id === 0) return "A request has the id 0, expected one of its own";
      if (type === "cancel" || type === "progress") continue;
      if (begun.has(id) || this.#requests.has(id) || this.#watches.has(id)) return `The id ${id} is in use already`;
      begun.add(id);
    }
    return undefined;
  }

  #carryOut(message: ClientMessage): void {
    switch (message.type) {
      case "hello":
        this.#greet(message.version);
        return;
      case "watch":
        this.#watch(message);
        return;
      case "cancel":
        // What has ended by itself meanwhile needs no answer.
        this.#watches.get(message.id)?.cancel();
        this.#requests.get(message.id)?.abort();
        return;
      case "progress":
        this.#watches.get(message.id)?.progress();
        return;
      case "request":
        this.#answer(message).catch((error: unknown) => this.#fail(error));
        return;
    }
  }

  #greet(version: number): void {
    if (version < PROTOCOL_VERSION) {
      this.#refuse(CLOSE.policy, `The hello has version ${version}, expected at least ${PROTOCOL_VERSION}`);
      return;
    }
    this.#greeted = true;
    const { clusterId, memberId, revision } = this.#services.header();
    const { limits } = this.#options;
    this.#outbox.push({ type: "welcome", id: 0, version: PROTOCOL_VERSION, clusterId, memberId, revision, limits });
  }

  async #answer({ id, request, settings }: RequestMessage): Promise<void> {
    if (this.#ending) {
      this.#pushError(id, new ConcordError("CONCORD_STOPPED"));
      return;
    }
    const { limits, onLimit, version, events } = this.#options;
    if (this.#requests.size >= limits.requestsMax) {
      onLimit("requests");
      const message = `The session has ${limits.requestsMax} requests without an answer, the most it may have`;
      this.#pushError(id, new ConcordError("CONCORD_TOO_MANY_REQUESTS", message));
      return;
    }
    const open = events.begin("session", request.type);
    this.#requests.set(id, undefined);
    const signal = (): AbortSignal => {
      const controller = new AbortController();
      this.#requests.set(id, controller);
      return controller.signal;
    };
    let status = GOOD;
    try {
      const { timeoutMs } = settings;
      if (timeoutMs !== undefined && (timeoutMs < 1 || timeoutMs > TIMEOUT_MAX_MS)) {
        const message = `timeoutMs is ${timeoutMs}, expected 1 to ${TIMEOUT_MAX_MS}`;
        throw new ConcordError("CONCORD_INVALID_ARGUMENT", message);
      }
      const context = { services: this.#services, principal: this.#principal(), version, signal };
      const {
        revision,
        reply,
        replayed = false,
        freshness,
      } = await open.run(() => carryOut(request, settings, context));
      this.#outbox.push({ type: "answer", id, revision, reply, replayed, freshness });
    } catch (error) {
      status = this.#pushError(id, error);
    }
    this.#requests.delete(id);
    open.end(status);
    this.#endIfDone();
  }

  #watch({ id, watch: request }: WatchMessage): void {
    const { limits, onLimit, events } = this.#options;
    if (this.#watches.size >= limits.watchesMax) {
      onLimit("watches");
      const message = `The session has ${limits.watchesMax} watches, the most it may have`;
      this.#pushError(id, new ConcordError("CONCORD_TOO_MANY_REQUESTS", message));
      return;
    }
    const open = events.begin("session", "watch", { kind: "serverStream" });
    try {
      if (this.#ending) throw new ConcordError("CONCORD_STOPPED");
      if (request.key.length === 0) throw new ConcordError("CONCORD_KEY_EMPTY");
      checkLength("key", request.key, KEY_BYTES_MAX + 1);
      checkLength("rangeEnd", request.rangeEnd, KEY_BYTES_MAX + 1);
      const { fragment, ...wanted } = request;
      const opened = this.#services.watch.open(this.#principal(), wanted);
      const watch = new SessionWatch(opened, this.#outbox, {
        id,
        fragment,
        startRevision: request.startRevision,
        revision: () => this.#services.header().revision,
        onEnded: (reason) => this.#watchEnded(id, reason, open),
      });
      this.#watches.set(id, watch);
      watch.run().catch((error: unknown) => this.#fail(error));
    } catch (error) {
      open.end(this.#pushError(id, error));
    }
  }

  #watchEnded(id: number, reason: WatchEnd | undefined, open: OpenRequest): void {
    open.end(reason === "compacted" ? ERROR_TABLE.CONCORD_COMPACTED.http : GOOD);
    this.#watches.delete(id);
    if (reason === "slow") this.#options.onLimit("buffer");
  }

  /** @returns the HTTP status of the error. */
  #pushError(id: number, error: unknown): number {
    if (!ConcordError.is(error)) this.#options.logger.error("Request failed by a bug", { door: "session", error });
    const known = ConcordError.is(error) ? error : new ConcordError("CONCORD_INTERNAL");
    // A store that was never compacted says −1.
    const number = (value: unknown): number => (typeof value === "number" ? Math.max(0, value) : 0);
    const { revision, compactRevision } = known.details;
    const revisions = { revision: number(revision), compactRevision: number(compactRevision) };
    this.#outbox.push({ type: "error", id, code: known.code, message: known.message, ...revisions });
    return ERROR_TABLE[known.code].http;
  }

  /** Pongs wait for nobody: a client that pings and does not read would fill the memory. */
  #pong(data: Buffer): void {
    this.#heard = true;
    if (this.#outbox.bufferedBytes < this.#options.limits.bufferBytesMax) this.#socket.pong(data);
    else this.#socket.terminate();
  }

  /** While the client does not read, it is not listened to either. */
  #regulate(full: boolean): void {
    if (full) this.#socket.pause();
    else this.#socket.resume();
  }

  #checkAlive(): void {
    if (!this.#heard || !this.#greeted) {
      this.#socket.terminate();
      return;
    }
    this.#heard = false;
    this.#socket.ping();
  }

  #endIfDone(): void {
    if (this.#ending && this.#requests.size === 0) this.close();
  }

  #onError(error: Error & { code?: string }): void {
    if (error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") this.#options.onLimit("frame");
    // The library closes the connection with the code that belongs to the error.
    this.#options.logger.debug("Session failed", { reason: error.message });
  }

  #fail(error: unknown): void {
    this.#options.logger.error("Session failed by a bug", { door: "session", error });
    this.#closeWith(CLOSE.internal, new ConcordError("CONCORD_INTERNAL"));
  }

  #refuse(closeCode: number, sentence: string): void {
    this.#closeWith(closeCode, new ConcordError("CONCORD_INVALID_ARGUMENT", sentence));
  }

  /** Says why as an error without a request, for programs, and in the close frame, for people. */
  #closeWith(closeCode: number, error: ConcordError): void {
    if (this.#closed) return;
    this.#pushError(0, error);
    this.#outbox.flush();
    this.#socket.close(closeCode, error.message.slice(0, REASON_BYTES_MAX));
    this.#release();
  }

  #release(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#outbox.close();
    for (const watch of this.#watches.values()) watch.abandon();
    for (const controller of this.#requests.values()) controller?.abort();
  }
}

/** What the record says, or why that cannot be told: then only its own request is refused. */
function read(record: WireRecord): ClientMessage | ConcordError {
  try {
    return readClientMessage(record);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return new ConcordError(error.unknown ? "CONCORD_UNIMPLEMENTED" : "CONCORD_INVALID_ARGUMENT", error.message);
  }
}
