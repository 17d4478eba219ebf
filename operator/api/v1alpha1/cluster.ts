import { Type, type Static } from "typebox";

/**
 * ConcordCluster, `concord.io/v1alpha1`. This schema is the single source of the types and of
 * `crds/concordclusters.yaml`; `kubectl explain concordcluster.spec` shows its descriptions.
 *
 * Only `replicas` has a default in the API server, because the scale sub-resource cannot read an absent field. All other
 * defaults live in `defaults.ts`: a default written into `spec` by the API server looks like drift to GitOps tools.
 */
export const GROUP = "concord.io";
export const VERSION = "v1alpha1";
export const API_VERSION = `${GROUP}/${VERSION}`;
export const KIND = "ConcordCluster";
export const PLURAL = "concordclusters";

export const REPLICAS_DEFAULT = 3;
export const REPLICAS_MAX = 7;
/** Longest cluster name: leaves room for `-m<serial>` and the revision hash that a StatefulSet puts into a label. */
export const CLUSTER_NAME_LENGTH_MAX = 40;

/** Flags that only the operator may set; `spec.config.extra` cannot name them. */
export const OPERATOR_FLAGS = [
  "name",
  "data-dir",
  "start-mode",
  "cluster-uid",
  "initial-cluster",
  "initial-cluster-state",
  "initial-cluster-token",
  "listen-client-urls",
  "advertise-client-urls",
  "listen-peer-urls",
  "initial-advertise-peer-urls",
  "listen-metrics-urls",
  "cert-file",
  "key-file",
  "client-cert-auth",
  "trusted-ca-file",
  "peer-cert-file",
  "peer-key-file",
  "peer-client-cert-auth",
  "peer-trusted-ca-file",
  "termination-message-path",
] as const;

const QUANTITY_PATTERN = "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|m)?$";
const DAY_SECONDS = 86_400;

/** A string that is one of `values`, in the form a structural schema wants. */
const choice = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: "string", enum: [...values], description });

const intOrString = () => Type.Unsafe<number | string>({ "x-kubernetes-int-or-string": true });

/** A piece of the Kubernetes API that is passed on as it is; the API server validates it in the object it ends up in. */
const passThrough = (description: string) =>
  Type.Unsafe<Record<string, unknown>>({
    type: "object",
    "x-kubernetes-preserve-unknown-fields": true,
    description,
  });

const passThroughList = (description: string) =>
  Type.Unsafe<Record<string, unknown>[]>({
    type: "array",
    maxItems: 64,
    items: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
    "x-kubernetes-list-type": "atomic",
    description,
  });

const labelMap = (description: string) => Type.Record(Type.String(), Type.String({ maxLength: 4096 }), { description });

export const ImageSpec = Type.Object(
  {
    repository: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
    tag: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" })),
    digest: Type.Optional(Type.String({ pattern: "^sha256:[0-9a-f]{64}$", description: "Wins over `tag`." })),
    pullPolicy: Type.Optional(choice(["Always", "IfNotPresent", "Never"], "Default: the kubelet's rule for the tag.")),
    pullSecrets: Type.Optional(
      Type.Array(Type.Object({ name: Type.String({ minLength: 1, maxLength: 253 }) }), {
        maxItems: 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
      }),
    ),
  },
  {
    description:
      "Image of the members. Default: the operator's own image at the time the cluster was created; a later operator does not change it.",
  },
);

export const StorageSpec = Type.Object(
  {
    size: Type.Optional(
      Type.String({
        pattern: QUANTITY_PATTERN,
        maxLength: 32,
        description: "Of each volume. Default 1Gi; may only grow.",
      }),
    ),
    storageClassName: Type.Optional(
      Type.String({ maxLength: 253, description: "Immutable. Default: the default class of the Kubernetes cluster." }),
    ),
    retentionPolicy: Type.Optional(
      Type.Object({
        whenDeleted: Type.Optional(
          choice(["Retain", "Delete"], "Volumes after the ConcordCluster is deleted. Default Retain."),
        ),
        whenScaled: Type.Optional(
          choice(["Retain", "Delete"], "The volume of a member that was safely removed. Default Delete."),
        ),
      }),
    ),
  },
  {
    description: "One volume per member, made by the operator.",
    "x-kubernetes-validations": [
      {
        rule: "!has(oldSelf.size) || (has(self.size) && quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0)",
        message: "storage.size cannot shrink, nor be taken away",
      },
      {
        rule: "has(oldSelf.size) || !has(self.size) || quantity(self.size).compareTo(quantity('1Gi')) >= 0",
        message: "storage.size cannot shrink: without it, it was 1Gi",
      },
      {
        rule: "has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
        message: "storage.storageClassName cannot change",
      },
    ],
  },
);

