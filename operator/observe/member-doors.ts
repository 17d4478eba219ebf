import { isIPv6 } from "node:net";
import { AdminClient } from "../../node/client/index.ts";
import { type MemberReport } from "../plan/observed.ts";
import { adminSecretName, CLIENT_PORT, type ClusterName, memberHost, memberOfPod } from "../resources/names.ts";
import { type Logger } from "../runtime/logger.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import { secretData } from "./facts.ts";
import { type NamedCache } from "./named-cache.ts";
import { type PodObject, type SecretObject } from "./shapes.ts";

export interface MemberDoorsOptions {
  /** Port of the admin door. @default CLIENT_PORT */
  readonly port?: number;
  /** Milliseconds one status call may take. @default 2000 */
  readonly probeMs?: number;
  /** Status calls at the same time, over all clusters. @default 16 */
  readonly concurrency?: number;
  /** An answer younger than this is not asked for again. @default 1000 */
  readonly freshMs?: number;
}

/** The operator's own certificate for one cluster. */
interface Identity {
  readonly version: string;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

interface Door {
  readonly client: AdminClient;
  /** Pod IP and version of the certificate it was opened with. */
  readonly reach: string;
  report: { readonly value: Omit<MemberReport, "ageMs">; readonly atMs: number } | undefined;
}

/**
 * The admin doors of the members. A member is reached at its pod's IP address, while its certificate is checked for its
 * DNS name: so neither the cluster's DNS nor a stale address can lead to another member, and an operator that runs
 * outside the cluster reaches members too.
 */
export class MemberDoors {
  readonly #secrets: NamedCache<SecretObject>;
  readonly #log: Logger;
  readonly #options: MemberDoorsOptions;
  readonly #slots: Semaphore;
  /** By pod UID. */
  readonly #doors = new Map<string, Door>();
  readonly #podsOf = new Map<string, ReadonlySet<string>>();

  constructor(secrets: NamedCache<SecretObject>, log: Logger, options: MemberDoorsOptions = {}) {
    this.#secrets = secrets;
    this.#log = log;
    this.#options = options;
    this.#slots = new Semaphore(options.concurrency ?? 16);
  }

  /** Asks every pod for its status. Pods that do not answer are absent. */
  async probe(cluster: ClusterName, pods: readonly PodObject[], signal: AbortSignal): Promise<readonly MemberReport[]> {
    await this.#closeOthers(cluster, pods);
    const identity = await this.#identity(cluster, signal);
    if (identity === undefined) return [];
    const reports = await Promise.all(pods.map((pod) => this.#probeOne(cluster, pod, identity, signal)));
    return reports.filter((report) => report !== undefined);
  }

  /**
   * The admin door of one pod.
   *
   * @returns undefined while the pod has no address or the operator no certificate
   */
  async open(cluster: ClusterName, pod: PodObject, signal: AbortSignal): Promise<AdminClient | undefined> {
    const identity = await this.#identity(cluster, signal);
    return identity === undefined ? undefined : (await this.#door(cluster, pod, identity))?.client;
  }

  /** Makes the next probe ask anew, after an action has changed what the answers say. */
  expire(cluster: ClusterName): void {
    for (const uid of this.#podsOf.get(cluster.uid) ?? []) {
      const door = this.#doors.get(uid);
      if (door !== undefined) door.report = undefined;
    }
  }

  /** Closes the doors of a cluster that is gone. */
  async forget(clusterUid: string): Promise<void> {
    const uids = this.#podsOf.get(clusterUid) ?? new Set();
    this.#podsOf.delete(clusterUid);
    await Promise.all([...uids].map((uid) => this.#close(uid)));
  }

  async close(): Promise<void> {
    this.#podsOf.clear();
    await Promise.all([...this.#doors.keys()].map((uid) => this.#close(uid)));
  }

  async #probeOne(
    cluster: ClusterName,
    pod: PodObject,
    identity: Identity,
    signal: AbortSignal,
  ): Promise<MemberReport | undefined> {
    const door = await this.#door(cluster, pod, identity);
    if (door === undefined) return undefined;
    const nowMs = performance.now();
    if (door.report !== undefined && nowMs - door.report.atMs < (this.#options.freshMs ?? 1000)) {
      return { ...door.report.value, ageMs: Math.round(nowMs - door.report.atMs) };
    }
    return this.#slots.run(async () => {
      const startedMs = performance.now();
      try {
        const status = await door.client.status({ signal, timeoutMs: this.#options.probeMs ?? 2000 });
        const value: Omit<MemberReport, "ageMs"> = {
          podName: pod.metadata.name,
          podUid: pod.metadata.uid ?? "",
          state: status.state,
          id: status.id,
          name: status.name,
          clusterId: status.clusterId,
          clusterUid: status.clusterUid,
          role: status.role,
          leaderId: status.leaderId,
          term: status.term,
          members: status.members.map(({ id, name, peerUrls, learner, active, caughtUp }) => ({
            id,
            name,
            peerUrls,
            learner,
            active,
            caughtUp,
          })),
        };
        door.report = { value, atMs: startedMs };
        return { ...value, ageMs: Math.round(performance.now() - startedMs) };
      } catch (error) {
        this.#log.debug({ pod: pod.metadata.name, err: error }, "Member did not answer");
        return undefined;
      }
    });
  }

  async #door(cluster: ClusterName, pod: PodObject, identity: Identity): Promise<Door | undefined> {
    const uid = pod.metadata.uid ?? "";
    const address = pod.status?.podIP;
    const member = memberOfPod(pod.metadata.name);
    if (address === undefined || member === undefined) return undefined;
    const reach = `${address} ${identity.version}`;
    const known = this.#doors.get(uid);
    if (known?.reach === reach) return known;
    await this.#close(uid);
    const host = isIPv6(address) ? `[${address}]` : address;
    const client = new AdminClient(`https://${host}:${this.#options.port ?? CLIENT_PORT}`, {
      tls: { ...identity.tls, serverName: memberHost(cluster, member) },
    });
    const door: Door = { client, reach, report: undefined };
    this.#doors.set(uid, door);
    return door;
  }

  async #identity(cluster: ClusterName, signal: AbortSignal): Promise<Identity | undefined> {
    const secret = await this.#secrets.get(cluster.namespace, adminSecretName(cluster), signal);
    if (secret === undefined) return undefined;
    const data = secretData(secret);
    const [ca, cert, key] = [data.get("ca.crt"), data.get("tls.crt"), data.get("tls.key")];
    if (ca === undefined || cert === undefined || key === undefined) return undefined;
    return { version: secret.metadata.resourceVersion ?? "", tls: { ca, cert, key } };
  }

  async #closeOthers(cluster: ClusterName, pods: readonly PodObject[]): Promise<void> {
    const current = new Set(pods.map((pod) => pod.metadata.uid ?? ""));
    const before = this.#podsOf.get(cluster.uid) ?? new Set();
    this.#podsOf.set(cluster.uid, current);
    for (const uid of before) if (!current.has(uid)) await this.#close(uid);
  }

  async #close(podUid: string): Promise<void> {
    const door = this.#doors.get(podUid);
    if (door === undefined) return;
    this.#doors.delete(podUid);
    await door.client.close();
  }
}
