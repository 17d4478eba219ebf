import { type AddressInfo, createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { ConcordError } from "../client/errors.ts";
import { type ListenAddress } from "../config/values.ts";
import { type Logger } from "../observability/log.ts";
import { type TlsSource } from "../security/tls.ts";
import { inspectConnection } from "./connection.ts";

export interface PortOptions {
  readonly address: ListenAddress;
  /** Required when the address is secure. */
  readonly tls: TlsSource | undefined;
  /** Clients without a certificate of the trusted CA are refused in the handshake. */
  readonly requireCertificate: boolean;
  readonly maxConnections: number;
  readonly logger: Logger;
  /** Takes connections that speak HTTP/2. Undefined: this port has none. */
  readonly http2: ((socket: Socket) => void) | undefined;
  /** Takes connections that speak HTTP/1.1. */
  readonly http1: (socket: Socket) => void;
}

/** For the handshake and, without TLS, the first bytes. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** What every HTTP/2 connection begins with (RFC 9113, section 3.4); three bytes tell it from any HTTP/1.1 method here. */
const PREFACE = Buffer.from("PRI");

/**
 * One listener for everything a client speaks. With TLS the protocol comes from ALPN (`http/1.1` is preferred, so that
 * curl and browsers get it; gRPC clients offer `h2` alone), without TLS from the first bytes.
 */
export class Port {
  readonly #options: PortOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Accepted, and not yet known to speak either protocol. */
  readonly #undecided = new Set<Socket>();
  readonly #detach: () => void;

  constructor(options: PortOptions) {
    this.#options = options;
    if (options.address.secure) {
      const tls = requireTls(options.tls);
      const server = createTlsServer({
        ...tls.material(),
        ALPNProtocols: options.http2 === undefined ? ["http/1.1"] : ["http/1.1", "h2"],
        requestCert: options.requireCertificate,
        rejectUnauthorized: options.requireCertificate,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      });
      this.#detach = tls.attach(server);
      server.on("secureConnection", (socket) => this.#acceptSecure(socket));
      server.on("tlsClientError", (error, socket) => {
        options.logger.debug("TLS handshake failed", { remoteAddress: socket.remoteAddress, reason: error.message });
        socket.destroy();
      });
      this.#server = server;
    } else {
      this.#detach = () => undefined;
      // A client that closes its half early still wants its answer.
      this.#server = createPlainServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#acceptPlain(socket));
    }
    this.#server.maxConnections = options.maxConnections;
    this.#server.on("connection", (socket: Socket) => this.#track(socket));
    this.#server.on("drop", (data) => {
      options.logger.warn("Connection refused: too many connections", { remoteAddress: data?.remoteAddress });
    });
  }

  /** @returns The URL it listens on, with the real port when 0 was asked for. */
  async listen(): Promise<string> {
    const { address } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const fail = (cause: Error): void => {
        reject(
          new ConcordError(
            "CONCORD_CONFIGURATION_INVALID",
            `Cannot listen on ${address.host}:${address.port}: ${cause.message}`,
            { cause },
          ),
        );
      };
      this.#server.once("error", fail);
      this.#server.listen({ host: address.host, port: address.port }, () => {
        this.#server.off("error", fail);
        this.#server.on("error", (error) => {
          this.#options.logger.error("Listener failed", { reason: error.message });
        });
        resolve();
      });
    });
    const { port } = this.#server.address() as AddressInfo;
    const host = address.host.includes(":") ? `[${address.host}]` : address.host;
    return `${address.secure ? "https" : "http"}://${host}:${port}`;
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Takes no new connection. What is open stays until `destroyConnections`. */
  stopListening(): void {
    this.#detach();
    if (this.#server.listening) this.#server.close();
  }

  /**
   * Resolves when every connection that was accepted has gone to its protocol, or after `maxMs`. What is handed over later
   * than the end of its protocol would never be told of it.
   */
  async decided(maxMs: number): Promise<void> {
    await emptied(this.#undecided, maxMs);
  }

  /**
   * Ends what is left. Clients that were told to go get `lingerMs` to do so: a connection that is destroyed with bytes
   * unread is a reset for the other side, which then cannot know what became of its request.
   */
  async destroyConnections(lingerMs: number): Promise<void> {
    await emptied(this.#sockets, lingerMs);
    for (const socket of this.#sockets) socket.destroy();
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    // Whoever takes the connection over adds its own handlers; until then, and after, a reset must not end the process.
    socket.on("error", () => undefined);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #acceptSecure(socket: TLSSocket): void {
    socket.on("error", () => undefined);
    const reason = inspectConnection(socket);
    if (reason !== undefined) {
      this.#options.logger.warn("Connection refused: client certificate", {
        remoteAddress: socket.remoteAddress,
        reason,
      });
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    if (socket.alpnProtocol === "h2" && this.#options.http2 !== undefined) this.#options.http2(socket);
    else this.#options.http1(socket);
  }

  #acceptPlain(socket: Socket): void {
    this.#undecided.add(socket);
    const giveUp = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS);
    giveUp.unref();
    let head = Buffer.alloc(0);
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      head = Buffer.concat([head, chunk]);
      const length = Math.min(head.length, PREFACE.length);
      const mayBePreface = head.subarray(0, length).equals(PREFACE.subarray(0, length));
      if (mayBePreface && length < PREFACE.length) return;
      stop();
      socket.unshift(head);
      const takes = mayBePreface && this.#options.http2 !== undefined ? this.#options.http2 : this.#options.http1;
      takes(socket);
    };
    const abandon = (): void => {
      stop();
      socket.destroy();
    };
    const stop = (): void => {
      this.#undecided.delete(socket);
      clearTimeout(giveUp);
      socket.off("readable", look).off("end", abandon).off("close", stop);
    };
    socket.on("readable", look).once("end", abandon).once("close", stop);
  }
}

const LOOK_PERIOD_MS = 5;

async function emptied(sockets: ReadonlySet<Socket>, maxMs: number): Promise<void> {
  for (let waited = 0; sockets.size > 0 && waited < maxMs; waited += LOOK_PERIOD_MS)
    await new Promise((resolve) => setTimeout(resolve, LOOK_PERIOD_MS));
}

function requireTls(tls: TlsSource | undefined): TlsSource {
  if (tls !== undefined) return tls;
  throw new ConcordError("CONCORD_CONFIGURATION_INVALID", "An https address needs a certificate");
}
