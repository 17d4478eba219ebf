import { type Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { ConcordError } from "../../client/errors.ts";
import { SESSION_PATH, SUBPROTOCOL } from "../../client/wire/requests.ts";
import { type Exchange } from "../http/exchange.ts";
import { connectionFacts } from "../connection.ts";
import { Session, SESSION_LIMITS, type SessionLimit, type SessionOptions } from "./session.ts";

export interface SessionDoorOptions extends Omit<SessionOptions, "onLimit"> {
  /** At a time; further ones are refused. */
  readonly sessionsMax: number;
}

/** The numbers of all sessions together. */
export interface SessionNumbers {
  readonly sessions: number;
  readonly requests: number;
  readonly watches: number;
  readonly bufferedBytes: number;
  /** How often a session came up against a limit since the start, by the limit's name. */
  readonly limitHits: Readonly<Record<SessionLimit, number>>;
}

const WEBSOCKET_VERSION = "13";
const LOOK_PERIOD_MS = 5;

export function isSessionPath(path: string): boolean {
  return path === SESSION_PATH;
}

/** The native protocol over WebSocket, described in PROTOCOL.md; on connections that began as HTTP/1.1. */
export class SessionDoor {
  readonly #server: WebSocketServer;
  readonly #options: SessionDoorOptions;
  readonly #sessions = new Set<Session>();
  readonly #limitHits = Object.fromEntries(SESSION_LIMITS.map((limit) => [limit, 0])) as Record<SessionLimit, number>;

  constructor(options: SessionDoorOptions) {
    this.#options = options;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // What is small when compressed may be anything.
      perMessageDeflate: false,
      maxPayload: options.limits.frameBytesMax,
      autoPong: false,
      handleProtocols: () => SUBPROTOCOL,
    });
  }

  /** @throws ConcordError when the request cannot become a session; nothing was written to the connection then. */
  open(exchange: Exchange, socket: Duplex, head: Buffer): void {
    if (exchange.method !== "GET") throw exchange.methodNotAllowed(["GET"]);
    exchange.query();
    const { headers } = exchange.request;
    if (headers.origin !== undefined)
      throw new ConcordError("CONCORD_PERMISSION_DENIED", "Web pages may not open sessions");
    if (headers["sec-websocket-version"] !== WEBSOCKET_VERSION) {
      exchange.response.setHeader("sec-websocket-version", WEBSOCKET_VERSION);
      throw new ConcordError("CONCORD_UPGRADE_REQUIRED", `Expected Sec-WebSocket-Version ${WEBSOCKET_VERSION}`);
    }
    if (!/^[+/0-9A-Za-z]{22}==$/.test(headers["sec-websocket-key"] ?? ""))
      throw new ConcordError("CONCORD_INVALID_ARGUMENT", "Sec-WebSocket-Key is missing or not 16 bytes in base64");
    const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((each) => each.trim());
    if (!offered.includes(SUBPROTOCOL))
      throw new ConcordError("CONCORD_INVALID_ARGUMENT", `Expected Sec-WebSocket-Protocol ${SUBPROTOCOL}`);
    if (this.#sessions.size >= this.#options.sessionsMax) {
      this.#limitHits.sessions += 1;
      throw new ConcordError("CONCORD_TOO_MANY_REQUESTS", `There are ${this.#options.sessionsMax} sessions already`);
    }
    exchange.response.detachSocket(exchange.request.socket);
    this.#server.handleUpgrade(exchange.request, socket, head, (webSocket) => this.#begin(exchange, webSocket));
  }

  numbers(): SessionNumbers {
    const sum = (value: (session: Session) => number): number =>
      [...this.#sessions].reduce((total, session) => total + value(session), 0);
    return {
      sessions: this.#sessions.size,
      requests: sum((session) => session.requestCount),
      watches: sum((session) => session.watchCount),
      bufferedBytes: sum((session) => session.bufferedBytes),
      limitHits: { ...this.#limitHits },
    };
  }

  /** Takes no further requests, answers those under way for at most `graceMs`, then ends all sessions. */
  async close(graceMs: number): Promise<void> {
    for (const session of this.#sessions) session.end();
    for (let waited = 0; this.numbers().requests > 0 && waited < graceMs; waited += LOOK_PERIOD_MS)
      await new Promise((resolve) => setTimeout(resolve, LOOK_PERIOD_MS));
    for (const session of this.#sessions) session.close();
  }

  #begin({ request, services }: Exchange, socket: WebSocket): void {
    const principal = (): ReturnType<typeof services.principalOf> =>
      services.principalOf(connectionFacts(request.socket));
    const onLimit = (limit: SessionLimit): void => void (this.#limitHits[limit] += 1);
    const session = new Session(socket, services, principal, { ...this.#options, onLimit });
    this.#sessions.add(session);
    socket.once("close", () => this.#sessions.delete(session));
  }
}
