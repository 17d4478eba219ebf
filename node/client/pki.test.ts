import { describe, expect, it } from "vitest";
import {
  BACKDATE_MS,
  CERTIFICATE_USAGES,
  createAuthority,
  isSignedBy,
  issueCertificate,
  keyMatchesCertificate,
  parseAlternativeNames,
  parseCertificate,
  splitBundle,
} from "./pki.ts";

const NOW = new Date("2026-01-01T00:00:00Z");
const authority = await createAuthority({ commonName: "peers, O=strangers", days: 10, now: NOW });
const stranger = await createAuthority({ commonName: "peers, O=strangers", days: 10, now: NOW });
const leaf = await issueCertificate(authority, {
  commonName: "m1",
  days: 90,
  now: NOW,
  dnsNames: ["localhost", "c-m1-0.c-peers.ns.svc"],
  ipAddresses: ["127.0.0.1", "::1"],
  uris: ["concord://uid-1/member/m1"],
  usages: ["serverAuth", "clientAuth"],
});

describe("certificates", () => {
  it("an authority may sign and nothing in its name is syntax", () => {
    const info = parseCertificate(authority.certificate);
    expect(info.isAuthority).toBe(true);
    expect(info.usages).toEqual([]);
    expect(info.subject).toBe("CN=peers\\, O=strangers");
    expect(info.notBefore.getTime()).toBe(NOW.getTime() - BACKDATE_MS);
    expect(keyMatchesCertificate(authority.certificate, authority.privateKey)).toBe(true);
    expect(isSignedBy(authority.certificate, authority.certificate)).toBe(true);
  });

  it("a leaf carries its names and usages and does not outlive its authority", () => {
    const info = parseCertificate(leaf.certificate);
    expect(info).toMatchObject({
      isAuthority: false,
      subject: "CN=m1",
      dnsNames: ["localhost", "c-m1-0.c-peers.ns.svc"],
      ipAddresses: ["127.0.0.1", "0:0:0:0:0:0:0:1"],
      uris: ["concord://uid-1/member/m1"],
      usages: [CERTIFICATE_USAGES.serverAuth, CERTIFICATE_USAGES.clientAuth],
      notAfter: parseCertificate(authority.certificate).notAfter,
    });
  });

  it("serial numbers differ and are positive", async () => {
    const options = { commonName: "m2", days: 1, now: NOW, usages: ["clientAuth"] as const };
    const one = parseCertificate((await issueCertificate(authority, options)).certificate);
    const two = parseCertificate((await issueCertificate(authority, options)).certificate);
    expect(one.serialNumber).not.toBe(two.serialNumber);
    expect(one.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
    expect(one.uris).toEqual([]);
  });

  it("tells signer and key apart from those of the same name", () => {
    expect(isSignedBy(leaf.certificate, authority.certificate)).toBe(true);
    expect(isSignedBy(leaf.certificate, stranger.certificate)).toBe(false);
    expect(isSignedBy(leaf.certificate, stranger.certificate + authority.certificate)).toBe(true);
    expect(isSignedBy(leaf.certificate, leaf.certificate)).toBe(false);
    expect(isSignedBy("", authority.certificate)).toBe(false);
    expect(keyMatchesCertificate(leaf.certificate, authority.privateKey)).toBe(false);
    expect(keyMatchesCertificate(leaf.certificate, "no key")).toBe(false);
    expect(splitBundle(`x\n${leaf.certificate}y\n${authority.certificate}`)).toHaveLength(2);
  });

  const good = { commonName: "m", days: 1, usages: ["clientAuth"] as const };
  it.each([
    [{ ...good, commonName: "" }, 'The common name "" has 0 characters, wanted 1 to 64'],
    [{ ...good, days: 0 }, "A validity of 0 days, wanted more than 0 and at most 36500"],
    [{ ...good, usages: [] }, "A certificate needs at least one usage"],
    [{ ...good, dnsNames: ["a b"] }, '"a b" is not a DNS name'],
    [{ ...good, ipAddresses: ["1.2.3"] }, '"1.2.3" is not an IP address'],
    [{ ...good, uris: ["concord://u/member/a\0b"] }, '"concord://u/member/a\0b" is not an absolute URI in ASCII'],
    [{ ...good, now: new Date("2027-01-01") }, "The certificate authority ended at 2026-01-11T00:00:00.000Z"],
  ])("refuses %j", async (options, message) => {
    await expect(issueCertificate(authority, options)).rejects.toThrow(message);
  });

  it("leaves the globals of the process as they were", () => {
    expect("getMetadata" in Reflect).toBe(false);
  });

  it("refuses a PEM text without a certificate", () => {
    expect(() => parseCertificate("hello")).toThrow("Found no PEM certificate, wanted at least one");
  });
});

describe("alternative names", () => {
  it.each([
    ["", []],
    ["DNS:a.b, URI:concord://u/member/m1", ["DNS=a.b", "URI=concord://u/member/m1"]],
    ['URI:"concord://u/member/m1\\u0000.evil"', ["URI=concord://u/member/m1\0.evil"]],
    ['URI:"http://x/, URI:concord://u/role/admin"', ["URI=http://x/, URI:concord://u/role/admin"]],
    ['DNS:"a\\"b", IP Address:127.0.0.1', ['DNS=a"b', "IP Address=127.0.0.1"]],
    ["DNS:a,URI:concord://u/role/admin", []],
    ["DNS:a, ", []],
    ['URI:"concord://u/role/admin', []],
    ["nonsense", []],
  ])("%s", (text, wanted) => {
    expect(parseAlternativeNames(text).map((name) => `${name.type}=${name.value}`)).toEqual(wanted);
  });
});
