import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type * as x509 from "@peculiar/x509";
import { ConcordError } from "./errors.ts";
import { x509Library } from "./x509-library.ts";

/** A certificate and its private key, both PEM (the key as PKCS #8). */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

/** Object identifiers of the two TLS roles (RFC 5280, section 4.2.1.12). */
export const CERTIFICATE_USAGES = {
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

export type CertificateUsage = keyof typeof CERTIFICATE_USAGES;

/** Certificates are valid from this long before they were made, so that clocks may differ. */
export const BACKDATE_MS = 5 * 60_000;

/** X.520's upper bound on a common name (RFC 5280, appendix A.1: ub-common-name). */
export const COMMON_NAME_MAX = 64;

const DAY_MS = 86_400_000;
const SERIAL_BYTES = 16;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export interface AuthorityOptions {
  readonly commonName: string;
  /** Validity in days; fractions are allowed. */
  readonly days: number;
  /** @default the present */
  readonly now?: Date;
}

export interface CertificateOptions extends AuthorityOptions {
  /** @default [] */
  readonly dnsNames?: readonly string[];
  /** @default [] */
  readonly ipAddresses?: readonly string[];
  /** @default [] */
  readonly uris?: readonly string[];
  /** At least one. */
  readonly usages: readonly CertificateUsage[];
}

/**
 * Makes a self-signed certificate authority (ECDSA P-256) that may sign leaves only.
 *
 * @throws ConcordError `CONCORD_INVALID_ARGUMENT` when a field is empty, too long or not positive.
 */
export async function createAuthority(options: AuthorityOptions): Promise<KeyPair> {
  checkOptions(options);
  const library = x509Library();
  const keys = await generateKeys();
  const certificate = await library.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomSerial(),
      name: subject(options.commonName),
      ...validity(options),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new library.BasicConstraintsExtension(true, 0, true),
        new library.KeyUsagesExtension(library.KeyUsageFlags.keyCertSign | library.KeyUsageFlags.cRLSign, true),
        await library.SubjectKeyIdentifierExtension.create(keys.publicKey, false, provider()),
      ],
    },
    provider(),
  );
  return { certificate: pem(certificate.toString("pem")), privateKey: await exportKey(keys.privateKey) };
}

/**
 * Issues a leaf with a new key (ECDSA P-256). It never outlives its authority.
 *
 * @throws ConcordError `CONCORD_INVALID_ARGUMENT` when a field is malformed, or the authority has ended or does not fit its key.
 * @example
 * ```ts
 * import { createAuthority, issueCertificate } from "./pki.ts";
 *
 * const authority = await createAuthority({ commonName: "peers", days: 3650 });
 * const leaf = await issueCertificate(authority, {
 *   commonName: "m1", days: 90, dnsNames: ["localhost"], uris: ["concord://7f3a/member/m1"],
 *   usages: ["serverAuth", "clientAuth"],
 * });
 * ```
 */
export async function issueCertificate(authority: KeyPair, options: CertificateOptions): Promise<KeyPair> {
  checkOptions(options);
  if (options.usages.length === 0) throw invalid("A certificate needs at least one usage");
  const names = alternativeNames(options);
  if (!keyMatchesCertificate(authority.certificate, authority.privateKey))
    throw invalid("The key of the certificate authority does not belong to its certificate");
  const library = x509Library();
  const issuer = new library.X509Certificate(authority.certificate);
  const dates = validity(options);
  if (issuer.notAfter.getTime() <= dates.notBefore.getTime())
    throw invalid(`The certificate authority ended at ${issuer.notAfter.toISOString()}`);
  const keys = await generateKeys();
  const certificate = await library.X509CertificateGenerator.create(
    {
      serialNumber: randomSerial(),
      subject: subject(options.commonName),
      issuer: issuer.subjectName,
      notBefore: dates.notBefore,
      notAfter: dates.notAfter < issuer.notAfter ? dates.notAfter : issuer.notAfter,
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: await importKey(authority.privateKey),
      extensions: [
        new library.BasicConstraintsExtension(false, undefined, true),
        new library.KeyUsagesExtension(library.KeyUsageFlags.digitalSignature, true),
        new library.ExtendedKeyUsageExtension(options.usages.map((usage) => CERTIFICATE_USAGES[usage])),
        ...(names.length === 0 ? [] : [new library.SubjectAlternativeNameExtension(names)]),
        await library.SubjectKeyIdentifierExtension.create(keys.publicKey, false, provider()),
        await library.AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, provider()),
      ],
    },
    provider(),
  );
  return { certificate: pem(certificate.toString("pem")), privateKey: await exportKey(keys.privateKey) };
}

/** What a certificate says, as far as Concord asks. */
export interface CertificateInfo {
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly uris: readonly string[];
  /** Empty: the certificate does not restrict its use. */
  readonly usages: readonly string[];
  readonly isAuthority: boolean;
  /** SHA-256 of the DER form, upper-case hex with colons. */
  readonly fingerprint: string;
}

/**
 * Reads the first certificate of a PEM text.
 *
 * @throws ConcordError `CONCORD_INVALID_ARGUMENT` when there is none.
 */
export function parseCertificate(pemText: string): CertificateInfo {
  return certificateInfo(firstCertificate(pemText));
}

/** The same for a certificate that node:crypto or a TLS socket has read. */
export function certificateInfo(certificate: X509Certificate): CertificateInfo {
  const names = parseAlternativeNames(certificate.subjectAltName ?? "");
  const valuesOf = (type: string) => names.filter((name) => name.type === type).map((name) => name.value);
  return {
    subject: certificate.subject,
    issuer: certificate.issuer,
    serialNumber: certificate.serialNumber,
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
    dnsNames: valuesOf("DNS"),
    ipAddresses: valuesOf("IP Address"),
    uris: valuesOf("URI"),
    usages: maybe(certificate.keyUsage) ?? [],
    isAuthority: certificate.ca,
    fingerprint: certificate.fingerprint256,
  };
}

