import {
  CLUSTER_NAME_LENGTH_MAX,
  ConcordClusterSpec,
  ConcordClusterStatus,
  GROUP,
  KIND,
  PLURAL,
  VERSION,
} from "./cluster.ts";

type Json = Record<string, unknown>;

/** The CustomResourceDefinition of ConcordCluster, made from the schemas. */
export function buildClusterCrd(): Json {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${PLURAL}.${GROUP}` },
    spec: {
      group: GROUP,
      names: {
        kind: KIND,
        listKind: `${KIND}List`,
        plural: PLURAL,
        singular: KIND.toLowerCase(),
        shortNames: ["concord", "cc"],
        categories: ["concord"],
      },
      scope: "Namespaced",
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: rootSchema() },
          subresources: {
            status: {},
            scale: {
              specReplicasPath: ".spec.replicas",
              statusReplicasPath: ".status.replicas",
              labelSelectorPath: ".status.selector",
            },
          },
          additionalPrinterColumns: PRINTER_COLUMNS,
        },
      ],
    },
  };
}

const column = (name: string, type: string, jsonPath: string, priority = 0): Json => ({
  name,
  type,
  jsonPath,
  ...(priority === 0 ? {} : { priority }),
});

const PRINTER_COLUMNS = [
  column("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
  column("Members", "integer", ".status.readyReplicas"),
  column("Desired", "integer", ".spec.replicas"),
  column("Leader", "string", ".status.leader"),
  column("Reason", "string", '.status.conditions[?(@.type=="Progressing")].reason'),
  column("Age", "date", ".metadata.creationTimestamp"),
  column("Tolerates", "integer", ".status.quorum.faultTolerance", 1),
  column("Image", "string", ".status.image", 1),
  column("ClusterID", "string", ".status.clusterID", 1),
];

function rootSchema(): Json {
  return {
    type: "object",
    description: "A Concord cluster: a strongly consistent key-value store of one or more members.",
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { type: "object" },
      spec: { ...structural(ConcordClusterSpec), default: {} },
      // Never equal to a generation: a cluster the operator has not seen yet must not pass for a finished one.
      status: { ...structural(ConcordClusterStatus), default: { observedGeneration: -1 } },
    },
    "x-kubernetes-validations": [
      {
        rule: `size(self.metadata.name) <= ${CLUSTER_NAME_LENGTH_MAX} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')`,
        message: `the name must begin with a letter, consist of lower-case letters, digits and "-", and be at most ${CLUSTER_NAME_LENGTH_MAX} characters long`,
      },
    ],
  };
}

/** JSON Schema as TypeBox writes it, in the dialect the API server takes: maps are `additionalProperties`. */
function structural(schema: unknown): Json {
  return convert(JSON.parse(JSON.stringify(schema))) as Json;
}

function convert(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== "object" || value === null) return value;
  const { patternProperties, ...rest } = value as Json;
  const converted = Object.fromEntries(Object.entries(rest).map(([key, field]) => [key, convert(field)]));
  if (patternProperties === undefined) return converted;
  return { ...converted, additionalProperties: convert(Object.values(patternProperties as Json)[0]) };
}