export const ResourcesSpec = Type.Object(
  {
    limits: Type.Optional(Type.Record(Type.String(), intOrString())),
    requests: Type.Optional(Type.Record(Type.String(), intOrString())),
  },
  { description: "Of the Concord container. Default requests: cpu 100m, memory 256Mi; no limits." },
);

export const SchedulingSpec = Type.Object({
  affinity: Type.Optional(passThrough("core/v1 Affinity; replaces the generated anti-affinity.")),
  antiAffinity: Type.Optional(
    choice(["Preferred", "Required", "Disabled"], "Whether two members may share a node. Default Preferred."),
  ),
  tolerations: Type.Optional(passThroughList("core/v1 Toleration")),
  nodeSelector: Type.Optional(labelMap("Labels a node must have.")),
  topologySpreadConstraints: Type.Optional(
    passThroughList("core/v1 TopologySpreadConstraint; replaces the generated spread over zones."),
  ),
  priorityClassName: Type.Optional(Type.String({ maxLength: 253 })),
});

const certificateTimes = {
  durationSeconds: Type.Optional(
    Type.Integer({ minimum: 3600, maximum: 3650 * DAY_SECONDS, description: "Life of a leaf. Default 90 days." }),
  ),
  renewBeforeSeconds: Type.Optional(
    Type.Integer({ minimum: 300, maximum: 3650 * DAY_SECONDS, description: "Default: a third of the life." }),
  ),
  caDurationSeconds: Type.Optional(
    Type.Integer({ minimum: 7200, maximum: 36_500 * DAY_SECONDS, description: "Life of the CA. Default ten years." }),
  ),
};

const certificateRules = [
  {
    rule: "self.?renewBeforeSeconds.orValue(300) * 2 <= self.?durationSeconds.orValue(7776000)",
    message: "renewBeforeSeconds must be at most half of durationSeconds (90 days if not given)",
  },
  {
    rule: "self.?caDurationSeconds.orValue(315360000) >= self.?durationSeconds.orValue(7776000) * 2",
    message: "caDurationSeconds must be at least twice durationSeconds (90 days if not given)",
  },
];

export const TlsSideSpec = Type.Object(certificateTimes, { "x-kubernetes-validations": certificateRules });
export const TlsClientSpec = Type.Object(
  {
    ...certificateTimes,
    extraSubjectAltNames: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 253 }), {
        maxItems: 32,
        "x-kubernetes-list-type": "set",
        description: "Further DNS names or IP addresses in the server certificates.",
      }),
    ),
  },
  { "x-kubernetes-validations": certificateRules },
);

export const TlsSpec = Type.Object(
  { client: Type.Optional(TlsClientSpec), peer: Type.Optional(TlsSideSpec) },
  { description: "TLS is always on and both sides show certificates; the operator is the authority." },
);