/** One subject alternative name: its type as OpenSSL spells it (`DNS`, `IP Address`, `URI`, …) and its value. */
export interface AlternativeName {
  readonly type: string;
  readonly value: string;
}

/**
 * Takes apart the text node:crypto makes of the subject alternative names: `TYPE:value` joined by `, `, where a value
 * with a comma, a quote or a control character is a JSON string (the answer to CVE-2021-44532). A text that does not
 * read so yields no names at all: a name must never be guessed.
 */
export function parseAlternativeNames(text: string): readonly AlternativeName[] {
  const names: AlternativeName[] = [];
  let rest = text;
  while (rest !== "") {
    const match = /^([^:,"]+):(?:("(?:[^"\\]|\\.)*")|([^,"]*))(?:, (?=.)|$)/s.exec(rest);
    if (match === null) return [];
    const [whole, type = "", quoted, plain = ""] = match;
    const value = quoted === undefined ? plain : unquote(quoted);
    if (value === undefined) return [];
    names.push({ type, value });
    rest = rest.slice(whole.length);
  }
  return names;
}

/** The certificates of a PEM bundle, one PEM text each, in order. Text between them is ignored. */
export function splitBundle(pemText: string): readonly string[] {
  return pemText.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

/** Whether the PEM key belongs to the first certificate of the PEM text. False when either cannot be read. */
export function keyMatchesCertificate(certificatePem: string, privateKeyPem: string): boolean {
  try {
    return firstCertificate(certificatePem).checkPrivateKey(createPrivateKey(privateKeyPem));
  } catch {
    return false;
  }
}

/**
 * Whether a chain leads from the first certificate of `certificatePem`, over the others in that text, to a certificate
 * of `bundlePem`. Names and signatures only: dates and usages are the caller's to judge.
 */
export function isSignedBy(certificatePem: string, bundlePem: string): boolean {
  const [leaf, ...intermediates] = readAll(certificatePem);
  const roots = readAll(bundlePem);
  let current = leaf;
  for (let depth = 0; current !== undefined && depth <= intermediates.length; depth += 1) {
    const certificate: X509Certificate = current;
    if (roots.some((root) => issued(root, certificate))) return true;
    current = intermediates.find((other) => other !== certificate && issued(other, certificate));
  }
  return false;
}

/** The types of node:crypto promise a list of usages; a certificate without the extension has none. */
function maybe<T>(value: T): T | undefined {
  return value;
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function readAll(pemText: string): readonly X509Certificate[] {
  try {
    return splitBundle(pemText).map((text) => new X509Certificate(text));
  } catch {
    return [];
  }
}

function firstCertificate(pemText: string): X509Certificate {
  const [first] = splitBundle(pemText);
  if (first === undefined) throw invalid("Found no PEM certificate, wanted at least one");
  try {
    return new X509Certificate(first);
  } catch (cause) {
    throw new ConcordError("CONCORD_INVALID_ARGUMENT", "The PEM certificate cannot be read", { cause });
  }
}

function unquote(quoted: string): string | undefined {
  try {
    const value: unknown = JSON.parse(quoted);
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}

function checkOptions(options: AuthorityOptions): void {
  const { commonName, days } = options;
  if (commonName === "" || commonName.length > COMMON_NAME_MAX)
    throw invalid(
      `The common name "${commonName}" has ${commonName.length} characters, wanted 1 to ${COMMON_NAME_MAX}`,
    );
  if (!(days > 0 && days <= 36_500)) throw invalid(`A validity of ${days} days, wanted more than 0 and at most 36500`);
}

function alternativeNames(options: CertificateOptions): x509.JsonGeneralName[] {
  const { dnsNames = [], ipAddresses = [], uris = [] } = options;
  for (const name of dnsNames)
    if (!/^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(name) || name.length > 253)
      throw invalid(`"${name}" is not a DNS name`);
  for (const address of ipAddresses) if (isIP(address) === 0) throw invalid(`"${address}" is not an IP address`);
  for (const uri of uris)
    if (!/^[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+$/.test(uri)) throw invalid(`"${uri}" is not an absolute URI in ASCII`);
  return [
    ...dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...ipAddresses.map((value) => ({ type: "ip" as const, value })),
    ...uris.map((value) => ({ type: "url" as const, value })),
  ];
}

function validity(options: AuthorityOptions): { notBefore: Date; notAfter: Date } {
  const now = (options.now ?? new Date()).getTime();
  return { notBefore: new Date(now - BACKDATE_MS), notAfter: new Date(now + options.days * DAY_MS) };
}

/** A list form, so that no character of the name is read as syntax. */
function subject(commonName: string): x509.JsonName {
  return [{ CN: [commonName] }];
}

/** 126 random bits behind a bit that is set: positive, of constant length, below the 20 octets of RFC 5280. */
function randomSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}

async function importKey(privateKeyPem: string): Promise<webcrypto.CryptoKey> {
  const key = createPrivateKey(privateKeyPem);
  if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1")
    throw invalid("The key of the certificate authority is not an ECDSA P-256 key");
  return webcrypto.subtle.importKey("pkcs8", key.export({ type: "pkcs8", format: "der" }), ALGORITHM, false, ["sign"]);
}

/** The library takes the web's Crypto type, which node:crypto implements. */
function provider(): Parameters<typeof x509.X509CertificateGenerator.create>[1] {
  return webcrypto;
}

function pem(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}

function invalid(message: string): ConcordError {
  return new ConcordError("CONCORD_INVALID_ARGUMENT", message);
}
