import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type LookupAddress } from "node:dns";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { candidateNames, hostsAddresses, NameResolver, parseResolvConf } from "./resolver.ts";

const KUBERNETES = "# made by kubelet\nnameserver 10.0.0.10\nsearch ns.svc.test svc.test test\noptions ndots:5 edns0\n";

describe("resolv.conf", () => {
  it.each([
    [KUBERNETES, { search: ["ns.svc.test", "svc.test", "test"], dots: 5 }],
    ["domain a\nsearch b c ; comment", { search: ["b", "c"], dots: 1 }],
    ["options ndots:99", { search: [], dots: 15 }],
    ["", { search: [], dots: 1 }],
  ])("%j", (text, wanted) => {
    expect(parseResolvConf(text)).toEqual(wanted);
  });

  it.each([
    ["m1.peers.ns.svc", 5, ["m1.peers.ns.svc.ns.test", "m1.peers.ns.svc.test", "m1.peers.ns.svc"]],
    ["m1.peers.ns.svc", 3, ["m1.peers.ns.svc", "m1.peers.ns.svc.ns.test", "m1.peers.ns.svc.test"]],
    ["m1", 1, ["m1.ns.test", "m1.test", "m1"]],
    ["m1.", 5, ["m1"]],
  ])("%s with ndots %i", (host, dots, wanted) => {
    expect(candidateNames(host, { search: ["ns.test", "test."], dots })).toEqual(wanted);
  });
});

it("a hosts file gives all addresses of a name", () => {
  const text = "127.0.0.1 localhost\n10.0.0.1 a.b A # c\n::2\tx a\nnonsense a\n";
  expect(hostsAddresses(text, "a")).toEqual([
    { address: "10.0.0.1", family: 4 },
    { address: "::2", family: 6 },
  ]);
  expect(hostsAddresses(text, "c")).toEqual([]);
});

describe("resolving", () => {
  const directory = mkdtempSync(join(tmpdir(), "concord-dns-"));
  const files = { hosts: join(directory, "hosts"), resolv: join(directory, "resolv.conf") };
  const zone: Record<string, string> = { "m1.peers.ns.svc.test": "10.1.1.1" };
  const asked: string[] = [];
  let server: Socket;
  let resolver: NameResolver;

  beforeAll(async () => {
    writeFileSync(files.hosts, "10.2.2.2 listed\n");
    writeFileSync(files.resolv, KUBERNETES);
    server = createSocket("udp4");
    server.on("message", (query, from) => {
      const { name, answer } = answerTo(query, zone);
      asked.push(name);
      server.send(answer, from.port, from.address);
    });
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    resolver = new NameResolver({ files, servers: [`127.0.0.1:${server.address().port}`] });
  });
  afterAll(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });

  const resolve = (host: string): Promise<readonly LookupAddress[]> =>
    new Promise((done, fail) => {
      resolver.resolve(host, (error, addresses) => (error === undefined ? done(addresses) : fail(error)));
    });

  it("takes literal addresses, localhost and listed names as they are", async () => {
    expect(await resolve("::1")).toEqual([{ address: "::1", family: 6 }]);
    expect(await resolve("127.0.0.1")).toEqual([{ address: "127.0.0.1", family: 4 }]);
    expect((await resolve("localhost")).map(({ address }) => address)).toEqual(["127.0.0.1", "::1"]);
    expect(await resolve("listed")).toEqual([{ address: "10.2.2.2", family: 4 }]);
    expect(asked).toEqual([]);
  });

  it("applies the search list, anew each time", async () => {
    expect(await resolve("m1.peers.ns.svc")).toEqual([{ address: "10.1.1.1", family: 4 }]);
    expect([...new Set(asked)]).toEqual([
      "m1.peers.ns.svc.ns.svc.test",
      "m1.peers.ns.svc.svc.test",
      "m1.peers.ns.svc.test",
    ]);
    zone["m1.peers.ns.svc.test"] = "10.1.1.2";
    expect(await resolve("m1.peers.ns.svc")).toEqual([{ address: "10.1.1.2", family: 4 }]);
  });

  it("fails for a name that nobody knows", async () => {
    await expect(resolve("unknown.invalid.")).rejects.toThrow(Error);
  });
});

/** A name server's answer to a query for one name: an A record, an empty answer, or NXDOMAIN. */
function answerTo(query: Buffer, zone: Record<string, string>): { name: string; answer: Buffer } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.subarray(at + 1, at + 1 + length).toString());
    at += 1 + length;
  }
  const name = labels.join(".").toLowerCase();
  const address = zone[name];
  const isA = query.readUInt16BE(at + 1) === 1;
  const record =
    isA && address !== undefined && address !== ""
      ? Buffer.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number))
      : Buffer.alloc(0);
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(address === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(record.length > 0 ? 1 : 0, 6);
  return { name, answer: Buffer.concat([header, query.subarray(12, at + 5), record]) };
}
