import type { CertificateTimes } from "../api/v1alpha1/defaults.ts";
import {
  adminSecretName,
  adminUri,
  anyServiceName,
  clientAuthoritySecretName,
  clientSecretName,
  clientServiceName,
  memberHost,
  memberSecretName,
  memberUri,
  peerAuthoritySecretName,
  peersServiceName,
  podName,
  type ClusterName,
} from "../resources/names.ts";
import { buildMemberSecret, buildTlsSecret } from "../resources/secrets.ts";
import type { Authority, IssueAuthorityAction, IssueLeavesAction, LeafRequest } from "./actions.ts";
import type { CertificateFacts, SecretFacts } from "./observed.ts";
import type { View } from "./view.ts";

/** Which certificates are due, and when to look again. */
export interface TlsPlan {
  readonly actions: readonly (IssueAuthorityAction | IssueLeavesAction)[];
  /** Unix milliseconds at which the next certificate falls due. */
  readonly nextDueAt: number;
}

/** A Secret with leaves: what it must contain. */
interface Holder {
  readonly secretName: string;
  readonly member: string | undefined;
  readonly leaves: readonly LeafRequest[];
  readonly trust: IssueLeavesAction["trust"];
}

/**
 * Compares the certificates there are with those there should be. An authority is renewed with its key, so that every
 * certificate it ever signed stays valid and no order of renewals can cut a connection. Only an authority whose key is
 * gone gets a new one, and all leaves with it.
 *
 * @param members names of the members that have, or are about to have, a pod
 */
export function planTls(view: View, members: readonly string[], now: number): TlsPlan {
  const cluster = view.observed.cluster;
  const authorities = { client: planAuthority(view, "client", now), peer: planAuthority(view, "peer", now) };
  const holders = [
    ...members.map((member) => memberHolder(view, member)),
    clientHolder(cluster, view.spec.tls.client.durationSeconds),
    adminHolder(cluster, view.spec.tls.client.durationSeconds),
  ];
  const plans = holders.map((holder) => planHolder(view, holder, authorities, now));
  return {
    actions: [authorities.client.action, authorities.peer.action, ...plans.map((plan) => plan.action)].filter(
      (action) => action !== undefined,
    ),
    nextDueAt: Math.min(authorities.client.dueAt, authorities.peer.dueAt, ...plans.map((plan) => plan.dueAt)),
  };
}

interface AuthorityPlan {
  readonly action: IssueAuthorityAction | undefined;
  readonly dueAt: number;
  /** Undefined while there is no usable authority. */
  readonly current: { readonly publicKey: string; readonly bundle: readonly string[] } | undefined;
}

function planAuthority(view: View, authority: Authority, now: number): AuthorityPlan {
  const cluster = view.observed.cluster;
  const name = authority === "client" ? clientAuthoritySecretName(cluster) : peerAuthoritySecretName(cluster);
  const secret = secretOf(view, name);
  const certificate = secret?.certificates["tls.crt"];
  const bundle = secret?.certificates["ca.crt"];
  const durationSeconds = view.spec.tls[authority].caDurationSeconds;
  const usable = certificate?.keyMatches === true && bundle !== undefined;
  const dueAt = usable ? renewalTime(certificate, Math.floor(durationSeconds / 3)) : now;
  const action: IssueAuthorityAction = {
    type: "issueAuthority",
    authority,
    secret: buildTlsSecret(cluster, name),
    resourceVersion: secret?.resourceVersion,
    keepKey: usable,
    commonName: `${cluster.namespace}/${cluster.name} ${authority} CA`,
    durationSeconds,
    reason: secret === undefined ? "there is none" : usable ? "it ends soon" : "it is damaged",
  };
  return {
    action: dueAt <= now ? action : undefined,
    dueAt,
    current: usable ? { publicKey: certificate.publicKeyFingerprint, bundle: bundle.fingerprints } : undefined,
  };
}

function planHolder(
  view: View,
  holder: Holder,
  authorities: Readonly<Record<Authority, AuthorityPlan>>,
  now: number,
): { readonly action: IssueLeavesAction | undefined; readonly dueAt: number } {
  const cluster = view.observed.cluster;
  const secret = secretOf(view, holder.secretName);
  const dueAt = Math.min(
    ...holder.leaves.map((leaf) =>
      renewalTime(secret?.certificates[leaf.certificateKey], renewBefore(view.spec.tls[leaf.authority])),
    ),
  );
  const fault = secret === undefined ? "there is none" : faultOf(secret, holder, authorities);
  const reason = fault ?? (dueAt <= now ? "it ends soon" : undefined);
  if (reason === undefined) return { action: undefined, dueAt };
  return {
    action: {
      type: "issueLeaves",
      secret:
        holder.member === undefined
          ? buildTlsSecret(cluster, holder.secretName)
          : buildMemberSecret(cluster, holder.member),
      resourceVersion: secret?.resourceVersion,
      leaves: holder.leaves,
      trust: holder.trust,
      reason,
    },
    dueAt: now,
  };
}