export const ConfigSpec = Type.Object(
  {
    heartbeatPeriodMilliseconds: Type.Optional(Type.Integer({ minimum: 10, maximum: 10_000 })),
    electionTimeoutMilliseconds: Type.Optional(Type.Integer({ minimum: 50, maximum: 50_000 })),
    snapshotEntries: Type.Optional(
      Type.Integer({
        minimum: 100,
        maximum: 10_000_000,
        description: "Log entries kept for members that lag, before they get a snapshot.",
      }),
    ),
    quotaBackendBytes: Type.Optional(Type.Integer({ minimum: 16_777_216 })),
    maxRequestBytes: Type.Optional(Type.Integer({ minimum: 1024, maximum: 67_108_864 })),
    autoCompactionMode: Type.Optional(choice(["periodic", "revision"], "How history is compacted.")),
    autoCompactionRetention: Type.Optional(
      Type.String({
        pattern: "^[0-9]+(ms|s|m|h)?$",
        maxLength: 16,
        description: "A duration such as 1h, or revisions.",
      }),
    ),
    logLevel: Type.Optional(choice(["debug", "info", "warn", "error"], "Default info.")),
    extra: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String({ pattern: "^[a-z][a-z0-9-]*$", maxLength: 64, description: "Without leading dashes." }),
            value: Type.String({ maxLength: 1024 }),
          },
          {
            "x-kubernetes-validations": [
              {
                rule: `!(self.name in [${OPERATOR_FLAGS.map((flag) => `'${flag}'`).join(", ")}])`,
                message: "the operator sets this flag itself",
              },
            ],
          },
        ),
        {
          maxItems: 32,
          description: "Further flags of `concord node`.",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["name"],
        },
      ),
    ),
  },
  {
    description: "Changes restart the members, one after the other.",
    "x-kubernetes-validations": [
      {
        rule: "self.?electionTimeoutMilliseconds.orValue(300) >= 5 * self.?heartbeatPeriodMilliseconds.orValue(50)",
        message: "electionTimeoutMilliseconds (300 if not given) must be at least 5 heartbeatPeriodMilliseconds (50)",
      },
    ],
  },
);

export const PodTemplateSpec = Type.Object(
  {
    metadata: Type.Optional(
      Type.Object({
        labels: Type.Optional(labelMap("Added to the pods.")),
        annotations: Type.Optional(labelMap("Added to the pods.")),
      }),
    ),
    spec: Type.Optional(passThrough("core/v1 PodSpec, in part")),
  },
  { description: "Merged onto the generated pod as kubectl's strategic merge does; the container is named `concord`." },
);

export const ClientServiceSpec = Type.Object({
  type: Type.Optional(choice(["ClusterIP", "NodePort", "LoadBalancer"], "Default ClusterIP.")),
  labels: Type.Optional(labelMap("Added to the Service.")),
  annotations: Type.Optional(labelMap("Added to the Service.")),
});

export const MemberReplacementSpec = Type.Object({
  enabled: Type.Optional(Type.Boolean({ description: "Default true." })),
  restartThreshold: Type.Optional(
    Type.Integer({
      minimum: 3,
      maximum: 100,
      description:
        "Container restarts after which a member counts as failed, while another runs the same template. Default 5.",
    }),
  ),
});

export const ConcordClusterSpec = Type.Object(
  {
    replicas: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: REPLICAS_MAX,
        default: REPLICAS_DEFAULT,
        description: "Voting members. Odd sizes are better: 4 tolerate no more failures than 3.",
      }),
    ),
    image: Type.Optional(ImageSpec),
    storage: Type.Optional(StorageSpec),
    resources: Type.Optional(ResourcesSpec),
    scheduling: Type.Optional(SchedulingSpec),
    tls: Type.Optional(TlsSpec),
    config: Type.Optional(ConfigSpec),
    services: Type.Optional(Type.Object({ client: Type.Optional(ClientServiceSpec) })),
    podTemplate: Type.Optional(PodTemplateSpec),
    podDisruptionBudget: Type.Optional(
      Type.Object({ enabled: Type.Optional(Type.Boolean({ description: "Default true; none for one member." })) }),
    ),
    recovery: Type.Optional(Type.Object({ memberReplacement: Type.Optional(MemberReplacementSpec) })),
    paused: Type.Optional(Type.Boolean({ description: "The operator observes, but changes nothing." })),
    progressDeadlineSeconds: Type.Optional(
      Type.Integer({
        minimum: 30,
        maximum: 86_400,
        description: "Without progress for so long: Stalled. Default 600.",
      }),
    ),
  },
  {
    description: "What is wanted. `{}` is three members with TLS and 1-GiB volumes.",
    "x-kubernetes-validations": [
      {
        rule: "!has(oldSelf.storage) || has(self.storage)",
        message: "storage cannot be taken away once it was given",
      },
      {
        rule: "has(oldSelf.storage) || !has(self.storage) || !has(self.storage.size) || quantity(self.storage.size).compareTo(quantity('1Gi')) >= 0",
        message: "storage.size cannot shrink: without it, it was 1Gi",
      },
      {
        rule: "has(oldSelf.storage) || !has(self.storage) || !has(self.storage.storageClassName)",
        message: "storage.storageClassName cannot change",
      },
    ],
  },
);
export type ConcordClusterSpec = Static<typeof ConcordClusterSpec>;

