import { createHash, X509Certificate } from "node:crypto";
import { EventEmitter } from "node:events";
import { type FSWatcher, readFileSync, statSync, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { dirname } from "node:path";
import { createSecureContext, type SecureContext, type SecureContextOptions, type Server } from "node:tls";
import { ConcordError } from "../client/errors.ts";
import {
  CERTIFICATE_USAGES,
  certificateInfo,
  isSignedBy,
  keyMatchesCertificate,
  parseCertificate,
  splitBundle,
} from "../client/pki.ts";
import { type CertificateVerdict, type PeerCredentials } from "../transport/credentials.ts";
import { certificateIdentity, type CertificateIdentity } from "./identity.ts";

/** Paths of PEM files. */
export interface TlsFiles {
  /** The certificate, and behind it the intermediate ones, if any. */
  readonly certificateFile: string;
  readonly privateKeyFile: string;
  /** Authorities whose certificates are accepted from the other side. Several while they are being rotated. */
  readonly trustedCaFile?: string;
}

export interface TlsLogger {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface TlsSourceOptions {
  readonly logger: TlsLogger;
  /** Milliseconds between two looks at the files, should the file system not tell of a change. @default 60000 */
  readonly pollIntervalMs?: number;
}

export const TLS_POLL_INTERVAL_MS = 60_000;

/** After a change is told of, others follow for a moment: three files are replaced one after the other. */
const SETTLE_MS = 100;

/** Forward secrecy and authenticated encryption only (Mozilla's "intermediate", without its DHE suites). */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
].join(":");

interface Loaded {
  readonly material: SecureContextOptions;
  readonly context: SecureContext;
  readonly identity: CertificateIdentity | undefined;
  readonly notAfter: Date;
  readonly fingerprint: string;
  /** Of the bytes of all files. */
  readonly digest: string;
}

interface Contents {
  readonly certificate: string;
  readonly privateKey: string;
  readonly trustedCa: string | undefined;
}

/**
 * A certificate with its key and the authorities trusted beside it, from files that may be replaced at any time (a
 * Kubernetes Secret, cert-manager, an administrator). New connections use the newest valid content; those that stand are
 * not touched. A content that makes no sense is reported, and the old one stays.
 *
 * Emits `changed` after a switch, and `rejected` with an error when new content was not taken.
 *
 * @example
 * ```ts
 * import { createServer } from "node:https";
 * import { TlsSource } from "./tls.ts";
 *
 * const files = { certificateFile: "tls.crt", privateKeyFile: "tls.key", trustedCaFile: "ca.crt" };
 * const source = new TlsSource(files, { logger: console });
 * source.open();
 * const server = createServer({ ...source.material(), requestCert: true });
 * source.attach(server);
 * ```
 */
export class TlsSource extends EventEmitter<{ changed: []; rejected: [Error] }> implements PeerCredentials {
  readonly #files: TlsFiles;
  readonly #options: TlsSourceOptions;
  #loaded: Loaded | undefined;
  #watchers: FSWatcher[] = [];
  #poll: NodeJS.Timeout | undefined;
  #settle: NodeJS.Timeout | undefined;
  #checking: Promise<void> | undefined;
  #changedMeanwhile = false;
  #rejectedDigest = "";

  constructor(files: TlsFiles, options: TlsSourceOptions) {
    super();
    this.#files = files;
    this.#options = options;
  }

  /**
   * Reads the files and watches them from now on.
   *
   * @throws ConcordError `CONCORD_CONFIGURATION_INVALID` when a file cannot be read or the content makes no sense.
   */
  open(): void {
    const { certificateFile, privateKeyFile, trustedCaFile } = this.#files;
    this.#loaded = load(
      {
        certificate: readNow(certificateFile),
        privateKey: readNow(privateKeyFile),
        trustedCa: trustedCaFile === undefined ? undefined : readNow(trustedCaFile),
      },
      this.#files,
    );
    this.#warnOfDoubts(this.#loaded);
    // Watching the directory, not the file, sees a rename, and the swap of the `..data` link of a Kubernetes volume.
    for (const directory of new Set(paths(this.#files).map((path) => dirname(path)))) this.#watch(directory);
    this.#poll = setInterval(() => void this.check(), this.#options.pollIntervalMs ?? TLS_POLL_INTERVAL_MS);
    this.#poll.unref();
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#settle);
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  /** For servers and clients of node:tls. The same object until the next `changed`. */
  material(): SecureContextOptions {
    return this.#present().material;
  }

  /** The same, ready to use; for SNI callbacks and `tls.connect`. */
  secureContext(): SecureContext {
    return this.#present().context;
  }

  /** End of the certificate's validity. */
  get notAfter(): Date {
    return this.#present().notAfter;
  }

  /** SHA-256 fingerprint of the certificate. */
  get fingerprint(): string {
    return this.#present().fingerprint;
  }

  /** Whom the certificate names; undefined for certificates from elsewhere. */
  get identity(): CertificateIdentity | undefined {
    return this.#present().identity;
  }

  /**
   * Gives a server every new content.
   *
   * @returns Ends that.
   */
  attach(server: Pick<Server, "setSecureContext">): () => void {
    const update = (): void => server.setSecureContext(this.material());
    update();
    this.on("changed", update);
    return () => void this.off("changed", update);
  }

  /**
   * Looks at the files now. Never rejects: what is wrong is logged and emitted.
   *
   * @returns When the look is over and the newest valid content is in use.
   */
  check(): Promise<void> {
    this.#changedMeanwhile = this.#checking !== undefined;
    this.#checking ??= this.#lookUntilQuiet();
    return this.#checking;
  }

  /**
   * Judges the certificate of a peer whose chain was verified. Where the own certificate names a member, the peer's must
   * name one of the same cluster and be good for both roles; host names do not matter then, for the name in the
   * handshake is compared. Where it names none (peer certificates as for etcd), the peer's must not either, and a
   * server's must fit the host that was dialled.
   */
  judgePeer(certificate: X509Certificate, role: "client" | "server", host: string): CertificateVerdict {
    const found = certificateIdentity(certificate);
    if (!found.ok) return found;
    const theirs = found.identity;
    const own = this.identity;
    if (own === undefined && theirs === undefined) return judgePlain(certificate, role, host);
    if (own?.type !== "member")
      return { ok: false, reason: "the peer's certificate names its owner, the own one names no member" };
    if (theirs?.type !== "member") return { ok: false, reason: "the certificate names no member" };
    if (theirs.clusterUid !== own.clusterUid)
      return { ok: false, reason: `the certificate is of cluster "${theirs.clusterUid}", wanted "${own.clusterUid}"` };
    const usages = certificateInfo(certificate).usages;
    const missing = Object.entries(CERTIFICATE_USAGES).filter(([, oid]) => !usages.includes(oid));
    if (missing.length > 0)
      return { ok: false, reason: `the certificate lacks the usage ${missing.map(([name]) => name).join(" and ")}` };
    return { ok: true, memberName: theirs.name };
  }

  #present(): Loaded {
    if (this.#loaded === undefined) throw new ConcordError("CONCORD_INTERNAL", "The TLS source was not opened");
    return this.#loaded;
  }

  /** One look at a time. A change during a look may be half seen by it, so that another one follows. */
  async #lookUntilQuiet(): Promise<void> {
    do {
      this.#changedMeanwhile = false;
      await this.#look();
    } while (this.#isChangedMeanwhile());
    this.#checking = undefined;
  }

  #isChangedMeanwhile(): boolean {
    return this.#changedMeanwhile;
  }

  async #look(): Promise<void> {
    const { certificateFile, privateKeyFile, trustedCaFile } = this.#files;
    let digest = "unreadable";
    try {
      const [certificate, privateKey, trustedCa] = await Promise.all([
        readFile(certificateFile, "utf8"),
        readFile(privateKeyFile, "utf8"),
        trustedCaFile === undefined ? undefined : readFile(trustedCaFile, "utf8"),
      ]);
      const contents = { certificate, privateKey, trustedCa };
      digest = digestOf(contents);
      if (digest !== this.#loaded?.digest) this.#switchTo(load(contents, this.#files));
      this.#rejectedDigest = "";
    } catch (error) {
      if (digest === this.#rejectedDigest) return;
      this.#rejectedDigest = digest;
      const reason = error instanceof Error ? error : new Error(String(error));
      this.#options.logger.warn("New TLS files were not taken", { ...this.#files, reason: reason.message });
      this.emit("rejected", reason);
    }
  }

  #switchTo(loaded: Loaded): void {
    const now = Date.now();
    if (loaded.notAfter.getTime() <= now && this.#present().notAfter.getTime() > now)
      throw invalid(`The certificate in "${this.#files.certificateFile}" ended at ${loaded.notAfter.toISOString()}`);
    this.#loaded = loaded;
    this.#options.logger.info("TLS files were reloaded", {
      certificateFile: this.#files.certificateFile,
      notAfter: loaded.notAfter.toISOString(),
      fingerprint: loaded.fingerprint,
    });
    this.#warnOfDoubts(loaded);
    this.emit("changed");
  }

  #warnOfDoubts(loaded: Loaded): void {
    const { certificateFile, privateKeyFile } = this.#files;
    const { cert, ca } = loaded.material;
    if (isReadableByOthers(privateKeyFile))
      this.#options.logger.warn("Private key is readable by other users", { privateKeyFile });
    if (loaded.notAfter.getTime() <= Date.now())
      this.#options.logger.warn("Certificate has ended", { certificateFile, notAfter: loaded.notAfter.toISOString() });
    if (typeof cert === "string" && typeof ca === "string" && !isSignedBy(cert, ca))
      this.#options.logger.warn("Certificate is not signed by a trusted authority", { certificateFile });
  }

  #watch(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => {
        clearTimeout(this.#settle);
        this.#settle = setTimeout(() => void this.check(), SETTLE_MS);
        this.#settle.unref();
      });
      // Some file systems cannot be watched; the poll remains.
      watcher.on("error", () => watcher.close());
      this.#watchers.push(watcher);
    } catch (error) {
      this.#options.logger.info("Directory of TLS files cannot be watched", { directory, reason: String(error) });
    }
  }
}

