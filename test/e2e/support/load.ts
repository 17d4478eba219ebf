import { readFileSync } from "node:fs";
import { apply, get, kubectl, until } from "./kubectl.ts";

/** What the generator measured, from the first write on. */
export interface LoadFigures {
  readonly acknowledged: number;
  /** Requests that were not acknowledged. */
  readonly failed: number;
  /** Those of them that may have happened all the same. */
  readonly unknown: number;
  /** Longest time between two acknowledgements of any worker. */
  readonly longestGapMs: number;
  readonly errors: Readonly<Record<string, number>>;
}

export interface LoadResult extends LoadFigures {
  /** Acknowledged writes that were not read back: must be 0. */
  readonly lostCount: number;
  readonly lost: readonly string[];
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const SCRIPT = readFileSync(new URL("load-generator.ts", import.meta.url), "utf8");
let serial = 0;

/** A pod that writes through the client Service of a cluster, from outside its pods. */
export class Load {
  readonly #namespace: string;
  readonly #pod: string;

  private constructor(namespace: string, pod: string) {
    this.#namespace = namespace;
    this.#pod = pod;
  }

  /** Starts it and waits for the first acknowledged writes. */
  static async start(
    namespace: string,
    cluster: string,
    image: string,
    options: { readonly workers?: number; readonly channels?: number } = {},
  ): Promise<Load> {
    serial += 1;
    const pod = `load-${serial}`;
    const target = `${cluster}.${namespace}.svc:2379`;
    const metadata = { namespace, labels: { "app.kubernetes.io/name": "concord-e2e" } };
    await apply(
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { ...metadata, name: "load-generator" },
        data: { "load-generator.ts": SCRIPT },
      },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { ...metadata, name: pod },
        spec: {
          restartPolicy: "Never",
          terminationGracePeriodSeconds: 1,
          securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } },
          containers: [
            {
              name: "load",
              image,
              imagePullPolicy: "IfNotPresent",
              command: ["node", "/scripts/load-generator.ts", target],
              args: [String(options.workers ?? 8), String(options.channels ?? 4)],
              volumeMounts: [
                { name: "scripts", mountPath: "/scripts" },
                { name: "tls", mountPath: "/tls" },
                { name: "tmp", mountPath: "/tmp" },
              ],
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
            },
          ],
          volumes: [
            { name: "scripts", configMap: { name: "load-generator" } },
            { name: "tls", secret: { secretName: `${cluster}-client-tls` } },
            { name: "tmp", emptyDir: {} },
          ],
        },
      },
    );
    const load = new Load(namespace, pod);
    await until("acknowledged writes", 60_000, async () => (await load.figures()).acknowledged > 20);
    return load;
  }

  /** So far. */
  async figures(): Promise<LoadFigures> {
    const text = await kubectl("-n", this.#namespace, "logs", this.#pod, "--tail=1");
    return JSON.parse(text.trim()) as LoadFigures;
  }

  /** Waits until so many more writes were acknowledged. */
  async writes(count: number): Promise<void> {
    const before = (await this.figures()).acknowledged;
    await until(`${count} more acknowledged writes`, 120_000, async () => {
      return (await this.figures()).acknowledged >= before + count;
    });
  }

  /** Ends the writing, reads everything back and takes the pod away. */
  async stop(): Promise<LoadResult> {
    const write = "require('node:fs').writeFileSync('/tmp/stop', '')";
    await kubectl("-n", this.#namespace, "exec", this.#pod, "--", "node", "-e", write);
    await until("the end of the load", 120_000, async () => {
      const pod = await get(this.#namespace, "pod", this.#pod);
      return ["Succeeded", "Failed"].includes((pod?.status?.["phase"] as string | undefined) ?? "");
    });
    const lines = (await kubectl("-n", this.#namespace, "logs", this.#pod, "--tail=1")).trim();
    const result = JSON.parse(lines) as LoadResult & { readonly type: string };
    if (result.type !== "result") throw new Error(`Load generator ended without a result: ${lines}`);
    await kubectl("-n", this.#namespace, "delete", "pod", this.#pod, "--wait=false");
    return result;
  }
}
