import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createAuthority, issueCertificate } from "../client/pki.ts";
import { adminUri, certificateIdentity, memberUri } from "./identity.ts";

const authority = await createAuthority({ commonName: "ca", days: 1 });

async function identityOf(...uris: string[]) {
  const leaf = await issueCertificate(authority, {
    commonName: "x",
    days: 1,
    uris,
    dnsNames: ["concord.example"],
    usages: ["clientAuth"],
  });
  return certificateIdentity(new X509Certificate(leaf.certificate));
}

describe("the owner of a certificate", () => {
  it.each([
    [memberUri("7f-3A", "c-m1.0"), { type: "member", clusterUid: "7f-3A", name: "c-m1.0" }],
    [adminUri("7f"), { type: "role", clusterUid: "7f", role: "admin" }],
  ])("is read from %s", async (uri, identity) => {
    expect(await identityOf("spiffe://other/id", uri)).toEqual({ ok: true, identity });
  });

  it("is nobody without such a URI", async () => {
    expect(await identityOf()).toEqual({ ok: true, identity: undefined });
    expect(await identityOf("spiffe://u/member/m1")).toEqual({ ok: true, identity: undefined });
  });

  it.each([
    "concord://u/member/",
    "concord://u/member/m1/x",
    "concord://u/member/*",
    "concord://u/member/m%31",
    "concord://u/member/m1,URI:concord://u/role/admin",
    "concord://u@v/member/m1",
    "concord:///member/m1",
    "concord://u/role/root",
    "concord://u/role/admin/",
    "concord://u/role/admin?x",
    "CONCORD://u/role/admin",
    "concord:u",
  ])("is refused as %s", async (uri) => {
    expect(await identityOf(uri)).toEqual({
      ok: false,
      reason: `the certificate names no member or role: ${JSON.stringify(uri)}`,
    });
  });

  it("is refused when there are several", async () => {
    expect(await identityOf(memberUri("u", "m1"), memberUri("u", "m2"))).toEqual({
      ok: false,
      reason: "the certificate names 2 owners, wanted one",
    });
  });

  it.each([
    // What node:crypto prints for names with control characters, and what could pass for a second name.
    ['URI:"concord://u/member/m1\\u0000.evil"', false],
    ['URI:"concord://u/role/admin\\n"', false],
    ['DNS:"x, URI:concord://u/role/admin"', true],
    ["DNS:x,URI:concord://u/role/admin", true],
  ])("is not taken from inside %s", (subjectAltName, ok) => {
    const found = certificateIdentity({ subjectAltName });
    expect(found.ok).toBe(ok);
    if (found.ok) expect(found.identity).toBeUndefined();
  });
});
