import { type PeerCertificate, TLSSocket } from "node:tls";
import { type Socket } from "node:net";
import { certificateIdentity } from "../security/identity.ts";
import { type CertificateFacts, type ConnectionFacts } from "../service/principal.ts";

/**
 * What the certificates of open connections say, worked out once for each connection: reading a certificate takes longer
 * than answering most requests.
 */
const remembered = new WeakMap<PeerCertificate, CertificateFacts>();

/**
 * Looks at the client certificate of a connection whose handshake is done, before any request on it.
 *
 * @returns Why the connection must end; undefined when it may stay.
 */
export function inspectConnection(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const found = certificateIdentity(certificate);
  if (!found.ok) return found.reason;
  const plain = socket.getPeerCertificate();
  const name: string | string[] | undefined = plain.subject.CN;
  remembered.set(plain, { subject: (Array.isArray(name) ? name[0] : name) ?? "", identity: found.identity });
  // REST asks for it at every request: it gets the same object each time.
  socket.getPeerCertificate = (() => plain) as TLSSocket["getPeerCertificate"];
  return undefined;
}

/** Undefined for a certificate that no inspected connection showed. */
function rememberedCertificate(certificate: PeerCertificate | undefined): CertificateFacts | undefined {
  return certificate === undefined ? undefined : remembered.get(certificate);
}

/** What a door needs to know of a connection. */
export function connectionFacts(socket: Socket): ConnectionFacts {
  const secure = socket instanceof TLSSocket;
  return {
    secure,
    remoteAddress: socket.remoteAddress,
    certificate: secure && socket.authorized ? rememberedCertificate(socket.getPeerCertificate()) : undefined,
  };
}
