import { type KubernetesObject, keyOf } from "./kubernetes-object.ts";
import { type Store } from "./store.ts";

type AnyStore = Pick<Store<KubernetesObject>, "get" | "hasSeen">;

/** What a cache must still show. */
export interface PendingExpectation {
  readonly kind: string;
  readonly name: string;
  readonly waitingFor: string;
}

interface Pending extends PendingExpectation {
  readonly satisfied: () => boolean;
}

/**
 * What this process did and its caches may not show yet. Acting on a cache before it shows the last action is how an
 * operator deletes two members at once. In memory only: after a restart the caches are filled afresh.
 */
export class Expectations {
  readonly #pending = new Map<string, Pending[]>();

  /** @param owner key of the cluster on whose behalf the object was written */
  expectWrite(owner: string, store: AnyStore, written: KubernetesObject): void {
    const version = written.metadata.resourceVersion;
    if (version === undefined) return;
    this.#add(owner, {
      kind: written.kind ?? "",
      name: written.metadata.name,
      waitingFor: `version ${version}`,
      satisfied: () => {
        const seen = store.get(keyOf(written));
        return seen?.metadata.resourceVersion === version || store.hasSeen(version);
      },
    });
  }

  /** The object is gone, or at least marked for deletion, or its name belongs to another one. */
  expectDelete(owner: string, store: AnyStore, deleted: KubernetesObject): void {
    const { uid } = deleted.metadata;
    this.#add(owner, {
      kind: deleted.kind ?? "",
      name: deleted.metadata.name,
      waitingFor: "the deletion",
      satisfied: () => {
        const seen = store.get(keyOf(deleted));
        return seen === undefined || seen.metadata.uid !== uid || seen.metadata.deletionTimestamp !== undefined;
      },
    });
  }

  /** What the caches do not show yet of the actions for this owner; empty when they are fresh enough to act on. */
  pending(owner: string): readonly PendingExpectation[] {
    const left = (this.#pending.get(owner) ?? []).filter((item) => !item.satisfied());
    if (left.length === 0) this.#pending.delete(owner);
    else this.#pending.set(owner, left);
    return left.map(({ kind, name, waitingFor }) => ({ kind, name, waitingFor }));
  }

  forget(owner: string): void {
    this.#pending.delete(owner);
  }

  #add(owner: string, item: Pending): void {
    const items = this.#pending.get(owner);
    if (items === undefined) this.#pending.set(owner, [item]);
    else items.push(item);
  }
}
