import { X509Certificate } from "node:crypto";
import { connect as connectPlain, isIP, type LookupFunction, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { decodeHelloAnswer, encodeHello, type Hello, type HelloAnswer } from "../../codec/handshake.ts";
import { parsePeerUrl, type PeerAddress } from "./address.ts";
import { Connection } from "./connection.ts";
import { type PeerCredentials } from "../credentials.ts";
import { type TransportLimits } from "./limits.ts";
import { type NameResolver } from "./resolver.ts";

/** Told apart from other protocols before the first byte, so that a certificate is of no use across them. */
export const PEER_PROTOCOL = "concord-peer/1";

export interface DialContext {
  readonly limits: TransportLimits;
  readonly credentials: PeerCredentials | undefined;
  readonly resolver: NameResolver;
}

/** Somebody answered. The caller owns the connection. */
export interface Answered {
  readonly connection: Connection;
  readonly answer: HelloAnswer;
  /** The member that the peer's certificate names, where certificates name members. */
  readonly certificateName: string | undefined;
}

/** The peer was reached, but its certificate (or its view of ours) does not fit. */
export class CertificateError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CertificateError";
  }
}

/**
 * Connects to one URL, says `hello` and waits for the answer.
 *
 * @param done Called once, never from within this call.
 * @returns Ends the attempt; `done` is not called then.
 */
export function dial(
  context: DialContext,
  url: string,
  hello: Hello,
  done: (error: Error | undefined, answered: Answered | undefined) => void,
): () => void {
  let socket: Socket | undefined;
  let connection: Connection | undefined;
  let finished = false;
  const settle = (error: Error | undefined, answered?: Answered): void => {
    if (finished) return;
    finished = true;
    clearTimeout(timer);
    if (error === undefined) {
      done(undefined, answered);
      return;
    }
    connection?.destroy(error.message);
    socket?.destroy();
    done(error, undefined);
  };
  const { handshakeTimeoutMs } = context.limits;
  const timer = setTimeout(
    () => settle(new Error(`The peer at ${url} did not finish the handshake within ${handshakeTimeoutMs} ms`)),
    handshakeTimeoutMs,
  );
  const opened = open(context, url, (certificateName, ready) => {
    connection = new Connection(ready, hello.groupId, context.limits, {
      onFrame: (kind, payload) => {
        if (finished || connection === undefined) return;
        if (kind !== "answer") {
          connection.destroy(`the peer sent a ${kind} in place of an answer`);
          return;
        }
        settle(undefined, { connection, answer: decodeHelloAnswer(payload), certificateName });
      },
      onEnd: (reason) => settle(new Error(`No answer to the handshake: ${reason}`)),
    });
    connection.send("hello", [encodeHello(hello)]);
  });
  if (opened instanceof Error) process.nextTick(() => settle(opened));
  else {
    socket = opened;
    socket.on("error", (error: Error) => settle(describe(error)));
    socket.on("close", () => settle(new Error("The connection was closed during the handshake")));
  }
  return () => {
    if (finished) return;
    finished = true;
    clearTimeout(timer);
    connection?.destroy("the attempt was ended");
    socket?.destroy();
  };
}

function open(
  context: DialContext,
  url: string,
  ready: (certificateName: string | undefined, socket: Socket) => void,
): Socket | Error {
  let address: PeerAddress;
  try {
    address = parsePeerUrl(url);
  } catch (error) {
    return error as Error;
  }
  const target = {
    host: address.host,
    port: address.port,
    lookup: lookupWith(context.resolver),
    autoSelectFamily: true,
  };
  if (!address.secure) {
    const socket = connectPlain(target, () => ready(undefined, socket));
    return socket;
  }
  const credentials = context.credentials;
  if (credentials === undefined)
    return new CertificateError(`"${url}" asks for TLS, but no peer certificate is configured`);
  let certificateName: string | undefined;
  const socket = connectTls(
    {
      ...target,
      ...credentials.material(),
      ...(isIP(address.host) === 0 ? { servername: address.host.replace(/\.$/, "") } : {}),
      ALPNProtocols: [PEER_PROTOCOL],
      rejectUnauthorized: true,
      checkServerIdentity: (host, certificate) => {
        const verdict = credentials.judgePeer(new X509Certificate(certificate.raw), "server", host);
        if (!verdict.ok) return new CertificateError(verdict.reason);
        certificateName = verdict.memberName;
        return undefined;
      },
    },
    () => ready(certificateName, socket),
  );
  return socket;
}

function lookupWith(resolver: NameResolver): LookupFunction {
  return (hostname, options, callback) => {
    resolver.resolve(hostname, (error, addresses) => {
      const first = addresses[0];
      if (error !== undefined || first === undefined)
        callback(new Error(`Cannot resolve "${hostname}": ${error?.message ?? "no address"}`), "", 0);
      else if (options.all === true) callback(null, [...addresses]);
      else callback(null, first.address, first.family);
    });
  };
}

/** OpenSSL's verdicts and alerts about certificates, as node:tls spells them. */
const CERTIFICATE_CODE = /CERT|^UNABLE_TO|^ERR_TLS|^ERR_SSL|INVALID_PURPOSE|INVALID_CA/;

function describe(error: Error & { readonly code?: string }): Error {
  // Every address of a name was tried, and each failed in its own way.
  if (error instanceof AggregateError) return new Error(error.errors.map(String).join("; "));
  if (error.code !== undefined && CERTIFICATE_CODE.test(error.code))
    return new CertificateError(`${error.message} (${error.code})`);
  return error;
}
