import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createAuthority, issueCertificate, type KeyPair, parseCertificate } from "../client/pki.ts";
import { adminUri, memberUri } from "./identity.ts";
import { type TlsFiles, TlsSource } from "./tls.ts";

const WAIT = { timeout: 10_000, interval: 5 };
const authority = await createAuthority({ commonName: "ca", days: 10 });
const usages = ["serverAuth", "clientAuth"] as const;
const leaf = (uris: string[] = [memberUri("u", "m1")], days = 1, now = new Date()): Promise<KeyPair> =>
  issueCertificate(authority, { commonName: "m1", days, now, uris, usages, dnsNames: ["m1.example"] });
const [first, second] = [await leaf(), await leaf()];
const fingerprint = (pair: KeyPair): string => parseCertificate(pair.certificate).fingerprint;

let directory: string;
let files: Required<TlsFiles>;
let log: string[];
const open: TlsSource[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "concord-tls-"));
  files = {
    certificateFile: join(directory, "tls.crt"),
    privateKeyFile: join(directory, "tls.key"),
    trustedCaFile: join(directory, "ca.crt"),
  };
  log = [];
  write(first);
});
afterEach(() => {
  for (const source of open.splice(0)) source.close();
  rmSync(directory, { recursive: true });
});

function write(pair: KeyPair, ca = authority.certificate): void {
  writeFileSync(files.trustedCaFile, ca);
  writeFileSync(files.privateKeyFile, pair.privateKey, { mode: 0o600 });
  writeFileSync(files.certificateFile, pair.certificate);
}

/** By default nothing but an explicit look finds a change. */
function start(pollIntervalMs = 3_600_000): TlsSource {
  const note = (message: string) => void log.push(message);
  const source = new TlsSource(files, { logger: { info: note, warn: note }, pollIntervalMs });
  source.open();
  open.push(source);
  return source;
}

