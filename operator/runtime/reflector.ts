import { setTimeout as sleep } from "node:timers/promises";
import { isGone } from "./api-error.ts";
import { Backoff } from "./backoff.ts";
import { Deferred } from "./deferred.ts";
import { type KubernetesObject, type ResourceType } from "./kubernetes-object.ts";
import { type Logger } from "./logger.ts";
import { type RestClient } from "./rest-client.ts";
import { type Store } from "./store.ts";

export interface ReflectorOptions {
  readonly type: ResourceType;
  /** Undefined watches all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  /** Seconds after which the server ends a watch, drawn anew for each from [min, 2 min). @default 300 */
  readonly watchSecondsMin?: number | undefined;
  /** Milliseconds of silence beyond the watch's own end after which it counts as dead. @default 30000 */
  readonly idleGraceMs?: number | undefined;
  /** Milliseconds of silence after which a watch that has sent bookmarks counts as dead. @default 75000 */
  readonly bookmarkMs?: number | undefined;
  /** First wait after a failure, in milliseconds; doubles up to `backoffMsMax`. @default 800 */
  readonly backoffMs?: number | undefined;
  /** @default 30000 */
  readonly backoffMsMax?: number | undefined;
}

/** The API server sends a bookmark about once a minute, once it has begun. */
const BOOKMARK_MS_MAX = 75_000;

/**
 * Keeps a store equal to what the API server holds: list, then watch from there, for ever. Whatever fails is tried again
 * after a wait; only a lost history (410) makes it list anew.
 */
export class Reflector<T extends KubernetesObject> {
  readonly #client: RestClient;
  readonly #store: Store<T>;
  readonly #options: ReflectorOptions;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #synced = new Deferred<undefined>();
  readonly #backoff: Backoff;
  #hasSynced = false;
  #running: Promise<void> | undefined;

  constructor(client: RestClient, store: Store<T>, log: Logger, options: ReflectorOptions) {
    this.#client = client;
    this.#store = store;
    this.#options = options;
    this.#log = log.child({ resource: options.type.plural, namespace: options.namespace ?? "" });
    this.#backoff = new Backoff({ baseMs: options.backoffMs ?? 800, maxMs: options.backoffMsMax ?? 30_000 });
    // A reflector that is closed before its first list leaves nobody waiting in vain, and no unhandled rejection.
    this.#synced.promise.catch(() => undefined);
  }

  /** True after the first complete list. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves after the first complete list. @throws Error when the reflector is closed before */
  async waitForSync(): Promise<void> {
    await this.#synced.promise;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    this.#synced.reject(new Error("Reflector was closed before its first list"));
  }

  #isStopped(): boolean {
    return this.#abort.signal.aborted;
  }

  async #run(): Promise<void> {
    let mustList = true;
    while (!this.#isStopped()) {
      try {
        if (mustList) await this.#list();
        mustList = false;
        const healthy = await this.#watch();
        if (healthy) continue;
        await this.#wait(new Error("Watch ended at once"));
      } catch (error) {
        if (this.#isStopped()) return;
        if (isGone(error)) mustList = true;
        await this.#wait(error);
      }
    }
  }

  async #list(): Promise<void> {
    const { items, resourceVersion } = await this.#client.list(this.#options.type, this.#options.namespace, {
      labelSelector: this.#options.labelSelector,
      signal: this.#abort.signal,
    });
    this.#store.replace(items as readonly T[], resourceVersion);
    this.#hasSynced = true;
    this.#synced.resolve(undefined);
    this.#log.debug({ objects: items.length, resourceVersion }, "Listed");
  }

  /** One watch until its end. @returns whether it lived long enough to start the next without a wait */
  async #watch(): Promise<boolean> {
    const minSeconds = this.#options.watchSecondsMin ?? 300;
    const timeoutSeconds = Math.ceil(minSeconds * (1 + Math.random()));
    const idleMs = timeoutSeconds * 1000 + (this.#options.idleGraceMs ?? 30_000);
    const startedMs = performance.now();
    const events = await this.#client.watch(this.#options.type, this.#options.namespace, {
      labelSelector: this.#options.labelSelector,
      resourceVersion: this.#store.resourceVersion,
      timeoutSeconds,
      patience: { idleMs, bookmarkMs: this.#options.bookmarkMs ?? BOOKMARK_MS_MAX },
      signal: this.#abort.signal,
    });
    let count = 0;
    for await (const event of events) {
      count += 1;
      this.#backoff.reset();
      switch (event.type) {
        case "ADDED":
        case "MODIFIED":
          this.#store.upsert(event.object as T);
          break;
        case "DELETED":
          this.#store.delete(event.object as T);
          break;
        case "BOOKMARK":
          this.#store.bookmark(event.object.metadata.resourceVersion ?? this.#store.resourceVersion);
          break;
      }
    }
    return count > 0 || performance.now() - startedMs > 1000;
  }

  async #wait(error: unknown): Promise<void> {
    const waitMs = this.#backoff.next();
    this.#log.warn({ err: error, waitMs: Math.round(waitMs) }, "List or watch failed");
    await sleep(waitMs, undefined, { signal: this.#abort.signal }).catch(() => undefined);
  }
}
