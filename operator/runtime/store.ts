import { compareResourceVersions, keyOf, type KubernetesObject } from "./kubernetes-object.ts";

export type StoreChange<T> =
  | { readonly type: "added"; readonly object: T }
  | { readonly type: "modified"; readonly object: T; readonly previous: T }
  | { readonly type: "deleted"; readonly object: T };

/** Names under which an object is found: `byIndex(name, value)`. */
export type Indexers<T> = Readonly<Record<string, (object: T) => readonly string[]>>;

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/**
 * The objects of one kind as far as the watch has told. Objects are frozen in meaning: nobody changes them.
 *
 * Invariant: every index holds exactly the keys that its function gives for the stored objects.
 */
export class Store<T extends KubernetesObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexers: Indexers<T>;
  readonly #indexes = new Map<string, Map<string, Set<string>>>();
  readonly #listeners = new Set<(change: StoreChange<T>) => void>();
  #resourceVersion = "";

  constructor(indexers: Indexers<T> = {}) {
    this.#indexers = indexers;
    for (const name of Object.keys(indexers)) this.#indexes.set(name, new Map());
  }

  /** Newest resource version the watch has shown, bookmarks included; empty before the first list. */
  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): readonly T[] {
    return [...this.#objects.values()];
  }

  /** @throws TypeError for an index that was not declared */
  byIndex(index: string, value: string): readonly T[] {
    const keys = this.#indexes.get(index);
    if (keys === undefined) throw new TypeError(`Cannot read index "${index}": it was not declared`);
    const objects: T[] = [];
    for (const key of keys.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object !== undefined) objects.push(object);
    }
    return objects;
  }

  /** Whether the watch has shown everything up to this version. */
  hasSeen(resourceVersion: string): boolean {
    return this.#resourceVersion !== "" && compareResourceVersions(this.#resourceVersion, resourceVersion) >= 0;
  }

  /** Listeners run at once and must only enqueue. @returns the way to unsubscribe */
  onChange(listener: (change: StoreChange<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The state of a fresh list: what it lacks was deleted while nobody watched. */
  replace(objects: readonly T[], resourceVersion: string): void {
    const listed = new Set(objects.map(keyOf));
    for (const [key, object] of [...this.#objects]) if (!listed.has(key)) this.#remove(key, object);
    for (const object of objects) this.#put(object);
    this.#resourceVersion = resourceVersion;
  }

  upsert(object: T): void {
    this.#put(object);
    this.#advance(object);
  }

  delete(object: T): void {
    const key = keyOf(object);
    // The event carries the last state, which the cache may not have seen.
    if (this.#objects.has(key)) this.#remove(key, strip(object));
    this.#advance(object);
  }

  bookmark(resourceVersion: string): void {
    this.#resourceVersion = resourceVersion;
  }

  #advance(object: T): void {
    if (object.metadata.resourceVersion !== undefined) this.#resourceVersion = object.metadata.resourceVersion;
  }

  #put(raw: T): void {
    const object = strip(raw);
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous !== undefined) {
      if (previous.metadata.resourceVersion === object.metadata.resourceVersion) return;
      if (previous.metadata.uid !== object.metadata.uid) {
        // Deleted and created again between two looks: to its owners these are two objects.
        this.#remove(key, previous);
        this.#put(raw);
        return;
      }
      this.#unindex(key, previous);
    }
    this.#objects.set(key, object);
    this.#index(key, object);
    this.#emit(previous === undefined ? { type: "added", object } : { type: "modified", object, previous });
  }

  #remove(key: string, object: T): void {
    const stored = this.#objects.get(key);
    if (stored !== undefined) this.#unindex(key, stored);
    this.#objects.delete(key);
    this.#emit({ type: "deleted", object });
  }

  #index(key: string, object: T): void {
    for (const [name, indexer] of Object.entries(this.#indexers)) {
      const index = this.#indexes.get(name);
      for (const value of indexer(object)) {
        const keys = index?.get(value);
        if (keys === undefined) index?.set(value, new Set([key]));
        else keys.add(key);
      }
    }
  }

  #unindex(key: string, object: T): void {
    for (const [name, indexer] of Object.entries(this.#indexers)) {
      const index = this.#indexes.get(name);
      for (const value of indexer(object)) {
        const keys = index?.get(value);
        keys?.delete(key);
        if (keys?.size === 0) index?.delete(value);
      }
    }
  }

  #emit(change: StoreChange<T>): void {
    for (const listener of this.#listeners) listener(change);
  }
}

/** Drops what nobody here reads and what makes up half of an object's bytes. */
function strip<T extends KubernetesObject>(object: T): T {
  const metadata = { ...object.metadata } as Record<string, unknown>;
  delete metadata["managedFields"];
  const annotations = object.metadata.annotations;
  if (annotations?.[LAST_APPLIED] !== undefined) {
    metadata["annotations"] = Object.fromEntries(Object.entries(annotations).filter(([name]) => name !== LAST_APPLIED));
  }
  return { ...object, metadata };
}
