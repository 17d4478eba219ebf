import { describe, expect, it } from "vitest";
import { OPERATOR_FLAGS, type ConcordClusterSpec } from "../api/v1alpha1/cluster.ts";
import { buildStatefulSet, templateHash } from "./statefulset.ts";

const cluster = { name: "demo", namespace: "prod", uid: "0a1b2c3d-demo" };

interface Container {
  readonly args: readonly string[];
  readonly image: string;
  readonly env?: unknown;
  readonly securityContext: unknown;
  readonly resources: unknown;
}
interface Template {
  readonly metadata: { readonly labels: Record<string, string>; readonly annotations: Record<string, string> };
  readonly spec: {
    readonly containers: readonly Container[];
    readonly securityContext: unknown;
    readonly automountServiceAccountToken: boolean;
    readonly volumes: readonly { readonly name: string; readonly persistentVolumeClaim?: unknown }[];
    readonly affinity?: unknown;
  };
}

function template(spec: ConcordClusterSpec, serving = false): Template {
  const options = { serial: 7, image: "concord:1", serving, restartedAt: undefined };
  return (buildStatefulSet(cluster, spec, options)["spec"] as { template: Template }).template;
}

describe("the StatefulSet of a member", () => {
  it("fits Pod Security restricted", () => {
    const { spec } = template({});
    expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
    expect(spec.containers[0]?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(spec.automountServiceAccountToken).toBe(false);
  });

  it("mounts a claim by name and tells the member who it is", () => {
    const { spec } = template({});
    expect(spec.volumes[0]).toEqual({
      name: "data",
      persistentVolumeClaim: { claimName: "data-demo-0a1b2-m7" },
    });
    expect(spec.containers[0]?.args).toEqual(
      expect.arrayContaining([
        "--name=demo-m7",
        "--start-mode=wait",
        "--cluster-uid=0a1b2c3d-demo",
        "--advertise-client-urls=https://demo-m7-0.demo-peers.prod.svc:2379",
        "--initial-advertise-peer-urls=https://demo-m7-0.demo-peers.prod.svc:2380",
      ]),
    );
  });

  it("protects every flag it sets itself from config.extra", () => {
    const flags = template({}).spec.containers[0]?.args.map((flag) => flag.slice(2, flag.indexOf("="))) ?? [];
    expect(flags.length).toBeGreaterThan(10);
    expect(flags.filter((flag) => !OPERATOR_FLAGS.some((own) => own === flag))).toEqual([]);
  });

  it("passes config on", () => {
    const config = { electionTimeoutMilliseconds: 1000, extra: [{ name: "max-txn-ops", value: "256" }] };
    expect(template({ config }).spec.containers[0]?.args).toEqual(
      expect.arrayContaining(["--election-timeout=1000", "--max-txn-ops=256"]),
    );
  });

  it("merges podTemplate, but keeps the labels it selects by", () => {
    const { metadata, spec } = template({
      podTemplate: {
        metadata: { labels: { "concord.io/cluster": "other", team: "storage" } },
        spec: {
          containers: [
            { name: "concord", env: [{ name: "X", value: "1" }] },
            { name: "sidecar", image: "s" },
          ],
        },
      },
    });
    expect(metadata.labels).toMatchObject({ "concord.io/cluster": "demo", team: "storage" });
    expect(spec.containers.map(({ image }) => image)).toEqual(["concord:1", "s"]);
    expect(spec.containers[0]?.env).toEqual([{ name: "X", value: "1" }]);
  });

  it("spreads over nodes unless told otherwise", () => {
    expect(JSON.stringify(template({}).spec.affinity)).toContain("preferredDuringScheduling");
    const required = template({ scheduling: { antiAffinity: "Required" } });
    expect(JSON.stringify(required.spec.affinity)).toContain("requiredDuringScheduling");
    expect(template({ scheduling: { antiAffinity: "Disabled" } }).spec.affinity).toBeUndefined();
  });
});

describe("the template hash", () => {
  const hash = (spec: ConcordClusterSpec, image = "concord:1"): string => templateHash(spec, image, undefined);

  it("changes with what needs a restart, and with nothing else", () => {
    const base = hash({});
    expect(hash({ replicas: 5, tls: { client: { durationSeconds: 7200 } }, storage: { size: "9Gi" } })).toBe(base);
    expect(hash({ config: { logLevel: "debug" } })).not.toBe(base);
    expect(hash({}, "concord:2")).not.toBe(base);
    expect(templateHash({}, "concord:1", "2026-01-01")).not.toBe(base);
  });

  it("is the same in every version of the operator", () => {
    expect(hash({ resources: { requests: { cpu: 1 } } })).toBe("4dd9f0d5c1e3f977");
  });

  it("does not depend on whether clients are sent to the member", () => {
    const annotation = "concord.io/template-hash";
    expect(template({}, true).metadata.annotations[annotation]).toBe(template({}).metadata.annotations[annotation]);
    expect(template({}, true).metadata.labels["concord.io/serving"]).toBe("true");
  });
});
