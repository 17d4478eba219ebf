import { describe, expect, it } from "vitest";
import { formatPeerUrl, parsePeerUrl } from "./address.ts";

describe("peer URLs", () => {
  it.each([
    ["http://127.0.0.1:2380", { secure: false, host: "127.0.0.1", port: 2380 }],
    ["https://c-m1-0.c-peers.ns.svc:443", { secure: true, host: "c-m1-0.c-peers.ns.svc", port: 443 }],
    ["http://[::1]:80/", { secure: false, host: "::1", port: 80 }],
    ["https://localhost", { secure: true, host: "localhost", port: 2380 }],
    ["http://[fe80::1%eth0]:0", { secure: false, host: "fe80::1%eth0", port: 0 }],
  ])("%s", (url, address) => {
    expect(parsePeerUrl(url)).toEqual(address);
    expect(parsePeerUrl(formatPeerUrl(address))).toEqual(address);
  });

  it.each([
    "",
    "localhost:2380",
    "unix://x:1",
    "http://",
    "http://a:65536",
    "http://a:1/path",
    "http://u@a:1",
    "http://::1:1",
    "http://a b:1",
  ])("%s is refused", (url) => {
    expect(() => parsePeerUrl(url)).toThrow(`"${url}" is not a peer URL`);
  });
});
