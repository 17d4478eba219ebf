import { type X509Certificate } from "node:crypto";
import { parseAlternativeNames } from "../client/pki.ts";

/** What a certificate of this cluster's authorities names its owner. */
export type CertificateIdentity =
  | { readonly type: "member"; readonly clusterUid: string; readonly name: string }
  | { readonly type: "role"; readonly clusterUid: string; readonly role: "admin" };

/**
 * Names of clusters and members in URIs: RFC 3986's unreserved characters alone. There is nothing to decode, so two
 * spellings of one name cannot exist.
 */
const MEMBER = /^concord:\/\/([A-Za-z0-9-]{1,64})\/member\/([A-Za-z0-9._~-]{1,253})$/;
const ADMIN = /^concord:\/\/([A-Za-z0-9-]{1,64})\/role\/admin$/;
const SCHEME = /^concord:/i;

/**
 * Who owns a certificate, by its URI subject alternative name: `concord://<cluster-uid>/member/<name>` or
 * `concord://<cluster-uid>/role/admin`, exactly. The certificate's chain must have been verified.
 *
 * @returns The identity; undefined where the certificate has no `concord:` URI; an error where it has one that does not
 * read so, or several: a certificate is of one owner.
 */
export function certificateIdentity(
  certificate: Pick<X509Certificate, "subjectAltName">,
):
  | { readonly ok: true; readonly identity: CertificateIdentity | undefined }
  | { readonly ok: false; readonly reason: string } {
  const uris = parseAlternativeNames(certificate.subjectAltName ?? "")
    .filter((name) => name.type === "URI" && SCHEME.test(name.value))
    .map((name) => name.value);
  const [uri] = uris;
  if (uri === undefined) return { ok: true, identity: undefined };
  if (uris.length > 1) return { ok: false, reason: `the certificate names ${uris.length} owners, wanted one` };
  const identity = parseIdentity(uri);
  if (identity === undefined)
    return { ok: false, reason: `the certificate names no member or role: ${JSON.stringify(uri.slice(0, 512))}` };
  return { ok: true, identity };
}

/** The URI that names a member in its peer certificate. */
export function memberUri(clusterUid: string, name: string): string {
  return `concord://${clusterUid}/member/${name}`;
}

/** The URI that makes a client certificate an administrator's. */
export function adminUri(clusterUid: string): string {
  return `concord://${clusterUid}/role/admin`;
}

function parseIdentity(uri: string): CertificateIdentity | undefined {
  const [, memberCluster, name] = MEMBER.exec(uri) ?? [];
  if (memberCluster !== undefined && name !== undefined) return { type: "member", clusterUid: memberCluster, name };
  const [, adminCluster] = ADMIN.exec(uri) ?? [];
  return adminCluster === undefined ? undefined : { type: "role", clusterUid: adminCluster, role: "admin" };
}
