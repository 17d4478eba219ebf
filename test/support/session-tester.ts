import { WebSocket, type ClientOptions } from "ws";
import { decodeServerMessages } from "../../node/client/wire/answers.ts";
import { encodeClientMessages, SUBPROTOCOL } from "../../node/client/wire/requests.ts";
import {
  type AnswerMessage,
  type ClientMessage,
  type ErrorMessage,
  type RequestSettings,
  type ServerMessage,
  type SessionRequest,
  type WatchRequest,
} from "../../node/client/wire/types.ts";

const encoder = new TextEncoder();
export const utf8 = (text: string): Uint8Array => encoder.encode(text);
const NO_BYTES = new Uint8Array(0);

/** Frames as they are, over a WebSocket: no retries, no reconnection, nothing hidden. */
export class SessionTester {
  readonly socket: WebSocket;
  /** Messages that nobody waited for yet. */
  readonly messages: ServerMessage[] = [];
  /** What the server closed the connection with. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  #waiting: (() => void)[] = [];
  #nextId = 1;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data) => {
      this.messages.push(...decodeServerMessages(new Uint8Array(data as Buffer)));
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      socket.once("close", (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#wake();
      });
    });
    socket.on("error", () => undefined);
  }

  /** @param url - of the client port. */
  static async connect(
    url: string,
    options: ClientOptions & { readonly hello?: boolean } = {},
  ): Promise<SessionTester> {
    const { hello = true, ...rest } = options;
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/api/v1/session`, SUBPROTOCOL, {
      perMessageDeflate: false,
      ...rest,
    });
    const tester = new SessionTester(socket);
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    if (!hello) return tester;
    tester.send({ type: "hello", id: 0, version: 1 });
    await tester.take(0, "welcome");
    return tester;
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  id(): number {
    this.#nextId += 1;
    return this.#nextId;
  }

  /** In one frame. */
  send(...messages: readonly ClientMessage[]): void {
    this.sendFrame(encodeClientMessages(messages));
  }

  sendFrame(frame: Uint8Array): void {
    this.socket.send(frame);
  }

  /** The next message with this id and one of these types; others stay. */
  async take<T extends ServerMessage["type"]>(
    id: number,
    ...types: readonly T[]
  ): Promise<Extract<ServerMessage, { readonly type: T }>> {
    for (;;) {
      const at = this.messages.findIndex((each) => each.id === id && (types as readonly string[]).includes(each.type));
      const [found] = at < 0 ? [] : this.messages.splice(at, 1);
      if (found !== undefined) return found as Extract<ServerMessage, { readonly type: T }>;
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error(`The session ended before ${types.join("|")}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  request(request: SessionRequest, settings: RequestSettings = {}): Promise<AnswerMessage | ErrorMessage> {
    const id = this.id();
    this.send({ type: "request", id, request, settings });
    return this.take(id, "answer", "error");
  }

  /** @throws Error when the request was refused. */
  async answer(request: SessionRequest, settings?: RequestSettings): Promise<AnswerMessage> {
    const answer = await this.request(request, settings);
    if (answer.type === "answer") return answer;
    throw new Error(`${request.type} was refused: ${answer.code} ${answer.message}`);
  }

  /** @throws Error when the request was answered. */
  async refusal(request: SessionRequest, settings?: RequestSettings): Promise<ErrorMessage> {
    const answer = await this.request(request, settings);
    if (answer.type === "error") return answer;
    throw new Error(`${request.type} was answered`);
  }

  /** @returns the id of the watch, which has begun. */
  async watch(key: string, options: Partial<WatchRequest> = {}): Promise<number> {
    const id = this.id();
    this.send({ type: "watch", id, watch: watchOf(key, options) });
    await this.take(id, "watching");
    return id;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closed;
  }
}

export function watchOf(key: string, options: Partial<WatchRequest> = {}): WatchRequest {
  const flags = { previous: false, filterPut: false, filterDelete: false, fragment: false };
  return { key: utf8(key), rangeEnd: NO_BYTES, startRevision: 0, ...flags, ...options };
}

export const put = (key: string, value: string | Uint8Array, flags: object = {}) =>
  ({
    type: "put",
    key: utf8(key),
    value: typeof value === "string" ? utf8(value) : value,
    lease: 0n,
    previous: false,
    ignoreValue: false,
    ignoreLease: false,
    ...flags,
  }) as const;

export const get = (key: string, flags: object = {}) =>
  ({
    type: "range",
    key: utf8(key),
    rangeEnd: NO_BYTES,
    limit: 0,
    revision: 0,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...flags,
  }) as const;
