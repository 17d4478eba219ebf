import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { credentials } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AdminClient } from "../../node/client/admin-client.ts";
import { KvClient } from "../../node/client/kv-client.ts";
import { connect } from "../../node/client/connect.ts";
import { HttpConnection } from "../../node/client/http-connection.ts";
import { createAuthority, issueCertificate, type KeyPair } from "../../node/client/pki.ts";
import { CHANNELS } from "../../node/observability/channels.ts";
import { SILENT_LOGGER } from "../../node/observability/log.ts";
import { adminUri, memberUri } from "../../node/security/identity.ts";
import { TlsSource } from "../../node/security/tls.ts";
import { etcdClient, openDoors, rawExchange, type OpenDoors } from "../support/open-doors.ts";

const UID = "test-uid";

let directory: string;
let authority: KeyPair;
let stranger: KeyPair;
const leaf = (issuer: KeyPair, uris: readonly string[], days = 1): Promise<KeyPair> =>
  issueCertificate(issuer, {
    commonName: "test",
    days,
    dnsNames: ["localhost"],
    ipAddresses: ["127.0.0.1"],
    uris,
    usages: ["serverAuth", "clientAuth"],
  });

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "concord-doors-"));
  authority = await createAuthority({ commonName: "clients", days: 1 });
  stranger = await createAuthority({ commonName: "another", days: 1 });
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe("one port with TLS", () => {
  let doors: OpenDoors;
  let tls: TlsSource;
  let client: KeyPair;
  let admin: KeyPair;

  const writeServer = (server: KeyPair): void => {
    writeFileSync(join(directory, "tls.key"), server.privateKey, { mode: 0o600 });
    writeFileSync(join(directory, "tls.crt"), server.certificate);
    writeFileSync(join(directory, "ca.crt"), authority.certificate);
  };
  const material = (pair: KeyPair) => ({ ca: authority.certificate, cert: pair.certificate, key: pair.privateKey });

  /** What a handshake ends in: the protocol and the server's serial number, or the error. */
  const handshake = (
    options: ConnectionOptions,
  ): Promise<{ protocol?: string | false | null; serial?: string; error?: string }> =>
    new Promise((resolve) => {
      const socket = connectTls({
        host: "127.0.0.1",
        port: doors.port,
        servername: "localhost",
        ca: authority.certificate,
        ...options,
      });
      socket.on("error", (error: Error & { code?: string }) => resolve({ error: error.code ?? error.message }));
      socket.on("close", () => resolve({ error: "closed" }));
      // In TLS 1.3 a server refuses a client's certificate after the client's side of the handshake is done.
      socket.on("secureConnect", () => socket.write("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
      socket.on("data", () => {
        resolve({ protocol: socket.alpnProtocol, serial: socket.getPeerCertificate().serialNumber });
        socket.destroy();
      });
    });

  beforeEach(async () => {
    writeServer(await leaf(authority, []));
    tls = new TlsSource(
      {
        certificateFile: join(directory, "tls.crt"),
        privateKeyFile: join(directory, "tls.key"),
        trustedCaFile: join(directory, "ca.crt"),
      },
      { logger: SILENT_LOGGER },
    );
    tls.open();
    doors = await openDoors({ tls });
    client = await leaf(authority, []);
    admin = await leaf(authority, [adminUri(UID)]);
  });

  afterEach(async () => {
    await doors.close();
    tls.close();
  });

  test("gRPC and REST on the same port see the same data", async () => {
    const channel = credentials.createSsl(
      Buffer.from(authority.certificate),
      Buffer.from(client.privateKey),
      Buffer.from(client.certificate),
    );
    const etcd = etcdClient(`localhost:${doors.port}`, channel);
    await etcd.call("KV", "Put", { key: Buffer.from("k"), value: Buffer.from("v") });
    await using kv = new KvClient(doors.url, { tls: material(client) });
    expect((await kv.get("k")).valueText).toBe("v");
    etcd.close();
  });

  test("a session has the principal that REST sees in the same certificate", async () => {
    const put = { method: "PUT", path: "/api/v1/kv/k", headers: { "idempotency-key": "once" }, body: "v" } as const;
    const rest = new HttpConnection(doors.url, { tls: material(client) });
    await rest.call(put);
    await rest.close();
    const options = { idempotencyKey: Buffer.from("once") };
    await using same = await connect({ endpoints: [doors.url], tls: material(client) });
    expect(await same.put("k", "v", options)).toEqual({ revision: 2 });
    await using other = await connect({ endpoints: [doors.url], tls: material(admin) });
    await expect(other.put("k", "v", options)).rejects.toMatchObject({ code: "CONCORD_IDEMPOTENCY_CONFLICT" });
    await expect(connect({ endpoints: [doors.url], tls: { ca: authority.certificate } })).rejects.toMatchObject({
      code: "CONCORD_UNREACHABLE",
    });
  });

  test("ALPN prefers HTTP/1.1, and clients without it get that too", async () => {
    expect(await handshake({ ...material(client), ALPNProtocols: ["h2", "http/1.1"] })).toMatchObject({
      protocol: "http/1.1",
    });
    expect(await handshake(material(client))).toMatchObject({ protocol: false });
  });

  test("no certificate, another authority's, an old protocol, and plain HTTP are refused", async () => {
    const other = await leaf(stranger, [adminUri(UID)]);
    expect((await handshake({})).error).toBeDefined();
    expect((await handshake({ cert: other.certificate, key: other.privateKey })).error).toBeDefined();
    expect(
      (await handshake({ ...material(client), maxVersion: "TLSv1.1", minVersion: "TLSv1.1" })).error,
    ).toBeDefined();
    expect(await rawExchange(doors.port, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")).not.toContain("200 OK");
    expect((await handshake(material(client))).error).toBeUndefined();
  });

  test("a certificate that names its owner in a way nobody knows is refused after the handshake", async () => {
    const odd = await leaf(authority, [`concord://${UID}/role/root`]);
    expect((await handshake(material(odd))).error).toBeDefined();
  });

  test.each<[string, readonly string[], string]>([
    ["this cluster's admin", [adminUri(UID)], "allowed"],
    ["a client", [], "CONCORD_PERMISSION_DENIED"],
    ["a member", [memberUri(UID, "a")], "CONCORD_PERMISSION_DENIED"],
    ["another cluster's admin", [adminUri("other-uid")], "CONCORD_PERMISSION_DENIED"],
  ])("the admin door and %s", async (_who, uris, expected) => {
    const pair = await leaf(authority, uris);
    await using door = new AdminClient(doors.url, { tls: material(pair) });
    const outcome = await door.status().then(
      () => "allowed",
      (error: unknown) => (error as { code: string }).code,
    );
    expect(outcome).toBe(expected);
    await using kv = new KvClient(doors.url, { tls: material(pair) });
    expect(await kv.put("k", "v")).toHaveProperty("revision");
  });

  test("an alarm over gRPC needs the admin's certificate as well", async () => {
    const outcomes = await Promise.all(
      [client, admin].map(async (pair) => {
        const channel = credentials.createSsl(
          Buffer.from(authority.certificate),
          Buffer.from(pair.privateKey),
          Buffer.from(pair.certificate),
        );
        const etcd = etcdClient(`localhost:${doors.port}`, channel);
        const request = { action: "ACTIVATE", memberID: "161", alarm: "NOSPACE" };
        const code = await etcd.call("Maintenance", "Alarm", request).then(
          () => 0,
          (error: unknown) => (error as { code: number }).code,
        );
        etcd.close();
        return code;
      }),
    );
    expect(outcomes).toEqual([7, 0]);
  });

  test("a renewed certificate is used by new connections while old ones stay", async () => {
    await using kv = new KvClient(doors.url, { tls: material(client) });
    await kv.put("k", "1");
    const before = await handshake(material(client));
    const renewed = await leaf(authority, [], 0.5);
    writeServer(renewed);
    const told: unknown[] = [];
    const listener = (event: unknown): void => void told.push(event);
    CHANNELS.certificate.subscribe(listener);
    await tls.check();
    CHANNELS.certificate.unsubscribe(listener);
    expect(told).toMatchObject([{ node: { name: "a" }, notAfter: tls.notAfter.toISOString() }]);
    const after = await handshake(material(client));
    expect(after.serial).toBeDefined();
    expect(after.serial).not.toBe(before.serial);
    await using door = new AdminClient(doors.url, { tls: material(admin) });
    expect((await door.status()).certificateNotAfter).toBe(tls.notAfter.toISOString());
    expect(await kv.put("k", "2")).toEqual({ revision: 3 });
  });

  test("a connection that never finishes its handshake holds nobody up", async () => {
    const idle = Array.from({ length: 20 }, () => connectPlain(doors.port, "127.0.0.1"));
    expect((await handshake(material(client))).error).toBeUndefined();
    for (const socket of idle) socket.destroy();
  });
});

describe("without TLS", () => {
  test("connections beyond the limit are refused, and room is made again", async () => {
    const doors = await openDoors({ maxConnections: 2 });
    const held = await Promise.all(
      [0, 1].map(
        () =>
          new Promise<ReturnType<typeof connectPlain>>((resolve) => {
            const socket = connectPlain(doors.port, "127.0.0.1", () =>
              socket.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
            );
            socket.once("data", () => resolve(socket));
          }),
      ),
    );
    await expect(rawExchange(doors.port, "GET /livez HTTP/1.1\r\n\r\n").catch(() => "")).resolves.toBe("");
    const gone = new Promise((resolve) => held[0]?.once("close", resolve));
    held[0]?.destroy();
    await gone;
    const ask = (): Promise<string> =>
      rawExchange(doors.port, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").catch(() => "");
    await expect.poll(ask).toContain("200 OK");
    held[1]?.destroy();
    await doors.close();
  });

  test("an address in use is named, and nothing stays open", async () => {
    const first = await openDoors();
    const attempt = openDoors({ listenClientUrls: ["http://127.0.0.1:0", first.url] });
    await expect(attempt).rejects.toMatchObject({
      code: "CONCORD_CONFIGURATION_INVALID",
      message: expect.stringContaining(`Cannot listen on 127.0.0.1:${first.port}`),
    });
    await first.close();
  });

  test("closing answers what is under way and ends what is open", async () => {
    const doors = await openDoors();
    const socket = connectPlain(doors.port, "127.0.0.1", () => socket.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"));
    await new Promise((resolve) => socket.once("data", resolve));
    const closed = new Promise((resolve) => socket.on("close", resolve));
    await doors.close();
    await closed;
    await expect(fetch(`${doors.url}/livez`)).rejects.toThrow();
  });

  test("a preface that comes in pieces is still HTTP/2", async () => {
    const doors = await openDoors();
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "latin1");
    const answer = await new Promise<Buffer>((resolve) => {
      const socket = connectPlain(doors.port, "127.0.0.1", () => {
        socket.setNoDelay(true);
        socket.write(preface.subarray(0, 2), () => setImmediate(() => socket.write(preface.subarray(2))));
      });
      socket.once("data", (data: Buffer) => {
        resolve(data);
        socket.destroy();
      });
    });
    // A SETTINGS frame (RFC 9113, section 6.5).
    expect(answer[3]).toBe(4);
    await doors.close();
  });
});
