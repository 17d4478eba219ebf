import type { ConcordClusterSpec, ConcordClusterStatus } from "../api/v1alpha1/cluster.ts";

/**
 * Everything `plan` may know, as one value. Times are Unix milliseconds. Nothing in here is guessed: what could not be
 * observed is absent, and an absence never counts as "gone" unless the list it belongs to was complete.
 */
export interface Observed {
  readonly cluster: ClusterFacts;
  readonly settings: OperatorSettings;
  /** ServiceAccounts, Services and PodDisruptionBudgets under the names of `resources/names.ts`, whoever they belong to. */
  readonly objects: readonly ObjectFacts[];
  readonly statefulSets: readonly StatefulSetFacts[];
  readonly pods: readonly PodFacts[];
  /** Claims with the label `concord.io/cluster-uid` of this cluster, retained ones of removed members included. */
  readonly volumeClaims: readonly VolumeClaimFacts[];
  /** Secrets under the names of `resources/names.ts`, read by name. */
  readonly secrets: readonly SecretFacts[];
  /**
   * Answers of the admin door, at most one per pod; a pod that did not answer has none. All were asked for after the
   * previous decisive action of this process had ended.
   */
  readonly reports: readonly MemberReport[];
  /** Own writes that the caches do not show yet. While there are any, `plan` waits. */
  readonly pending: readonly PendingExpectation[];
  /** 16 hex digits from a cryptographic source, drawn anew for every observation; used only if a cluster id is needed. */
  readonly proposedClusterId: string;
}

export interface ClusterFacts {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly generation: number;
  readonly resourceVersion: string;
  readonly deleting: boolean;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: ConcordClusterSpec;
  readonly status: ConcordClusterStatus;
}

/** What the operator was started with. */
export interface OperatorSettings {
  /** Its own image, the default of new clusters, as `repository[:tag][@digest]`. */
  readonly defaultImage: string;
  /** Usually `cluster.local`. */
  readonly clusterDomain: string;
}

export interface ObjectFacts {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly deleting: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** UID of the owner reference with `controller: true`. */
  readonly controllerUid: string | undefined;
  /** What this process applied last, kept in memory: the hash of the manifest and the resourceVersion of the answer. */
  readonly lastApplied: { readonly hash: string; readonly resourceVersion: string } | undefined;
}

export interface StatefulSetFacts extends ObjectFacts {
  /** Annotation `concord.io/template-hash` of the pod template. */
  readonly templateHash: string | undefined;
  /** Image of the container `concord` in the template. */
  readonly image: string | undefined;
  /** `status.observedGeneration` has reached `metadata.generation`: a pod made now comes from this template. */
  readonly settled: boolean;
}

export interface PodFacts {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly deleting: boolean;
  /** It is being deleted and should have ended a while ago: its node does not answer. It may never go by itself. */
  readonly overdue: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly controllerUid: string | undefined;
  /** Condition Ready. */
  readonly ready: boolean;
  /** The container `concord` is in the state running. */
  readonly running: boolean;
  readonly nodeName: string | undefined;
  readonly restartCount: number;
  /** Of the container `concord`: why it ended last time. */
  readonly lastTermination:
    | {
        readonly exitCode: number;
        /** Kubernetes' reason, such as `OOMKilled` or `Error`. */
        readonly reason: string;
        /** `code` of the JSON that the member wrote as termination message; empty when there was none. */
        readonly code: string;
        readonly message: string;
      }
    | undefined;
  /** Why it is not running: reason of the waiting state or of the condition PodScheduled, such as `ImagePullBackOff`. */
  readonly waitingReason: string | undefined;
}

export interface VolumeClaimFacts extends ObjectFacts {
  readonly phase: string;
  /** `spec.resources.requests.storage`. */
  readonly requestedSize: string;
  readonly storageClassName: string | undefined;
}

export interface SecretFacts extends ObjectFacts {
  /** Facts about the PEM certificates under the keys of the Secret; a key whose value does not parse is absent. */
  readonly certificates: Readonly<Record<string, CertificateFacts>>;
  /** Keys that are present and not empty, certificates or not. */
  readonly keys: readonly string[];
}

export interface CertificateFacts {
  readonly notBefore: number;
  readonly notAfter: number;
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly uris: readonly string[];
  /** SHA-256 of the subject public key, hex. */
  readonly publicKeyFingerprint: string;
  /** Whether the private key beside it (same name, `.key`) belongs to it. False for a bare CA certificate. */
  readonly keyMatches: boolean;
  /** SHA-256 of each DER certificate in the value, in order: one for a leaf, several for a bundle. */
  readonly fingerprints: readonly string[];
  /** SHA-256 of the public key that verifies its signature among the cluster's authorities; undefined: none of them. */
  readonly issuerPublicKeyFingerprint: string | undefined;
}

export type MemberState = "waiting" | "founding" | "running" | "recovering" | "removed" | "failed";

/** The part of the admin door's `MemberStatus` that decisions rest on, and how old it is. */
export interface MemberReport {
  /** The pod that answered. */
  readonly podName: string;
  readonly podUid: string;
  /** Age of the answer in milliseconds. */
  readonly ageMs: number;
  readonly state: MemberState;
  readonly id: string;
  readonly name: string;
  readonly clusterId: string;
  readonly clusterUid: string;
  readonly role: "follower" | "preCandidate" | "candidate" | "leader" | "learner";
  readonly leaderId: string;
  readonly term: number;
  readonly members: readonly ReportedMember[];
}

export interface ReportedMember {
  readonly id: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly learner: boolean;
  /** True only at the leader: it heard from this member within an election timeout. */
  readonly active: boolean;
  /** True only at the leader: close enough to be promoted. */
  readonly caughtUp: boolean;
}

export interface PendingExpectation {
  readonly kind: string;
  readonly name: string;
  /** What the caches must show before the next action, in words. */
  readonly waitingFor: string;
}
