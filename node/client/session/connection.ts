import { createRequire } from "node:module";
import type * as ws from "ws";
import { ConcordError, isErrorCode } from "../errors.ts";
import { type ClientTls } from "../http-connection.ts";
import { decodeServerMessages } from "../wire/answers.ts";
import { WireWriter } from "../wire/fields.ts";
import { PROTOCOL_VERSION, SESSION_PATH, SUBPROTOCOL, writeClientMessage } from "../wire/requests.ts";
import {
  type AnswerMessage,
  type ClientMessage,
  type ErrorMessage,
  type RequestSettings,
  type ServerMessage,
  type SessionRequest,
  type WatchRequest,
} from "../wire/types.ts";

export interface ConnectionSettings {
  readonly tls: ClientTls | undefined;
  /** For the handshake and the welcome. */
  readonly connectTimeoutMs: number;
  /** A connection on which nothing comes for as long is given up; members ping every 15 s. */
  readonly silenceMs: number;
}

type Welcome = Extract<ServerMessage, { readonly type: "welcome" }>;
/** Undefined: the connection ended first. */
export type RequestOutcome = AnswerMessage | ErrorMessage | undefined;
export type WatchMessage = Extract<
  ServerMessage,
  { readonly type: "watching" | "changes" | "progress" | "ended" | "error" }
>;

interface HeldRequest {
  readonly message: Extract<ClientMessage, { readonly type: "request" }>;
  readonly resolve: (outcome: RequestOutcome) => void;
}

/** Largest frame of a server: rows of 64 MiB, and what is around them. */
const FRAME_BYTES_MAX = 256 * 1024 * 1024;
/** Requests of one turn go into one frame up to about this size. */
const BATCH_BYTES = 128 * 1024;
const REFUSAL_BYTES_MAX = 16 * 1024;

/** One session at one member. It ends once, and never comes back: see SessionLink. */
export class SessionConnection {
  readonly url: string;
  readonly welcome: Welcome;
  /** Resolves with the reason when it ends. */
  readonly ended: Promise<ConcordError>;
  readonly #socket: ws.WebSocket;
  readonly #requests = new Map<number, (outcome: RequestOutcome) => void>();
  /** Beyond what the member takes at a time. */
  readonly #held: HeldRequest[] = [];
  readonly #watches = new Map<number, (message: WatchMessage | undefined) => void>();
  readonly #silence: NodeJS.Timeout;
  #outbox: ClientMessage[] = [];
  #heard = true;
  #nextId = 1;
  #reason: ConcordError | undefined;
  #onEnded: (reason: ConcordError) => void = () => undefined;

