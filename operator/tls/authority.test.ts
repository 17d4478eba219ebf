import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { isSignedBy, keyMatchesCertificate } from "../../node/client/pki.ts";
import { authorityKeyOf, certificateFactsOf } from "../observe/certificate-facts.ts";
import { issueAuthority, renewAuthority } from "./authority.ts";
import { issueLeaves } from "./leaves.ts";

const request = { commonName: "ns/demo client CA", durationSeconds: 86_400 };
const leaf = {
  authority: "client" as const,
  certificateKey: "server.crt",
  privateKeyKey: "server.key",
  commonName: "demo-m1",
  dnsNames: ["demo-m1-0.demo-peers.ns.svc"],
  ipAddresses: ["127.0.0.1", "::1"],
  uris: ["concord://uid/member/demo-m1"],
  usages: ["serverAuth" as const, "clientAuth" as const],
  durationSeconds: 3600,
};

test("a renewed authority and the old one vouch for each other's leaves", async () => {
  const old = await issueAuthority(request);
  const renewed = await renewAuthority(old, { ...request, durationSeconds: 2 * 86_400 });
  expect(renewed.certificate).not.toBe(old.certificate);
  expect(new X509Certificate(renewed.certificate).subject).toBe(new X509Certificate(old.certificate).subject);
  const [before, after] = await Promise.all(
    [old, renewed].map(async (pair) => {
      const material = { pair, trust: pair.certificate };
      const data = await issueLeaves({ leaves: [leaf], trust: [] }, { client: material, peer: material });
      return data["server.crt"] ?? "";
    }),
  );
  for (const certificate of [before, after]) {
    for (const authority of [old, renewed]) expect(isSignedBy(certificate ?? "", authority.certificate)).toBe(true);
  }
});

test("an authority whose key is not its own is not renewed", async () => {
  const [one, other] = await Promise.all([issueAuthority(request), issueAuthority(request)]);
  const mixed = { certificate: one.certificate, privateKey: other.privateKey };
  await expect(renewAuthority(mixed, request)).rejects.toThrow("does not belong to its certificate");
});

test("leaves carry what was asked for, and facts say what they carry", async () => {
  const pair = await issueAuthority(request);
  const stranger = await issueAuthority(request);
  const material = { pair, trust: pair.certificate };
  const trust = [{ key: "client-ca.crt", authority: "client" as const }];
  const data = await issueLeaves({ leaves: [leaf], trust }, { client: material, peer: material });
  expect(keyMatchesCertificate(data["server.crt"] ?? "", data["server.key"] ?? "")).toBe(true);
  expect(data["client-ca.crt"]).toBe(pair.certificate);

  const keys = [stranger, pair]
    .map(({ certificate }) => authorityKeyOf(certificate))
    .filter((key) => key !== undefined);
  const values = new Map([...Object.entries(data), ["broken.crt", "no certificate"]]);
  const facts = certificateFactsOf(values, keys);
  expect(Object.keys(facts).sort()).toEqual(["client-ca.crt", "server.crt"]);
  expect(facts["server.crt"]).toMatchObject({
    commonName: leaf.commonName,
    dnsNames: leaf.dnsNames,
    uris: leaf.uris,
    keyMatches: true,
    issuerPublicKeyFingerprint: keys[1]?.fingerprint,
  });
  expect(facts["server.crt"]?.ipAddresses).toHaveLength(2);
  expect(facts["client-ca.crt"]).toMatchObject({ keyMatches: false, publicKeyFingerprint: keys[1]?.fingerprint });
  expect(facts["server.crt"]?.notAfter).toBeLessThanOrEqual(Date.now() + 3600_000);
});
