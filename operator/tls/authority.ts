import { createPrivateKey, createPublicKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { BACKDATE_MS, createAuthority, keyMatchesCertificate, type KeyPair } from "../../node/client/pki.ts";
import { x509Library } from "../../node/client/x509-library.ts";
import { TerminalError } from "../runtime/errors.ts";

const DAY_SECONDS = 86_400;
const SERIAL_BYTES = 16;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export interface AuthorityRequest {
  readonly commonName: string;
  readonly durationSeconds: number;
  /** Unix milliseconds. @default the present */
  readonly nowMs?: number;
}

/** A new certificate authority with a new key. */
export function issueAuthority(request: AuthorityRequest): Promise<KeyPair> {
  return createAuthority({
    commonName: request.commonName,
    days: request.durationSeconds / DAY_SECONDS,
    now: new Date(request.nowMs ?? Date.now()),
  });
}

/**
 * A new certificate for the key and the name of an authority. Whatever it has signed stays valid under the new one, and
 * who trusts only the old one still trusts what is signed from now on.
 *
 * @throws TerminalError when the pair does not belong together or is not an ECDSA P-256 key
 */
export async function renewAuthority(previous: KeyPair, request: AuthorityRequest): Promise<KeyPair> {
  if (!keyMatchesCertificate(previous.certificate, previous.privateKey)) {
    throw new TerminalError("Cannot renew the certificate authority: its key does not belong to its certificate");
  }
  const privateKey = createPrivateKey(previous.privateKey);
  if (privateKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new TerminalError("Cannot renew the certificate authority: its key is not an ECDSA P-256 key");
  }
  const { subtle } = webcrypto;
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const keys: webcrypto.CryptoKeyPair = {
    privateKey: await subtle.importKey("pkcs8", pkcs8, ALGORITHM, true, ["sign"]),
    publicKey: await subtle.importKey("spki", spki, ALGORITHM, true, ["verify"]),
  };
  const library = x509Library();
  const nowMs = request.nowMs ?? Date.now();
  const old = new library.X509Certificate(new X509Certificate(previous.certificate).raw);
  const certificate = await library.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomSerial(),
      // The name is part of what leaves were signed under, so it stays even when the request says otherwise.
      name: old.subjectName,
      notBefore: new Date(nowMs - BACKDATE_MS),
      notAfter: new Date(nowMs + request.durationSeconds * 1000),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new library.BasicConstraintsExtension(true, 0, true),
        new library.KeyUsagesExtension(library.KeyUsageFlags.keyCertSign | library.KeyUsageFlags.cRLSign, true),
        await library.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { certificate: `${certificate.toString("pem").trimEnd()}\n`, privateKey: previous.privateKey };
}

/** 126 random bits behind a bit that is set: positive and of constant length. */
function randomSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}