describe("content", () => {
  it("is offered with modern settings, and says whose it is", () => {
    const source = start();
    expect(source.material()).toMatchObject({
      minVersion: "TLSv1.2",
      cert: first.certificate,
      ca: authority.certificate,
    });
    expect(source.material()).toBe(source.material());
    expect(source.secureContext()).toBe(source.secureContext());
    expect(source.fingerprint).toBe(fingerprint(first));
    expect(source.notAfter).toEqual(parseCertificate(first.certificate).notAfter);
    expect(source.identity).toEqual({ type: "member", clusterUid: "u", name: "m1" });
    expect(log).toEqual([]);
  });

  it.each([
    ["a missing file", () => rmSync(files.privateKeyFile), /tls\.key" cannot be read: ENOENT/],
    [
      "no certificate",
      () => writeFileSync(files.certificateFile, "hello"),
      /tls\.crt" holds no readable PEM certificate/,
    ],
    [
      "a key of another certificate",
      () => writeFileSync(files.privateKeyFile, second.privateKey),
      /tls\.key" does not hold the private key/,
    ],
    ["no authority", () => writeFileSync(files.trustedCaFile, ""), /ca\.crt" holds no PEM certificate/],
  ])("with %s is refused at the start", (_, spoil, message) => {
    spoil();
    expect(() => start()).toThrow(message);
  });

  it("that is doubtful is used, with a warning", async () => {
    const stranger = await createAuthority({ commonName: "ca", days: 1 });
    write(await leaf([], 1, new Date(Date.now() - 2 * 86_400_000)), stranger.certificate);
    chmodSync(files.privateKeyFile, 0o644);
    start();
    expect(log).toEqual([
      "Private key is readable by other users",
      "Certificate has ended",
      "Certificate is not signed by a trusted authority",
    ]);
  });
});

describe("a change", () => {
  it("is noticed by itself, and given to attached servers", async () => {
    const source = start();
    const given: unknown[] = [];
    const detach = source.attach({ setSecureContext: (material) => void given.push(material.cert) });
    const changed = once(source, "changed");
    write(second);
    await changed;
    expect(source.fingerprint).toBe(fingerprint(second));
    expect(given).toEqual([first.certificate, second.certificate]);
    detach();
    write(first);
    await vi.waitFor(() => expect(source.fingerprint).toBe(fingerprint(first)), WAIT);
    expect(given).toHaveLength(2);
  });

  it("of a Kubernetes volume, which swaps one link, is noticed", async () => {
    const volume = join(directory, "volume");
    const generation = (name: string, pair: KeyPair) => {
      mkdirSync(join(volume, name), { recursive: true });
      writeFileSync(join(volume, name, "tls.crt"), pair.certificate);
      writeFileSync(join(volume, name, "tls.key"), pair.privateKey, { mode: 0o600 });
      symlinkSync(name, join(volume, "..data_tmp"));
      renameSync(join(volume, "..data_tmp"), join(volume, "..data"));
    };
    generation("..one", first);
    for (const name of ["tls.crt", "tls.key"]) symlinkSync(`..data/${name}`, join(volume, name));
    files = { ...files, certificateFile: join(volume, "tls.crt"), privateKeyFile: join(volume, "tls.key") };
    const source = start();
    const changed = once(source, "changed");
    generation("..two", second);
    await changed;
    expect(source.fingerprint).toBe(fingerprint(second));
  });

  it("is found by the poll where the file system says nothing", async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "concord-tls-"));
    const target = join(elsewhere, "target");
    writeFileSync(target, first.certificate);
    rmSync(files.certificateFile);
    symlinkSync(target, files.certificateFile);
    const renewed = await issueCertificate(authority, { commonName: "m1", days: 1, usages });
    writeFileSync(files.privateKeyFile, first.privateKey);
    const source = start(20);
    const changed = once(source, "changed");
    // The directory that is watched does not change; the trusted bundle and the key stay.
    writeFileSync(target, `${first.certificate}${renewed.certificate}`);
    await changed;
    expect(source.material().cert).toContain(renewed.certificate);
    rmSync(elsewhere, { recursive: true });
  });

  it("to something that makes no sense is reported once, and the old content stays", async () => {
    const source = start();
    const rejected: string[] = [];
    source.on("rejected", (error) => void rejected.push(error.message));
    writeFileSync(files.certificateFile, second.certificate);
    await source.check();
    await source.check();
    expect(rejected).toEqual([
      `"${files.privateKeyFile}" does not hold the private key of the certificate in "${files.certificateFile}"`,
    ]);
    rmSync(files.certificateFile);
    await source.check();
    expect(rejected).toHaveLength(2);
    expect(source.fingerprint).toBe(fingerprint(first));
    write(second);
    await source.check();
    expect(source.fingerprint).toBe(fingerprint(second));
  });

  it("to a certificate that has ended is not taken while the old one is good", async () => {
    const source = start();
    const rejected = once(source, "rejected") as Promise<[Error]>;
    write(await leaf(undefined, 1, new Date(Date.now() - 2 * 86_400_000)));
    await source.check();
    expect((await rejected)[0].message).toContain("ended at");
    expect(source.fingerprint).toBe(fingerprint(first));
  });
});

describe("judgement of peers", () => {
  const read = (pair: KeyPair) => new X509Certificate(pair.certificate);

  it("between members goes by cluster and usage, and tells the name", async () => {
    const source = start();
    expect(source.judgePeer(read(await leaf([memberUri("u", "m2")])), "server", "any")).toEqual({
      ok: true,
      memberName: "m2",
    });
    for (const [uris, reason] of [
      [[memberUri("v", "m2")], 'the certificate is of cluster "v", wanted "u"'],
      [[adminUri("u")], "the certificate names no member"],
      [[], "the certificate names no member"],
      [["concord://u/member/*"], 'the certificate names no member or role: "concord://u/member/*"'],
    ] as const)
      expect(source.judgePeer(read(await leaf([...uris])), "client", "")).toEqual({ ok: false, reason });
  });

  it("between certificates without names goes by host", async () => {
    write(await leaf([]));
    const source = start();
    const plain = read(await leaf([]));
    expect(source.judgePeer(plain, "server", "m1.example")).toEqual({ ok: true, memberName: undefined });
    expect(source.judgePeer(plain, "server", "m2.example")).toEqual({
      ok: false,
      reason: 'the certificate is not for the host "m2.example"',
    });
    expect(source.judgePeer(plain, "server", "127.0.0.1").ok).toBe(false);
    expect(source.judgePeer(plain, "client", "")).toEqual({ ok: true, memberName: undefined });
    expect(source.judgePeer(read(first), "client", "")).toEqual({
      ok: false,
      reason: "the peer's certificate names its owner, the own one names no member",
    });
  });
});
