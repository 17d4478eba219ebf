import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, expect, it, vi } from "vitest";
import { type CertificateOptions, createAuthority, issueCertificate, type KeyPair } from "../../node/client/pki.ts";
import { memberUri } from "../../node/security/identity.ts";
import { TlsSource } from "../../node/security/tls.ts";
import { type PeerCredentials } from "../../node/transport/credentials.ts";
import { type TransportLimits } from "../../node/transport/tcp/limits.ts";
import { TcpTransport } from "../../node/transport/tcp/transport.ts";
import {
  close,
  connected,
  identity,
  type Member,
  peerOf,
  probe,
  startMember,
  text,
  WAIT,
} from "../conformance/transport.suite.ts";

const UID = "5f0c9d0e-0000-4000-8000-000000000001";
const directory = mkdtempSync(join(tmpdir(), "concord-tls-"));
const peers = await createAuthority({ commonName: "peers", days: 10 });
const clients = await createAuthority({ commonName: "clients", days: 10 });
const long = new Date(Date.now() - 20 * 86_400_000);
const bygone = await createAuthority({ commonName: "peers", days: 30, now: long });

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).reverse()) await end();
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined };

/** A peer certificate as the operator makes them, with what a test wants to be different. */
function leaf(name: string, fields: Partial<CertificateOptions> = {}, authority: KeyPair = peers): Promise<KeyPair> {
  return issueCertificate(authority, {
    commonName: name,
    days: 1,
    uris: [memberUri(UID, name)],
    usages: ["serverAuth", "clientAuth"],
    ...fields,
  });
}

let files = 0;
function write(pair: KeyPair, trusted: string, at = `${directory}/${(files += 1)}`) {
  const paths = { certificateFile: `${at}.crt`, privateKeyFile: `${at}.key`, trustedCaFile: `${at}.ca` };
  writeFileSync(paths.trustedCaFile, trusted);
  writeFileSync(paths.privateKeyFile, pair.privateKey, { mode: 0o600 });
  writeFileSync(paths.certificateFile, pair.certificate);
  return { paths, at };
}

function source(pair: KeyPair, trusted = peers.certificate) {
  const { paths, at } = write(pair, trusted);
  const tls = new TlsSource(paths, { logger });
  tls.open();
  open.push(() => tls.close());
  return { tls, at };
}

async function start(number: number, tls: PeerCredentials, limits: Partial<TransportLimits> = {}): Promise<Member> {
  const create = (given: ReturnType<typeof identity>) =>
    new TcpTransport({ listenUrls: ["https://127.0.0.1:0"], identity: given, tls, logger, limits });
  const member = await startMember({ create }, identity(number));
  open.push(() => close(member.transport));
  return member;
}

it("members with certificates of one cluster connect", async () => {
  const a = await start(1, source(await leaf("m1")).tls);
  const b = await start(2, source(await leaf("m2")).tls);
  a.transport.setPeers([peerOf(b)]);
  b.transport.setPeers([peerOf(a)]);
  await connected(a, b);
  await connected(b, a);
  expect(await probe(a.transport, b.urls)).toMatchObject({ state: "member", memberName: "m2" });
});

it("plain etcd-style certificates connect by host name", async () => {
  const plain = { uris: [], ipAddresses: ["127.0.0.1"] };
  const a = await start(1, source(await leaf("m1", plain)).tls);
  const b = await start(2, source(await leaf("m2", plain)).tls);
  a.transport.setPeers([peerOf(b)]);
  await connected(a, b);
});

// Each row: the certificate of m2, which then dials m1 and is dialled by it.
it.each<[string, () => Promise<KeyPair>, RegExp, RegExp]>([
  ["of another authority", () => leaf("m2", {}, clients), /certificate/i, /certificate was not accepted/],
  ["that has ended", () => leaf("m2", { now: long, days: 1 }, bygone), /certificate has expired/, /CERT_HAS_EXPIRED/],
  ["that names another member", () => leaf("m3"), /certificate mismatch/, /certificate mismatch/],
  [
    "of another cluster",
    () => leaf("m2", { uris: [memberUri("other", "m2")] }),
    /certificate is of cluster "other"/,
    /certificate is of cluster "other"/,
  ],
  ["without a name", () => leaf("m2", { uris: [], ipAddresses: ["127.0.0.1"] }), /names no member/, /names no member/],
  [
    "of an administrator",
    () => leaf("m2", { uris: [`concord://${UID}/role/admin`] }),
    /names no member/,
    /names no member/,
  ],
  ["for clients only", () => leaf("m2", { usages: ["clientAuth"] }), /purpose/, /lacks the usage serverAuth/],
  ["for servers only", () => leaf("m2", { usages: ["serverAuth"] }), /lacks the usage clientAuth/, /INVALID_PURPOSE/],
])("a member with a certificate %s is refused as server and as client", async (_, make, asServer, asClient) => {
  const a = await start(1, source(await leaf("m1"), peers.certificate + bygone.certificate).tls);
  const { tls } = source(await make(), peers.certificate + clients.certificate);
  // The intruder accepts everybody, so that it is the other side that has to refuse.
  const b = await start(2, {
    material: () => tls.material(),
    judgePeer: () => ({ ok: true, memberName: undefined }),
  });
  a.transport.setPeers([peerOf(b)]);
  b.transport.setPeers([peerOf(a)]);
  expect(await probe(a.transport, b.urls)).toMatchObject({ state: "refused", reason: expect.stringMatching(asServer) });
  expect(await probe(b.transport, a.urls)).toMatchObject({ state: "refused", reason: expect.stringMatching(asClient) });
  expect(a.transport.send(b.id, text("secret"))).toBe(false);
  expect(b.transport.send(a.id, text("secret"))).toBe(false);
});

