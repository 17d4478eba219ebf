import { type CertificateIdentity } from "../security/identity.ts";

/** Who asks, as the connection proved it. */
export type Principal =
  /** A client certificate with the URI SAN `concord://<cluster-uid>/role/admin` of this cluster. */
  | { readonly kind: "admin"; readonly name: string }
  /** Any other certificate of the client CA. */
  | { readonly kind: "client"; readonly name: string }
  /** No certificate: TLS is off, or certificates are not asked for. `local`: from this machine, without TLS. */
  | { readonly kind: "anonymous"; readonly local: boolean };

/** What a door knows of a connection. */
export interface ConnectionFacts {
  readonly secure: boolean;
  readonly remoteAddress: string | undefined;
  /** The verified client certificate; undefined when none was shown or the CA did not vouch for it. */
  readonly certificate: CertificateFacts | undefined;
}

export interface CertificateFacts {
  readonly subject: string;
  /** Whom its `concord:` URI names, if it has one. */
  readonly identity: CertificateIdentity | undefined;
}

/**
 * @param clusterUid - of the cluster this member belongs to or waits for. A certificate of another cluster's admin is a
 * client here, even when both clusters share a CA.
 */
export function principalOf(facts: ConnectionFacts, clusterUid: string): Principal {
  const { certificate } = facts;
  if (certificate === undefined) {
    return { kind: "anonymous", local: !facts.secure && isLoopback(facts.remoteAddress) };
  }
  const { identity } = certificate;
  const isAdmin = identity?.type === "role" && clusterUid !== "" && identity.clusterUid === clusterUid;
  return { kind: isAdmin ? "admin" : "client", name: certificate.subject };
}

function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  return plain === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}
