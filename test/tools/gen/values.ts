import { Type, type TSchema } from "typebox";

const name = (description: string) => Type.String({ description, maxLength: 253 });
const strings = (description: string) => Type.Record(Type.String(), Type.String(), { description });
const objects = (description: string) => Type.Array(Type.Object({}), { description });
const closed = (properties: Record<string, TSchema>, description: string) =>
  Type.Partial(Type.Object(properties), { additionalProperties: false, description });

/** Schema of the chart's values; `values.yaml` holds the defaults. */
const Values = closed(
  {
    global: Type.Object({}, { description: "Helm's global values; `imageRegistry` wins over `image.registry`." }),
    nameOverride: name("Replaces the chart's name in object names."),
    fullnameOverride: name("Replaces the whole prefix of object names."),
    replicaCount: Type.Integer({
      minimum: 0,
      maximum: 5,
      description: "Operator pods; one works, the others stand by.",
    }),
    image: closed(
      {
        registry: name("Put before the repository when not empty."),
        repository: Type.String({ minLength: 1 }),
        tag: Type.String({ description: "Default: the chart's appVersion." }),
        digest: Type.String({ pattern: "^(sha256:[0-9a-f]{64})?$", description: "Wins over the tag." }),
        pullPolicy: Type.Enum(["Always", "IfNotPresent", "Never"]),
      },
      "Image of the operator, and the default image of the members.",
    ),
    imagePullSecrets: Type.Array(Type.Object({ name: Type.String({ minLength: 1 }) })),
    crds: closed(
      {
        install: Type.Boolean({ description: "Install and upgrade the CustomResourceDefinitions with the chart." }),
        keep: Type.Boolean({ description: "Leave them, and with them all clusters, when the release is uninstalled." }),
      },
      "CustomResourceDefinitions",
    ),
    watchNamespaces: Type.Array(Type.String({ pattern: "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" }), {
      description: "Only these namespaces, with Roles instead of a ClusterRole. Empty: all.",
      uniqueItems: true,
    }),
    clusterDomain: name("DNS domain of the Kubernetes cluster."),
    concurrency: Type.Integer({ minimum: 1, maximum: 64, description: "ConcordClusters worked on at the same time." }),
    leaderElection: closed({ enabled: Type.Boolean() }, "Needed for more than one replica."),
    logging: closed({ level: Type.Enum(["trace", "debug", "info", "warn", "error", "fatal"]) }, "Logs are JSON lines."),
    rbac: closed({ create: Type.Boolean() }, "Roles and bindings"),
    serviceAccount: closed(
      { create: Type.Boolean(), name: name("Default: the full name."), annotations: strings("Added to it.") },
      "Identity of the operator",
    ),
    metrics: closed(
      {
        service: closed(
          { create: Type.Boolean(), labels: strings("Added."), annotations: strings("Added.") },
          "Service",
        ),
        serviceMonitor: closed(
          { create: Type.Boolean(), labels: strings("Added."), interval: Type.String({ pattern: "^[0-9]+(s|m)$" }) },
          "For the Prometheus operator",
        ),
      },
      "Port 9568: /metrics, /healthz, /readyz",
    ),
    podDisruptionBudget: closed({ create: Type.Boolean() }, "Only useful for more than one replica."),
    podLabels: strings("Added to the operator's pods."),
    podAnnotations: strings("Added to the operator's pods."),
    podSecurityContext: Type.Object({}),
    securityContext: Type.Object({}),
    resources: Type.Object({}),
    nodeSelector: strings("Labels a node must have."),
    tolerations: objects("core/v1 Toleration"),
    affinity: Type.Object({}),
    topologySpreadConstraints: objects("core/v1 TopologySpreadConstraint"),
    priorityClassName: name("Of the operator's pods."),
    extraArgs: Type.Array(Type.String(), { description: "Further flags of `concord operator`." }),
    extraEnv: objects("core/v1 EnvVar"),
    extraVolumes: objects("core/v1 Volume"),
    extraVolumeMounts: objects("core/v1 VolumeMount"),
    extraObjects: objects("Further objects; strings in them are rendered as templates."),
  },
  "Values of the chart concord-operator",
);

/** JSON Schema for `values.schema.json`; draft 7 is the newest that every Helm 3 understands. */
export function valuesSchema(): Record<string, unknown> {
  return { $schema: "http://json-schema.org/draft-07/schema#", title: "concord-operator", ...json(Values) };
}

const json = (schema: TSchema): Record<string, unknown> =>
  JSON.parse(JSON.stringify(schema)) as Record<string, unknown>;