/** metav1.Condition. */
export const Condition = Type.Object({
  type: Type.String({ maxLength: 316 }),
  status: choice(["True", "False", "Unknown"], "Whether it holds."),
  observedGeneration: Type.Optional(Type.Integer({ minimum: 0 })),
  lastTransitionTime: Type.String({ format: "date-time" }),
  reason: Type.String({ minLength: 1, maxLength: 1024 }),
  message: Type.String({ maxLength: 32_768 }),
});
export type Condition = Static<typeof Condition>;

const MEMBER_ROLES = ["Leader", "Follower", "Learner", "None"] as const;
const MEMBER_STATES = ["Ready", "CatchingUp", "Unreachable", "Waiting", "Replacing", "Removing"] as const;

export const MemberStatusEntry = Type.Object({
  name: Type.String(),
  id: Type.Optional(Type.String({ description: "Raft id; set once the member is in the configuration, then kept." })),
  role: choice(MEMBER_ROLES, "In Raft; None until it joined."),
  state: choice(MEMBER_STATES, "Short summary."),
  volumeClaimName: Type.String(),
  volumeClaimUID: Type.Optional(Type.String({ description: "Of the volume it joined with." })),
});
export type MemberStatusEntry = Static<typeof MemberStatusEntry>;

export const FoundingStatus = Type.Object(
  {
    member: Type.String(),
    memberID: Type.String({ description: "Raft id of the empty data directory; another one means the disk was lost." }),
    volumeClaimUID: Type.String(),
    size: Type.Integer({ minimum: 1 }),
  },
  {
    description:
      "The only data directory the grant may ever go to, and how many members must vote before the first write.",
  },
);
export type FoundingStatus = Static<typeof FoundingStatus>;

/** Holds only what changes on transitions, so that a steady state writes nothing. Positions and lag are metrics. */
export const ConcordClusterStatus = Type.Object({
  observedGeneration: Type.Optional(Type.Integer()),
  conditions: Type.Optional(
    Type.Array(Condition, { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] }),
  ),
  clusterID: Type.Optional(Type.String({ description: "Drawn once, before founding, and never changed." })),
  founding: Type.Optional(FoundingStatus),
  bootstrapTime: Type.Optional(Type.String({ format: "date-time", description: "When all founding members voted." })),
  nextMemberSerial: Type.Optional(Type.Integer({ minimum: 1, description: "Serials are never used twice." })),
  replicas: Type.Optional(Type.Integer({ description: "Voting members." })),
  readyReplicas: Type.Optional(Type.Integer()),
  updatedReplicas: Type.Optional(Type.Integer()),
  selector: Type.Optional(Type.String({ description: "Label selector of the pods, for the scale sub-resource." })),
  image: Type.Optional(Type.String({ description: "The image the members should run." })),
  leader: Type.Optional(Type.String({ description: "Name of the leading member." })),
  quorum: Type.Optional(
    Type.Object({
      voters: Type.Integer(),
      healthy: Type.Integer(),
      required: Type.Integer(),
      faultTolerance: Type.Integer({ description: "How many more members may fail." }),
    }),
  ),
  members: Type.Optional(
    Type.Array(MemberStatusEntry, { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] }),
  ),
  progressDeadlineTime: Type.Optional(Type.String({ format: "date-time" })),
});
export type ConcordClusterStatus = Static<typeof ConcordClusterStatus>;
