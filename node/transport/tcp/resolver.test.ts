import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type LookupAddress } from "node:dns";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NameServer } from "../../../test/support/name-server.ts";
import { candidateNames, hostsAddresses, NameResolver, parseResolvConf, type ServiceTarget } from "./resolver.ts";

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
  const services: Record<string, { host: string; port: number }[]> = {
    "_peer._tcp.peers.ns.svc.test": [
      { host: "m1.peers.ns.svc.test", port: 2380 },
      { host: "m2.peers.ns.svc.test", port: 2381 },
    ],
  };
  let server: NameServer;
  let resolver: NameResolver;

  beforeAll(async () => {
    writeFileSync(files.hosts, "10.2.2.2 listed\n");
    writeFileSync(files.resolv, KUBERNETES);
    server = await NameServer.start({ addresses: zone, services });
    resolver = new NameResolver({ files, servers: [server.address] });
  });
  afterAll(async () => {
    await server.close();
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
    expect(server.asked).toEqual([]);
  });

  it("applies the search list, anew each time", async () => {
    expect(await resolve("m1.peers.ns.svc")).toEqual([{ address: "10.1.1.1", family: 4 }]);
    expect([...new Set(server.asked)]).toEqual([
      "m1.peers.ns.svc.ns.svc.test",
      "m1.peers.ns.svc.svc.test",
      "m1.peers.ns.svc.test",
    ]);
    zone["m1.peers.ns.svc.test"] = "10.1.1.2";
    expect(await resolve("m1.peers.ns.svc")).toEqual([{ address: "10.1.1.2", family: 4 }]);
  });

  it("finds the members of a service, by the search list too", async () => {
    const found = (name: string): Promise<readonly ServiceTarget[]> =>
      new Promise((done, fail) => {
        resolver.resolveService(name, (error, targets) => (error === undefined ? done(targets) : fail(error)));
      });
    for (const name of ["_peer._tcp.peers.ns.svc", "_peer._tcp.peers.ns.svc.test"])
      expect(await found(name)).toEqual([
        { host: "m1.peers.ns.svc.test", port: 2380 },
        { host: "m2.peers.ns.svc.test", port: 2381 },
      ]);
    await expect(found("_other._tcp.peers.ns.svc")).rejects.toThrow(Error);
  });

  it("fails for a name that nobody knows", async () => {
    await expect(resolve("unknown.invalid.")).rejects.toThrow(Error);
  });
});