function judgePlain(certificate: X509Certificate, role: "client" | "server", host: string): CertificateVerdict {
  if (role === "client") return { ok: true, memberName: undefined };
  const fits = isIP(host) === 0 ? certificate.checkHost(host, { subject: "never" }) : certificate.checkIP(host);
  if (fits !== undefined) return { ok: true, memberName: undefined };
  return { ok: false, reason: `the certificate is not for the host "${host}"` };
}

function load(contents: Contents, files: TlsFiles): Loaded {
  const { certificate, privateKey, trustedCa } = contents;
  const fail = (path: string, reason: string, cause?: unknown): ConcordError => invalid(`"${path}" ${reason}`, cause);
  let info;
  try {
    info = parseCertificate(certificate);
  } catch (cause) {
    throw fail(files.certificateFile, "holds no readable PEM certificate", cause);
  }
  if (!keyMatchesCertificate(certificate, privateKey))
    throw fail(files.privateKeyFile, `does not hold the private key of the certificate in "${files.certificateFile}"`);
  if (trustedCa !== undefined && splitBundle(trustedCa).length === 0)
    throw fail(files.trustedCaFile ?? "", "holds no PEM certificate");
  const found = certificateIdentity(new X509Certificate(certificate));
  if (!found.ok) throw fail(files.certificateFile, `cannot be used: ${found.reason}`);
  const material: SecureContextOptions = {
    cert: certificate,
    key: privateKey,
    ...(trustedCa === undefined ? {} : { ca: trustedCa }),
    minVersion: "TLSv1.2",
    ciphers: CIPHERS,
    honorCipherOrder: true,
  };
  let context: SecureContext;
  try {
    context = createSecureContext(material);
  } catch (cause) {
    throw fail(files.certificateFile, "and the files beside it are not accepted by OpenSSL", cause);
  }
  const { notAfter, fingerprint } = info;
  return { material, context, identity: found.identity, notAfter, fingerprint, digest: digestOf(contents) };
}

function digestOf(contents: Contents): string {
  return createHash("sha256").update(JSON.stringify(contents)).digest("hex");
}

function paths(files: TlsFiles): readonly string[] {
  const { certificateFile, privateKeyFile, trustedCaFile } = files;
  return [certificateFile, privateKeyFile, ...(trustedCaFile === undefined ? [] : [trustedCaFile])];
}

function readNow(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw invalid(`"${path}" cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

/** The mode of the file behind a link counts. */
function isReadableByOthers(path: string): boolean {
  try {
    return (statSync(path).mode & 0o004) !== 0;
  } catch {
    return false;
  }
}

function invalid(message: string, cause?: unknown): ConcordError {
  return new ConcordError("CONCORD_CONFIGURATION_INVALID", message, cause === undefined ? {} : { cause });
}
