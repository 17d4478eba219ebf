import { createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import { decodeHello, encodeHelloAnswer, type Hello, type HelloAnswer } from "../../codec/handshake.ts";
import { ConcordError } from "../../client/errors.ts";
import { type TransportLogger } from "../logger.ts";
import { formatPeerUrl, parsePeerUrl, type PeerAddress } from "./address.ts";
import { Connection } from "./connection.ts";
import { type PeerCredentials } from "../credentials.ts";
import { PEER_PROTOCOL } from "./dial.ts";
import { type FrameKind } from "./frame.ts";
import { type TransportLimits } from "./limits.ts";

export interface ListenerContext {
  readonly limits: TransportLimits;
  readonly credentials: PeerCredentials | undefined;
  readonly logger: TransportLogger;
  readonly groupId: number;
}

export interface ListenerEvents {
  /** Decides about a hello. `certificateName`: the member that the peer's certificate names, where they name members. */
  onHello(hello: Hello, certificateName: string | undefined): HelloAnswer;
  /** The hello was accepted, the answer is on its way. The receiver calls `becomeSession` at once. */
  onSession(hello: Hello, connection: Connection): void;
}

/** Peers whose last refusal is remembered, so that it is logged once and not at each of their attempts. */
const REFUSALS_REMEMBERED_MAX = 256;

/** One listen URL: accepts connections, verifies who is there, and hands on those that became sessions. */
export class Listener {
  readonly #context: ListenerContext;
  readonly #events: ListenerEvents;
  readonly #address: PeerAddress;
  readonly #server: Server;
  /** Every open connection without a session, oldest first, by the addresses of its ends. */
  readonly #pending = new Map<string, { readonly socket: Socket; readonly timer: NodeJS.Timeout }>();
  readonly #refusals = new Map<string, string>();
  #closed = false;
  #material: unknown;

  /** @throws ConcordError `CONCORD_CONFIGURATION_INVALID` for a malformed URL, or `https` without a certificate. */
  constructor(context: ListenerContext, url: string, events: ListenerEvents) {
    this.#context = context;
    this.#events = events;
    this.#address = parsePeerUrl(url);
    const { credentials } = context;
    if (this.#address.secure && credentials === undefined)
      throw new ConcordError(
        "CONCORD_CONFIGURATION_INVALID",
        `Cannot listen at "${url}": TLS needs a peer certificate, and none is configured`,
      );
    this.#server =
      this.#address.secure && credentials !== undefined ? this.#createTls(credentials) : this.#createPlain();
    // Later errors (out of file descriptors) concern single connections; the server goes on.
    this.#server.on("error", (error) =>
      this.#context.logger.warn("Peer listener failed", { url, error: error.message }),
    );
  }

  /** The URL with the port that was bound. */
  get url(): string {
    const bound = this.#server.address();
    return formatPeerUrl({
      ...this.#address,
      port: bound !== null && typeof bound === "object" ? bound.port : this.#address.port,
    });
  }

  listen(done: (error: Error | undefined) => void): void {
    const { host, port } = this.#address;
    const onError = (cause: Error): void => {
      const message = `Cannot listen for peers at "${formatPeerUrl(this.#address)}": ${cause.message}`;
      done(new ConcordError("CONCORD_CONFIGURATION_INVALID", message, { cause }));
    };
    this.#server.once("error", onError);
    this.#server.listen({ host, port }, () => {
      this.#server.off("error", onError);
      done(undefined);
    });
  }

  /** Stops accepting and ends what has not become a session. */
  close(done: () => void): void {
    this.#closed = true;
    if (this.#server.listening) this.#server.close(() => done());
    else process.nextTick(done);
    for (const { socket } of this.#pending.values()) socket.destroy();
  }

  #createPlain(): Server {
    return createPlainServer((socket) => {
      if (this.#admitPending(socket)) this.#handshake(socket, undefined, undefined);
    });
  }

  #createTls(credentials: PeerCredentials): TlsServer {
    const material = credentials.material();
    this.#material = material;
    const server = createTlsServer({
      ...material,
      requestCert: true,
      // Verified all the same, in `#judge`: a peer that does not fit is told why before it is turned away.
      rejectUnauthorized: false,
      ALPNProtocols: [PEER_PROTOCOL],
      handshakeTimeout: this.#context.limits.handshakeTimeoutMs,
    });
    server.prependListener("connection", (socket: Socket) => {
      if (!this.#admitPending(socket)) return;
      const present = credentials.material();
      if (present === this.#material) return;
      this.#material = present;
      server.setSecureContext(present);
    });
    server.on("tlsClientError", (error, socket) => {
      this.#context.logger.debug("TLS handshake of a peer failed", { reason: error.message });
      socket.destroy();
    });
    server.on("secureConnection", (socket) => this.#judge(socket, credentials));
    return server;
  }

  /** Bounds connections without a handshake in number and time. The oldest gives way: an honest one takes milliseconds. */
  #admitPending(socket: Socket): boolean {
    socket.on("error", () => undefined);
    const key = endsOf(socket);
    if (this.#closed || key === undefined) {
      socket.destroy();
      return false;
    }
    const timer = setTimeout(() => socket.destroy(), this.#context.limits.handshakeTimeoutMs);
    this.#pending.set(key, { socket, timer });
    socket.once("close", () => this.#settlePending(key, socket));
    if (this.#pending.size > this.#context.limits.pendingHandshakesMax) {
      const [oldest] = this.#pending;
      oldest?.[1].socket.destroy();
      if (oldest !== undefined) this.#settlePending(oldest[0], oldest[1].socket);
    }
    return true;
  }

  #settlePending(key: string, socket?: Socket): boolean {
    const entry = this.#pending.get(key);
    if (entry === undefined || (socket !== undefined && entry.socket !== socket)) return false;
    clearTimeout(entry.timer);
    return this.#pending.delete(key);
  }

  #judge(socket: TLSSocket, credentials: PeerCredentials): void {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) {
      this.#handshake(socket, undefined, "a client certificate is required");
      return;
    }
    // The types promise an Error; it is the text of its code.
    if (!socket.authorized) {
      this.#handshake(socket, undefined, `the certificate was not accepted: ${String(socket.authorizationError)}`);
      return;
    }
    const verdict = credentials.judgePeer(certificate, "client", "");
    if (verdict.ok) this.#handshake(socket, verdict.memberName, undefined);
    else this.#handshake(socket, undefined, verdict.reason);
  }

  #handshake(socket: Socket, certificateName: string | undefined, rejection: string | undefined): void {
    const key = endsOf(socket);
    const connection: Connection = new Connection(socket, this.#context.groupId, this.#context.limits, {
      onFrame: (kind, payload) => {
        const { hello, answer } = this.#answer(kind, payload, certificateName, rejection);
        connection.send("answer", [encodeHelloAnswer(answer)]);
        if (answer.type === "accepted" && hello !== undefined && key !== undefined && this.#settlePending(key)) {
          this.#events.onSession(hello, connection);
          return;
        }
        this.#refuse(connection, hello, answer);
      },
      onEnd: () => undefined,
    });
    if (key === undefined) connection.destroy("the peer is gone");
  }

  #answer(
    kind: FrameKind,
    payload: Uint8Array,
    certificateName: string | undefined,
    rejection: string | undefined,
  ): { readonly hello: Hello | undefined; readonly answer: HelloAnswer } {
    if (rejection !== undefined) return { hello: undefined, answer: { type: "refused", reason: rejection } };
    if (kind !== "hello")
      return { hello: undefined, answer: { type: "refused", reason: `a ${kind} came in place of a hello` } };
    try {
      const hello = decodeHello(payload);
      return { hello, answer: this.#events.onHello(hello, certificateName) };
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "CodecError") throw error;
      return { hello: undefined, answer: { type: "refused", reason: error.message } };
    }
  }

  /** The pending entry stays until the socket has closed, so that lingering connections count. */
  #refuse(connection: Connection, hello: Hello | undefined, answer: HelloAnswer): void {
    if (answer.type === "refused") this.#logRefusal(hello?.from.name ?? "", connection.remote, answer.reason);
    connection.finish("answered");
  }

  #logRefusal(from: string, remote: string, reason: string): void {
    const peer = `${from} ${remote.slice(0, remote.lastIndexOf(":"))}`;
    const known = this.#refusals.get(peer) === reason;
    if (!known && this.#refusals.size >= REFUSALS_REMEMBERED_MAX) this.#refusals.clear();
    this.#refusals.set(peer, reason);
    this.#context.logger[known ? "debug" : "info"]("Refused a peer", { from, remote, reason });
  }
}

/** Names a connection on both of its sockets, the plain one and the TLS one around it. */
function endsOf(socket: Socket): string | undefined {
  if (socket.remoteAddress === undefined) return undefined;
  return `${socket.remoteAddress}|${socket.remotePort ?? 0}|${socket.localAddress ?? ""}|${socket.localPort ?? 0}`;
}