it("a client without a certificate, and one with a client's certificate, are refused with the reason", async () => {
  const a = await start(1, source(await leaf("m1")).tls);
  const port = Number(new URL(a.urls[0]!).port);
  const client = await leaf("app", { uris: [] }, clients);
  for (const [own, reason] of [
    [{}, "a client certificate is required"],
    [{ cert: client.certificate, key: client.privateKey }, "the certificate was not accepted"],
  ] as const) {
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      ca: peers.certificate,
      checkServerIdentity: () => undefined,
      ...own,
    });
    await once(socket, "secureConnect");
    // A ping is no hello, and is not answered; anything else is.
    socket.write(Buffer.from("00000000" + "01030000" + "00000000" + "00000000", "hex"));
    socket.write(Buffer.from("00000000" + "01010000" + "00000000" + "00000000", "hex"));
    const [bytes] = (await once(socket, "data")) as [Buffer];
    expect(bytes.toString()).toContain(reason);
    await once(socket, "close");
  }
});

it("plain text at a TLS port, and TLS at a plain port, are turned away without harm", async () => {
  const { tls } = source(await leaf("m1"));
  const a = await start(1, tls);
  const b = await start(2, source(await leaf("m2")).tls);
  const socket = connectPlain(Number(new URL(a.urls[0]!).port), "127.0.0.1");
  socket.on("error", () => undefined);
  const ended = new Promise((resolve) => socket.once("close", resolve));
  socket.write("GET /metrics HTTP/1.1\r\n\r\n");
  await ended;
  const create = (given: ReturnType<typeof identity>) =>
    new TcpTransport({ listenUrls: ["http://127.0.0.1:0"], identity: given, logger });
  const plain = await startMember({ create }, identity(3));
  open.push(() => close(plain.transport));
  await expect(probe(a.transport, [plain.urls[0]!.replace("http:", "https:")])).rejects.toThrow(Error);
  await expect(probe(plain.transport, [a.urls[0]!.replace("https:", "http:")])).rejects.toThrow(Error);
  expect(await probe(plain.transport, a.urls)).toMatchObject({
    state: "refused",
    reason: expect.stringContaining("no peer certificate is configured"),
  });
  expect(await probe(b.transport, a.urls)).toMatchObject({ state: "member" });
});

it("a TLS handshake that does not go on is cut", async () => {
  const a = await start(1, source(await leaf("m1")).tls, { handshakeTimeoutMs: 100 });
  const socket = connectPlain(Number(new URL(a.urls[0]!).port), "127.0.0.1");
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("close", resolve));
  expect(a.recorder.lost).toEqual([]);
});

it("renewed files are used for new connections, and those that stand are not dropped", async () => {
  const one = source(await leaf("m1"));
  const a = await start(1, one.tls);
  const b = await start(2, source(await leaf("m2")).tls);
  a.transport.setPeers([peerOf(b)]);
  await connected(a, b);
  const before = one.tls.fingerprint;
  write(await leaf("m1"), peers.certificate, one.at);
  await vi.waitFor(() => expect(one.tls.fingerprint).not.toBe(before), WAIT);
  const port = Number(new URL(a.urls[0]!).port);
  const socket = connectTls({ host: "127.0.0.1", port, ca: peers.certificate, checkServerIdentity: () => undefined });
  await once(socket, "secureConnect");
  expect(socket.getPeerX509Certificate()?.fingerprint256).toBe(one.tls.fingerprint);
  socket.destroy();
  expect(await probe(b.transport, a.urls)).toMatchObject({ state: "member" });
  expect(await probe(a.transport, b.urls)).toMatchObject({ state: "member" });
  expect(a.transport.send(b.id, text("still there"))).toBe(true);
  expect(a.recorder.lost).toEqual([]);
  expect(b.recorder.lost).toEqual([]);
});

it("an https listener without a certificate is a configuration error", () => {
  const options = { listenUrls: ["https://127.0.0.1:0"], identity: identity(1), logger };
  expect(() => new TcpTransport(options)).toThrow("TLS needs a peer certificate, and none is configured");
});
