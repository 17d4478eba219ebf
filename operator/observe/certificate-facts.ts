import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { certificateInfo, splitBundle } from "../../node/client/pki.ts";
import { type CertificateFacts } from "../plan/observed.ts";

/** The public key of an authority and its fingerprint. */
export interface AuthorityKey {
  readonly publicKey: KeyObject;
  readonly fingerprint: string;
}

const CERTIFICATE_SUFFIX = ".crt";

/**
 * Facts about the PEM certificates among the values of a Secret. A value that does not parse is left out.
 *
 * @param data decoded values by key
 * @param authorities keys that may have signed them
 */
export function certificateFactsOf(
  data: ReadonlyMap<string, string>,
  authorities: readonly AuthorityKey[],
): Record<string, CertificateFacts> {
  const facts: Record<string, CertificateFacts> = {};
  for (const [key, value] of data) {
    if (!key.endsWith(CERTIFICATE_SUFFIX)) continue;
    const privateKey = data.get(`${key.slice(0, -CERTIFICATE_SUFFIX.length)}.key`);
    const parsed = factsOf(value, privateKey, authorities);
    if (parsed !== undefined) facts[key] = parsed;
  }
  return facts;
}

/** The key of the first certificate in a PEM text, or undefined. */
export function authorityKeyOf(pem: string | undefined): AuthorityKey | undefined {
  const certificate = parse(pem ?? "")?.[0];
  if (certificate === undefined) return undefined;
  return { publicKey: certificate.publicKey, fingerprint: publicKeyFingerprint(certificate) };
}

function factsOf(
  pem: string,
  privateKey: string | undefined,
  authorities: readonly AuthorityKey[],
): CertificateFacts | undefined {
  const chain = parse(pem);
  const certificate = chain?.[0];
  if (chain === undefined || certificate === undefined) return undefined;
  const info = certificateInfo(certificate);
  return {
    notBefore: info.notBefore.getTime(),
    notAfter: info.notAfter.getTime(),
    commonName: /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? "",
    dnsNames: info.dnsNames,
    ipAddresses: info.ipAddresses,
    uris: info.uris,
    publicKeyFingerprint: publicKeyFingerprint(certificate),
    keyMatches: privateKey !== undefined && keyMatches(certificate, privateKey),
    fingerprints: chain.map((each) => sha256(each.raw)),
    issuerPublicKeyFingerprint: authorities.find(({ publicKey }) => certificate.verify(publicKey))?.fingerprint,
  };
}

function parse(pem: string): readonly X509Certificate[] | undefined {
  try {
    return splitBundle(pem).map((text) => new X509Certificate(text));
  } catch {
    return undefined;
  }
}

function keyMatches(certificate: X509Certificate, privateKey: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(privateKey));
  } catch {
    return false;
  }
}

function publicKeyFingerprint(certificate: X509Certificate): string {
  return sha256(certificate.publicKey.export({ type: "spki", format: "der" }));
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