  private constructor(url: string, socket: ws.WebSocket, welcome: Welcome, silenceMs: number) {
    this.url = url;
    this.welcome = welcome;
    this.#socket = socket;
    this.ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    socket.on("message", (data) => this.#receive(data as Buffer));
    socket.on("ping", () => (this.#heard = true));
    socket.on("error", (error) => this.#end(unreachable(url, error)));
    socket.on("close", (code, reason) => this.#end(unreachable(url, new Error(closeText(code, reason.toString())))));
    this.#silence = setInterval(() => {
      if (!this.#heard) this.#end(unreachable(url, new Error("it has been silent for too long")));
      this.#heard = false;
    }, silenceMs).unref();
  }

  /**
   * @param url - `http(s)://host:port` of a member's client address.
   * @throws ConcordError `CONCORD_UNREACHABLE`, or what the member refuses the session with.
   */
  static async open(url: string, settings: ConnectionSettings): Promise<SessionConnection> {
    // Loaded when it is first needed: a member that serves never is a client.
    const { WebSocket } = createRequire(import.meta.url)("ws") as typeof ws;
    const { ca, cert, key, serverName } = settings.tls ?? {};
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}${SESSION_PATH}`, SUBPROTOCOL, {
      perMessageDeflate: false,
      handshakeTimeout: settings.connectTimeoutMs,
      maxPayload: FRAME_BYTES_MAX,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { servername: serverName }),
    });
    const welcome = await greeted(url, socket, settings.connectTimeoutMs);
    return new SessionConnection(url, socket, welcome, settings.silenceMs);
  }

  get open(): boolean {
    return this.#reason === undefined;
  }

  request(
    request: SessionRequest,
    settings: RequestSettings,
  ): { readonly id: number; readonly outcome: Promise<RequestOutcome> } {
    const id = this.#id();
    const message = { type: "request", id, request, settings } as const;
    const outcome = new Promise<RequestOutcome>((resolve) => {
      if (!this.open) resolve(undefined);
      else if (this.#requests.size < this.welcome.limits.requestsMax) this.#begin({ message, resolve });
      else this.#held.push({ message, resolve });
    });
    return { id, outcome };
  }

  #begin({ message, resolve }: HeldRequest): void {
    this.#requests.set(message.id, resolve);
    this.#send(message);
  }

  /** @param listener - told of every message of the watch; undefined when the session ended, and then no more. */
  watch(watch: WatchRequest, listener: (message: WatchMessage | undefined) => void): number {
    const id = this.#id();
    if (this.open) this.#watches.set(id, listener);
    else queueMicrotask(() => listener(undefined));
    this.#send({ type: "watch", id, watch });
    return id;
  }

  cancel(id: number): void {
    this.#send({ type: "cancel", id });
  }

  /** Ends it as from the other side. */
  close(reason: ConcordError): void {
    this.#end(reason);
  }

  #id(): number {
    this.#nextId += 1;
    return this.#nextId;
  }

  /** What is said in one turn goes into one frame. */
  #send(message: ClientMessage): void {
    if (!this.open) return;
    this.#outbox.push(message);
    if (this.#outbox.length === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const messages = this.#outbox;
    this.#outbox = [];
    const { frameBytesMax, requestsMax } = this.welcome.limits;
    let writer = new WireWriter();
    let records = 0;
    for (const message of messages) {
      const one = new WireWriter();
      try {
        writeClientMessage(one, message);
        if (one.length > frameBytesMax) throw new ConcordError("CONCORD_REQUEST_TOO_LARGE");
      } catch (error) {
        this.#refuse(message.id, error);
        continue;
      }
      if (
        records > 0 &&
        (writer.length + one.length > Math.min(BATCH_BYTES, frameBytesMax) || records >= requestsMax)
      ) {
        this.#socket.send(writer.finish());
        writer = new WireWriter();
        records = 0;
      }
      writer.append(one);
      records += 1;
    }
    if (records > 0 && this.open) this.#socket.send(writer.finish());
  }

  /** A message that has no form on the wire is refused here, as the member would do it. */
  #refuse(id: number, error: unknown): void {
    const known = ConcordError.is(error)
      ? error
      : new ConcordError("CONCORD_INVALID_ARGUMENT", error instanceof Error ? error.message : String(error));
    const { code, message } = known;
    this.#dispatch({ type: "error", id, code, message, revision: 0, compactRevision: 0 });
  }

  #receive(frame: Buffer): void {
    this.#heard = true;
    let messages: readonly ServerMessage[];
    try {
      messages = decodeServerMessages(new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength));
    } catch (error) {
      this.#end(unreachable(this.url, error));
      return;
    }
    for (const message of messages) this.#dispatch(message);
  }

  #dispatch(message: ServerMessage): void {
    if (message.id === 0) {
      if (message.type === "error") this.#end(errorOf(message));
      return;
    }
    if (message.type === "answer" || message.type === "error") {
      const resolve = this.#requests.get(message.id);
      this.#requests.delete(message.id);
      resolve?.(message);
      const held = resolve === undefined ? undefined : this.#held.shift();
      if (held !== undefined) this.#begin(held);
    }
    if (message.type === "answer" || message.type === "welcome") return;
    const listener = this.#watches.get(message.id);
    if (message.type === "ended" || message.type === "error") this.#watches.delete(message.id);
    listener?.(message);
  }

  #end(reason: ConcordError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    clearInterval(this.#silence);
    this.#outbox = [];
    this.#socket.terminate();
    for (const resolve of this.#requests.values()) resolve(undefined);
    for (const { resolve } of this.#held) resolve(undefined);
    this.#requests.clear();
    for (const listener of this.#watches.values()) listener(undefined);
    this.#watches.clear();
    this.#onEnded(reason);
  }
}

/** The error that a member answered with. */
export function errorOf({ code, message, revision, compactRevision }: ErrorMessage): ConcordError {
  return new ConcordError(code, message, { details: { revision, compactRevision } });
}

function greeted(url: string, socket: ws.WebSocket, timeoutMs: number): Promise<Welcome> {
  return new Promise((resolve, reject) => {
    const fail = (error: ConcordError): void => {
      stop();
      socket.on("error", () => undefined);
      socket.terminate();
      reject(error);
    };
    const timer = setTimeout(() => fail(unreachable(url, new Error("it does not greet"))), timeoutMs);
    const onOpen = (): void => {
      const writer = new WireWriter();
      writeClientMessage(writer, { type: "hello", id: 0, version: PROTOCOL_VERSION });
      socket.send(writer.finish());
    };
    const onMessage = (data: unknown): void => {
      let message: ServerMessage | undefined;
      try {
        message = decodeServerMessages(new Uint8Array(data as Buffer))[0];
      } catch (error) {
        fail(unreachable(url, error));
        return;
      }
      if (message?.type === "error") fail(errorOf(message));
      else if (message?.type !== "welcome") fail(unreachable(url, new Error("it does not greet")));
      else {
        stop();
        resolve(message);
      }
    };
    const onError = (error: Error): void => fail(unreachable(url, error));
    const onClose = (code: number, reason: Buffer): void =>
      fail(unreachable(url, new Error(closeText(code, reason.toString()))));
    const onResponse = (_request: unknown, response: NodeJS.ReadableStream & { statusCode?: number }): void => {
      void refusalOf(url, response).then(fail);
    };
    const stop = (): void => {
      clearTimeout(timer);
      socket.off("open", onOpen).off("message", onMessage).off("error", onError).off("close", onClose);
      socket.off("unexpected-response", onResponse);
    };
    socket.on("open", onOpen).on("message", onMessage).on("error", onError).on("close", onClose);
    socket.on("unexpected-response", onResponse);
  });
}

/** What a member says in HTTP instead of opening the session. */
async function refusalOf(
  url: string,
  response: NodeJS.ReadableStream & { readonly statusCode?: number },
): Promise<ConcordError> {
  let body = "";
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      body += chunk.toString("utf8");
      if (body.length > REFUSAL_BYTES_MAX) break;
    }
    const { code, detail } = JSON.parse(body) as { readonly code?: unknown; readonly detail?: unknown };
    if (isErrorCode(code)) return new ConcordError(code, typeof detail === "string" ? detail : undefined);
  } catch {
    // Not a Concord door: a proxy between, or another program on this port.
  }
  return unreachable(url, new Error(`HTTP status ${response.statusCode ?? 0} instead of a session`));
}

function unreachable(url: string, cause: unknown): ConcordError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new ConcordError("CONCORD_UNREACHABLE", `${url} does not answer: ${message}`, { cause });
}

function closeText(code: number, reason: string): string {
  return reason === "" ? `the connection ended (${code})` : `${reason} (${code})`;
}