/** What is wrong with the certificates of a Secret, apart from their age. */
function faultOf(
  secret: SecretFacts,
  holder: Holder,
  authorities: Readonly<Record<Authority, AuthorityPlan>>,
): string | undefined {
  for (const { key, authority } of holder.trust) {
    const trusted = secret.certificates[key]?.fingerprints ?? [];
    const bundle = authorities[authority].current?.bundle ?? [];
    if (!sameSet(trusted, bundle)) return `${key} does not hold the certificates of the ${authority} CA`;
  }
  for (const leaf of holder.leaves) {
    const certificate = secret.certificates[leaf.certificateKey];
    if (certificate?.keyMatches !== true) return `${leaf.certificateKey} is missing or has no key`;
    if (certificate.issuerPublicKeyFingerprint !== authorities[leaf.authority].current?.publicKey) {
      return `${leaf.certificateKey} was not signed by the ${leaf.authority} CA`;
    }
    const names = [...leaf.dnsNames, ...leaf.ipAddresses, ...leaf.uris].map(canonicalName);
    const present = [...certificate.dnsNames, ...certificate.ipAddresses, ...certificate.uris].map(canonicalName);
    if (!sameSet(names, present)) return `the names in ${leaf.certificateKey} changed`;
  }
  return undefined;
}

const renewBefore = (times: CertificateTimes): number => times.renewBeforeSeconds;

/**
 * When to renew: `renewBeforeSeconds` ahead of the end, but never in the first half of the life. A life cut short by the
 * end of its CA would otherwise be due again the moment it begins.
 */
function renewalTime(certificate: CertificateFacts | undefined, renewBeforeSeconds: number): number {
  if (certificate === undefined) return 0;
  const life = certificate.notAfter - certificate.notBefore;
  return certificate.notAfter - Math.min(renewBeforeSeconds * 1000, life / 2);
}

function memberHolder(view: View, member: string): Holder {
  const cluster = view.observed.cluster;
  const domain = view.observed.settings.clusterDomain;
  const own = memberHost(cluster, member);
  const host = `${podName(member)}.${peersServiceName(cluster)}`;
  const hostNames = [host, `${host}.${cluster.namespace}`, own, `${own}.${domain}`];
  const extra = view.spec.extraSubjectAltNames;
  return {
    secretName: memberSecretName(member),
    member,
    leaves: [
      {
        authority: "client",
        certificateKey: "server.crt",
        privateKeyKey: "server.key",
        commonName: member,
        dnsNames: [
          ...serviceNames(cluster, clientServiceName(cluster), domain),
          ...serviceNames(cluster, anyServiceName(cluster), domain),
          ...hostNames,
          "localhost",
          ...extra.filter((name) => !isIpAddress(name)),
        ],
        ipAddresses: ["127.0.0.1", "::1", ...extra.filter(isIpAddress)],
        uris: [],
        usages: ["serverAuth"],
        durationSeconds: view.spec.tls.client.durationSeconds,
      },
      {
        authority: "peer",
        certificateKey: "peer.crt",
        privateKeyKey: "peer.key",
        commonName: member,
        dnsNames: hostNames,
        ipAddresses: [],
        uris: [memberUri(cluster, member)],
        usages: ["serverAuth", "clientAuth"],
        durationSeconds: view.spec.tls.peer.durationSeconds,
      },
    ],
    trust: [
      { key: "client-ca.crt", authority: "client" },
      { key: "peer-ca.crt", authority: "peer" },
    ],
  };
}

function clientHolder(cluster: ClusterName, durationSeconds: number): Holder {
  return identityHolder(clientSecretName(cluster), `${cluster.name}-client`, [], durationSeconds);
}

function adminHolder(cluster: ClusterName, durationSeconds: number): Holder {
  return identityHolder(adminSecretName(cluster), "concord-operator", [adminUri(cluster)], durationSeconds);
}

/** A client certificate in the usual keys, with the CA that a client of the cluster trusts. */
function identityHolder(
  secretName: string,
  commonName: string,
  uris: readonly string[],
  durationSeconds: number,
): Holder {
  return {
    secretName,
    member: undefined,
    leaves: [
      {
        authority: "client",
        certificateKey: "tls.crt",
        privateKeyKey: "tls.key",
        commonName,
        dnsNames: [],
        ipAddresses: [],
        uris,
        usages: ["clientAuth"],
        durationSeconds,
      },
    ],
    trust: [{ key: "ca.crt", authority: "client" }],
  };
}

const serviceNames = (cluster: ClusterName, service: string, domain: string): string[] => [
  service,
  `${service}.${cluster.namespace}`,
  `${service}.${cluster.namespace}.svc`,
  `${service}.${cluster.namespace}.svc.${domain}`,
];

const secretOf = (view: View, name: string): SecretFacts | undefined =>
  view.observed.secrets.find((secret) => secret.name === name && !secret.deleting);

/** IPv6 addresses have a colon, IPv4 addresses end in a number; DNS names do neither. */
const isIpAddress = (name: string): boolean => name.includes(":") || /(^|\.)[0-9]+$/.test(name);

/** `::1` and `0:0:0:0:0:0:0:1` are one address. */
function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  if (!/^[0-9a-f:]*::?[0-9a-f:]*$/.test(lower)) return lower;
  const [head = "", tail] = lower.split("::");
  const parts = (text: string) => text.split(":").filter((part) => part !== "");
  const missing = tail === undefined ? 0 : 8 - parts(head).length - parts(tail).length;
  const all = [...parts(head), ...Array.from({ length: Math.max(0, missing) }, () => "0"), ...parts(tail ?? "")];
  return all.map((part) => part.replace(/^0+(?=.)/, "")).join(":");
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  const left = new Set(a);
  const right = new Set(b);
  return left.size === right.size && [...left].every((item) => right.has(item));
}
