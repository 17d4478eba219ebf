import { buildClusterCrd } from "../../../operator/api/v1alpha1/crd.ts";
import { CLUSTER_RULES, LEASE_RULES, OWN_POD_RULES } from "./rbac.ts";

type Json = Record<string, unknown>;

const NAME = "concord-operator";
const NAMESPACE = "concord-system";
const IMAGE = "ghcr.io/concord-kv/concord:0.1.0";
const METRICS_PORT = 9568;
const selector = { "app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": NAME };
const labels = { ...selector, "app.kubernetes.io/component": "operator", "app.kubernetes.io/part-of": "concord" };

/** Everything `kubectl apply -f charts/concord-operator.yaml` installs: the same as the chart with its default values. */
export function buildManifest(): readonly Json[] {
  const subjects = [{ kind: "ServiceAccount", name: NAME, namespace: NAMESPACE }];
  const role = (kind: string) => ({ apiGroup: "rbac.authorization.k8s.io", kind, name: NAME });
  return [
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: NAMESPACE, labels: { ...labels, "pod-security.kubernetes.io/enforce": "restricted" } },
    },
    buildClusterCrd(),
    object("v1", "ServiceAccount", NAMESPACE, {}),
    object("rbac.authorization.k8s.io/v1", "ClusterRole", undefined, { rules: CLUSTER_RULES }),
    object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", undefined, { roleRef: role("ClusterRole"), subjects }),
    object("rbac.authorization.k8s.io/v1", "Role", NAMESPACE, { rules: [...LEASE_RULES, ...OWN_POD_RULES] }),
    object("rbac.authorization.k8s.io/v1", "RoleBinding", NAMESPACE, { roleRef: role("Role"), subjects }),
    object("v1", "Service", NAMESPACE, {
      spec: { selector, ports: [{ name: "metrics", port: METRICS_PORT, targetPort: "metrics", protocol: "TCP" }] },
    }),
    object("apps/v1", "Deployment", NAMESPACE, { spec: deploymentSpec() }),
  ];
}

const object = (apiVersion: string, kind: string, namespace: string | undefined, fields: Json): Json => ({
  apiVersion,
  kind,
  metadata: { name: NAME, ...(namespace === undefined ? {} : { namespace }), labels },
  ...fields,
});

function deploymentSpec(): Json {
  return {
    replicas: 1,
    selector: { matchLabels: selector },
    template: {
      metadata: { labels },
      spec: {
        serviceAccountName: NAME,
        securityContext: {
          fsGroup: 1000,
          runAsGroup: 1000,
          runAsNonRoot: true,
          runAsUser: 1000,
          seccompProfile: { type: "RuntimeDefault" },
        },
        containers: [operatorContainer()],
        volumes: [{ name: "tmp", emptyDir: {} }],
      },
    },
  };
}

function operatorContainer(): Json {
  const probe = (path: string) => ({ httpGet: { path, port: "metrics" }, periodSeconds: 10, timeoutSeconds: 5 });
  const fromField = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  return {
    name: "operator",
    image: IMAGE,
    imagePullPolicy: "IfNotPresent",
    command: ["concord", "operator"],
    args: [
      "--leader-election=true",
      `--leader-election-name=${NAME}`,
      "--cluster-domain=cluster.local",
      "--concurrency=4",
      "--log-level=info",
    ],
    env: [fromField("POD_NAME", "metadata.name"), fromField("POD_NAMESPACE", "metadata.namespace")],
    ports: [{ name: "metrics", containerPort: METRICS_PORT, protocol: "TCP" }],
    livenessProbe: { ...probe("/healthz"), failureThreshold: 6 },
    readinessProbe: probe("/readyz"),
    resources: { limits: { memory: "512Mi" }, requests: { cpu: "50m", memory: "128Mi" } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      readOnlyRootFilesystem: true,
    },
    volumeMounts: [{ name: "tmp", mountPath: "/tmp" }],
  };
}
