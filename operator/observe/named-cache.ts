import { type KubernetesObject, objectKey, type ResourceType } from "../runtime/kubernetes-object.ts";
import { type RestClient } from "../runtime/rest-client.ts";

interface Entry<T> {
  /** Undefined: there was none. */
  readonly object: T | undefined;
  readonly atMs: number;
}

/** Objects of one kind that may be read by name only, kept until they are too old. */
export class NamedCache<T extends KubernetesObject> {
  readonly #client: RestClient;
  readonly #type: ResourceType;
  readonly #ageMsMax: number;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry<T>>();

  /** @param options.ageMsMax milliseconds after which an object is read again */
  constructor(
    client: RestClient,
    type: ResourceType,
    options: { readonly ageMsMax: number; readonly now?: () => number },
  ) {
    this.#client = client;
    this.#type = type;
    this.#ageMsMax = options.ageMsMax;
    this.#now = options.now ?? (() => performance.now());
  }

  async get(namespace: string, name: string, signal?: AbortSignal): Promise<T | undefined> {
    const entry = this.#entries.get(objectKey(namespace, name));
    if (entry !== undefined && this.#now() - entry.atMs < this.#ageMsMax) return entry.object;
    return this.read(namespace, name, signal);
  }

  /** Reads past the cache and into it. */
  async read(namespace: string, name: string, signal?: AbortSignal): Promise<T | undefined> {
    const object = await this.#client.get<T>(this.#type, namespace, name, { signal });
    this.#entries.set(objectKey(namespace, name), { object, atMs: this.#now() });
    return object;
  }

  /** Remembers what a write answered. */
  put(object: T): void {
    const key = objectKey(object.metadata.namespace ?? "", object.metadata.name);
    this.#entries.set(key, { object, atMs: this.#now() });
  }

  forget(namespace: string, name: string): void {
    this.#entries.delete(objectKey(namespace, name));
  }

  /** Forgets all names for which `test` holds. */
  forgetWhere(namespace: string, test: (name: string) => boolean): void {
    const prefix = `${namespace}/`;
    for (const key of this.#entries.keys()) {
      if (key.startsWith(prefix) && test(key.slice(prefix.length))) this.#entries.delete(key);
    }
  }
}
