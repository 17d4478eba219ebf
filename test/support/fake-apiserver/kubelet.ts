import { setImmediate as turn } from "node:timers/promises";
import { isObject, type JsonObject, type StoredObject } from "./json.ts";
import { type Certificates, type FakeMembers } from "./members.ts";
import { type Address, Refusal, type Storage } from "./storage.ts";

/**
 * What Kubernetes' controllers and kubelets do for the operator's objects: StatefulSets of one replica get their pod,
 * pods get an address, mount their volume and run a member, deleted pods end and come again.
 */
export class FakeKubelet {
  readonly #storage: Storage;
  readonly #members: FakeMembers;
  readonly #addressPrefix: string;
  /** Pods (by name) that must not start, with the reason their container waits for. */
  readonly broken = new Map<string, string>();
  readonly #started = new Set<string>();
  #nextAddress = 1;
  #working: Promise<void> | undefined;
  #again = false;
  #closed = false;
  readonly #unsubscribe: () => void;

  /** @param addressPrefix first three numbers of the pods' loopback addresses */
  constructor(storage: Storage, members: FakeMembers, addressPrefix: string) {
    this.#storage = storage;
    this.#members = members;
    this.#addressPrefix = addressPrefix;
    this.#unsubscribe = storage.onEvent(() => this.kick());
    members.onChange = () => this.kick();
  }

  /** Looks at everything again. */
  kick(): void {
    this.#again = true;
    this.#working ??= this.#work();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    this.#members.onChange = () => undefined;
    await this.#working;
  }

  /** The process in a pod ends and starts again, on the same volume unless it was wiped before. */
  async restartContainer(namespace: string, pod: string): Promise<void> {
    await this.#members.stop(pod);
    const object = this.#storage.get({ resource: "/pods", namespace, name: pod });
    if (object !== undefined) this.#started.delete(object.metadata.uid);
    this.kick();
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      // Events come in the middle of a write; what follows from them happens after it.
      await turn();
      for (const statefulSet of this.#storage.list("apps/statefulsets")) this.#ensurePod(statefulSet);
      for (const pod of this.#storage.list("/pods")) await this.#syncPod(pod);
    }
    this.#working = undefined;
    if (this.#again && !this.#closed) this.kick();
  }

  #ensurePod(statefulSet: StoredObject): void {
    const namespace = statefulSet.metadata["namespace"] as string;
    const name = `${statefulSet.metadata.name}-0`;
    const own = { resource: "apps/statefulsets", namespace, name: statefulSet.metadata.name };
    this.#storage.patch(
      own,
      { status: { observedGeneration: statefulSet.metadata["generation"] ?? 1 } },
      { status: true },
    );
    const address = { resource: "/pods", namespace, name };
    if (this.#storage.get(address) !== undefined) return;
    const template = (statefulSet["spec"] as { template: { metadata: JsonObject; spec: JsonObject } }).template;
    this.#storage.create(
      address,
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          ...structuredClone(template.metadata),
          name,
          namespace,
          ownerReferences: [
            {
              apiVersion: "apps/v1",
              kind: "StatefulSet",
              name: statefulSet.metadata.name,
              uid: statefulSet.metadata.uid,
              controller: true,
            },
          ],
        },
        spec: structuredClone(template.spec),
      },
      "kubelet",
    );
  }

  async #syncPod(pod: StoredObject): Promise<void> {
    const namespace = pod.metadata["namespace"] as string;
    const address = { resource: "/pods", namespace, name: pod.metadata.name };
    if (pod.metadata["deletionTimestamp"] !== undefined) {
      await this.#members.stop(pod.metadata.name);
      this.#ignoreGone(() => this.#storage.delete(address, { uid: pod.metadata.uid }, false));
      return;
    }
    const reason = this.broken.get(pod.metadata.name);
    if (reason !== undefined) {
      await this.#members.stop(pod.metadata.name);
      this.#started.delete(pod.metadata.uid);
      this.#setStatus(address, { containerStatuses: [container({ waiting: { reason } })], conditions: [ready(false)] });
      return;
    }
    if (!this.#started.has(pod.metadata.uid)) await this.#start(address, pod);
    else this.#reload(address);
    const current = this.#storage.get(address);
    if (current?.metadata.uid !== pod.metadata.uid || !this.#started.has(pod.metadata.uid)) return;
    this.#setStatus(address, {
      containerStatuses: [container({ running: {} })],
      conditions: [ready(this.#members.isReady(pod.metadata.name))],
    });
  }

  async #start(address: Address, pod: StoredObject): Promise<void> {
    const { namespace } = address;
    const claimName = claimOf(pod);
    const claimAddress = { resource: "/persistentvolumeclaims", namespace, name: claimName ?? "" };
    const claim = this.#storage.get(claimAddress);
    const tls = this.#certificates(address);
    if (claim === undefined || tls === undefined) return;
    this.#storage.patch(claimAddress, { status: { phase: "Bound" } }, { status: true });
    const podIP = `${this.#addressPrefix}.${this.#nextAddress}`;
    this.#nextAddress += 1;
    this.#started.add(pod.metadata.uid);
    await this.#members.start(address.name, address.name.slice(0, -2), podIP, claim.metadata.uid, tls);
    this.#setStatus(address, { podIP, phase: "Running" });
  }

  #reload(address: Address): void {
    const tls = this.#certificates(address);
    if (tls !== undefined) this.#members.reload(address.name, tls);
  }

  #certificates({ namespace, name }: Address): Certificates | undefined {
    const secret = this.#storage.get({ resource: "/secrets", namespace, name: `${name.slice(0, -2)}-tls` });
    if (secret === undefined) return undefined;
    const data = secret["data"] as Record<string, string>;
    const read = (key: string) => Buffer.from(data[key] ?? "", "base64").toString("utf8");
    return {
      certificate: read("server.crt"),
      privateKey: read("server.key"),
      clientAuthority: read("client-ca.crt"),
    };
  }

  #setStatus(address: Address, status: JsonObject): void {
    this.#ignoreGone(() => this.#storage.patch(address, { status }, { status: true }));
  }

  #ignoreGone(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }
}

function claimOf(pod: StoredObject): string | undefined {
  const volumes = (pod["spec"] as { volumes?: { persistentVolumeClaim?: { claimName: string } }[] }).volumes ?? [];
  return volumes.find((volume) => isObject(volume.persistentVolumeClaim))?.persistentVolumeClaim?.claimName;
}

function container(state: JsonObject): JsonObject {
  return { name: "concord", restartCount: 0, state };
}

function ready(value: boolean): JsonObject {
  return { type: "Ready", status: value ? "True" : "False" };
}
