import { describe, expect, it } from "vitest";
import { NOW, newCluster } from "../../test/support/operator-observed.ts";
import type { IssueLeavesAction } from "./actions.ts";
import type { CertificateFacts, Observed, SecretFacts } from "./observed.ts";
import { planTls } from "./tls.ts";
import { buildView } from "./view.ts";

const DAY_MS = 86_400_000;

function certificate(overrides: Partial<CertificateFacts> = {}): CertificateFacts {
  return {
    notBefore: NOW,
    notAfter: NOW + 90 * DAY_MS,
    commonName: "",
    dnsNames: [],
    ipAddresses: [],
    uris: [],
    publicKeyFingerprint: "leaf",
    keyMatches: true,
    fingerprints: ["leaf"],
    issuerPublicKeyFingerprint: "client",
    ...overrides,
  };
}

const secret = (name: string, certificates: Record<string, CertificateFacts>): SecretFacts => ({
  kind: "Secret",
  name,
  uid: name,
  resourceVersion: "1",
  deleting: false,
  labels: {},
  annotations: {},
  controllerUid: "0a1b2c3d-demo",
  lastApplied: undefined,
  certificates,
  keys: [],
});

const authority = (name: string): SecretFacts => {
  const own = certificate({ publicKeyFingerprint: name, fingerprints: [name], notAfter: NOW + 3650 * DAY_MS });
  return secret(`demo-${name}-ca`, { "tls.crt": own, "ca.crt": own });
};

/** A cluster of one member in which every certificate is as it should be. */
function complete(): Observed {
  const observed = newCluster();
  const requests = planTls(buildView(observed), ["demo-m1"], NOW).actions;
  const holders = requests
    .filter((action): action is IssueLeavesAction => action.type === "issueLeaves")
    .map((action) =>
      secret(action.secret.metadata.name, {
        ...Object.fromEntries(action.trust.map(({ key, authority: ca }) => [key, certificate({ fingerprints: [ca] })])),
        ...Object.fromEntries(
          action.leaves.map(({ certificateKey, dnsNames, ipAddresses, uris, authority: ca }) => [
            certificateKey,
            certificate({ dnsNames, ipAddresses, uris, issuerPublicKeyFingerprint: ca }),
          ]),
        ),
      }),
    );
  return { ...observed, secrets: [authority("client"), authority("peer"), ...holders] };
}

const due = (observed: Observed, now = NOW): readonly string[] =>
  planTls(buildView(observed), ["demo-m1"], now).actions.map((action) => action.secret.metadata.name);

const change = (observed: Observed, name: string, key: string, facts: Partial<CertificateFacts>): Observed => ({
  ...observed,
  secrets: observed.secrets.map((item) =>
    item.name === name
      ? { ...item, certificates: { ...item.certificates, [key]: { ...item.certificates[key]!, ...facts } } }
      : item,
  ),
});

describe("certificates", () => {
  it("are all issued for a new cluster, authorities first", () => {
    expect(due(newCluster())).toEqual([
      "demo-client-ca",
      "demo-peer-ca",
      "demo-m1-tls",
      "demo-client-tls",
      "demo-admin-tls",
    ]);
  });

  it("are left alone until a third of their life is left", () => {
    expect(due(complete())).toEqual([]);
    expect(due(complete(), NOW + 59 * DAY_MS)).toEqual([]);
    expect(due(complete(), NOW + 60 * DAY_MS)).toEqual(["demo-m1-tls", "demo-client-tls", "demo-admin-tls"]);
    expect(planTls(buildView(complete()), ["demo-m1"], NOW).nextDueAt).toBe(NOW + 60 * DAY_MS);
  });

  it("are never due in the first half of a life that was cut short", () => {
    const short = change(complete(), "demo-m1-tls", "server.crt", { notAfter: NOW + 10 * DAY_MS });
    expect(due(short, NOW + 4 * DAY_MS)).toEqual([]);
    expect(due(short, NOW + 5 * DAY_MS)).toEqual(["demo-m1-tls"]);
  });

  it.each([
    ["a name is missing", "demo-m1-tls", "server.crt", { dnsNames: ["localhost"] }],
    ["the key does not belong to it", "demo-m1-tls", "peer.crt", { keyMatches: false }],
    ["another CA signed it", "demo-client-tls", "tls.crt", { issuerPublicKeyFingerprint: "stranger" }],
    ["it trusts another CA", "demo-admin-tls", "ca.crt", { fingerprints: ["stranger"] }],
  ])("are issued anew when %s", (_, name, key, facts) => {
    expect(due(change(complete(), name, key, facts))).toEqual([name]);
  });

  it("compare IPv6 addresses by value", () => {
    const ipAddresses = ["127.0.0.1", "0:0:0:0:0:0:0:1"];
    expect(due(change(complete(), "demo-m1-tls", "server.crt", { ipAddresses }))).toEqual([]);
  });

  it("renew a CA with its key, so that all leaves stay valid", () => {
    const old = change(complete(), "demo-client-ca", "tls.crt", {
      notAfter: NOW + DAY_MS,
      notBefore: NOW - 99 * DAY_MS,
    });
    const [action] = planTls(buildView(old), ["demo-m1"], NOW).actions;
    expect(action).toMatchObject({ type: "issueAuthority", authority: "client", keepKey: true, resourceVersion: "1" });
  });

  it("make a new CA only when the key is gone", () => {
    const damaged = change(complete(), "demo-peer-ca", "tls.crt", { keyMatches: false });
    const [action, ...others] = planTls(buildView(damaged), ["demo-m1"], NOW).actions;
    expect(action).toMatchObject({ type: "issueAuthority", authority: "peer", keepKey: false });
    expect(others.map((other) => other.secret.metadata.name)).toEqual(["demo-m1-tls"]);
  });

  it("name members and the operator by URI", () => {
    const actions = planTls(buildView(newCluster()), ["demo-m1"], NOW).actions;
    const uris = actions.flatMap((action) =>
      action.type === "issueLeaves" ? action.leaves.flatMap((leaf) => leaf.uris) : [],
    );
    expect(uris).toEqual(["concord://0a1b2c3d-demo/member/demo-m1", "concord://0a1b2c3d-demo/role/admin"]);
  });
});
