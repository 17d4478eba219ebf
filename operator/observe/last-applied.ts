import { type KubernetesObject } from "../runtime/kubernetes-object.ts";
import { type LastApplied } from "./facts.ts";

interface Remembered {
  readonly clusterKey: string;
  readonly uid: string;
  readonly applied: NonNullable<LastApplied>;
}

/**
 * What this process applied last, so that an object is applied again only when it should be different or was touched by
 * somebody else. Lost on a restart, which costs one apply per object that changes nothing.
 */
export class LastAppliedMemory {
  readonly #entries = new Map<string, Remembered>();

  /** @param hash of the manifest that was sent, @param answer what the API server made of it */
  remember(clusterKey: string, kind: string, hash: string, answer: KubernetesObject): void {
    const { uid, resourceVersion } = answer.metadata;
    if (uid === undefined || resourceVersion === undefined) return;
    this.#entries.set(keyFor(kind, answer), { clusterKey, uid, applied: { hash, resourceVersion } });
  }

  get(kind: string, object: KubernetesObject): LastApplied {
    const entry = this.#entries.get(keyFor(kind, object));
    return entry?.uid === object.metadata.uid ? entry?.applied : undefined;
  }

  /** Drops everything that belongs to one cluster. */
  forget(clusterKey: string): void {
    for (const [key, entry] of this.#entries) if (entry.clusterKey === clusterKey) this.#entries.delete(key);
  }
}

function keyFor(kind: string, object: KubernetesObject): string {
  return `${kind}/${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}
