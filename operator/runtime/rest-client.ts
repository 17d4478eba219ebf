import { setTimeout as sleep } from "node:timers/promises";
import { type ApiError, apiErrorFrom, isNotFound } from "./api-error.ts";
import { type Connection } from "./connection.ts";
import { type Answer, openExchange, readAnswer, StaleSocketError } from "./http-exchange.ts";
import {
  apiVersionOf,
  type KubernetesList,
  type KubernetesObject,
  type ResourceType,
  resourceTypeOf,
} from "./kubernetes-object.ts";
import { FIELD_MANAGER, STATUS_FIELD_MANAGER } from "../resources/labels.ts";
import { TokenBucket } from "./rate-limiter.ts";
import { readWatchEvents, type WatchEvent, type WatchPatience } from "./watch-stream.ts";

export interface RestClientOptions {
  /** Requests per second. @default 20 */
  readonly queriesPerSecond?: number;
  /** @default 30 */
  readonly burst?: number;
  /** Milliseconds one request may take. @default 30000 */
  readonly timeoutMs?: number;
  /** Called before every write, after all waiting: throws when this process may not write any more. */
  readonly fence?: () => void;
  /** Told of every answer; `code` is `<error>` when there was none. */
  readonly onRequest?: (method: string, code: string) => void;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ListOptions extends CallOptions {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Page size. @default 500 */
  readonly limit?: number | undefined;
  /** `"0"` is answered from the API server's cache, absent means the newest. */
  readonly resourceVersion?: string | undefined;
}

export interface WatchOptions extends CallOptions {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
  readonly patience: WatchPatience;
}

export interface DeleteOptions extends CallOptions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan" | undefined;
  readonly gracePeriodSeconds?: number | undefined;
}

export interface ApplyOptions extends CallOptions {
  readonly subresource?: "status" | undefined;
  /** @default FIELD_MANAGER, for the status STATUS_FIELD_MANAGER */
  readonly fieldManager?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface PatchOptions extends CallOptions {
  readonly subresource?: "status" | undefined;
  readonly fieldManager?: string | undefined;
}

/** One operation of RFC 6902. */
export interface JsonPatchOperation {
  readonly op: "add" | "remove" | "replace" | "test";
  readonly path: string;
  readonly value?: unknown;
}

const PAGE_SIZE = 500;
/** A server that names a wait (429 and 503) is obeyed this often before the caller hears of it. */
const ATTEMPTS_MAX = 6;
const RETRY_AFTER_MS_MAX = 30_000;

/**
 * The Kubernetes API as JSON in and JSON out. Objects are never passed through a model, so fields that a newer API
 * server knows survive. Every method throws ApiError for an answer that is no success.
 */
export class RestClient {
  readonly #connection: Connection;
  readonly #limiter: TokenBucket;
  readonly #options: RestClientOptions;
  readonly #timeoutMs: number;

  constructor(connection: Connection, options: RestClientOptions = {}) {
    this.#connection = connection;
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#limiter = new TokenBucket({ perSecond: options.queriesPerSecond ?? 20, burst: options.burst ?? 30 });
  }

  /** @returns undefined when the object does not exist */
  async get<T extends KubernetesObject>(
    type: ResourceType,
    namespace: string | undefined,
    name: string,
    options: CallOptions = {},
  ): Promise<T | undefined> {
    try {
      return await this.#json<T>("GET", pathOf(type, namespace, name), options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** One page; `continueToken` is that of the page before. An empty namespace lists all namespaces. */
  async listPage(
    type: ResourceType,
    namespace: string | undefined,
    options: ListOptions = {},
    continueToken = "",
  ): Promise<KubernetesList<KubernetesObject>> {
    const query = new URLSearchParams({ limit: String(options.limit ?? PAGE_SIZE) });
    if (options.labelSelector !== undefined) query.set("labelSelector", options.labelSelector);
    if (options.fieldSelector !== undefined) query.set("fieldSelector", options.fieldSelector);
    if (continueToken !== "") query.set("continue", continueToken);
    else if (options.resourceVersion !== undefined) query.set("resourceVersion", options.resourceVersion);
    return this.#json<KubernetesList<KubernetesObject>>(
      "GET",
      `${pathOf(type, namespace)}?${query.toString()}`,
      options,
    );
  }

  /** All pages. @returns the objects and the resource version to watch from */
  async list(
    type: ResourceType,
    namespace: string | undefined,
    options: ListOptions = {},
  ): Promise<{ readonly items: readonly KubernetesObject[]; readonly resourceVersion: string }> {
    const items: KubernetesObject[] = [];
    let continueToken = "";
    for (;;) {
      const page = await this.listPage(type, namespace, options, continueToken);
      // Items of a list carry neither field, which would make them unlike the same object from a get or a watch.
      const identity = { apiVersion: apiVersionOf(type), kind: type.kind };
      for (const item of page.items ?? []) items.push({ ...identity, ...item });
      continueToken = page.metadata.continue ?? "";
      if (continueToken === "") return { items, resourceVersion: page.metadata.resourceVersion ?? "" };
    }
  }

  /** Opens a watch; the promise resolves when the server has accepted it. */
  async watch(
    type: ResourceType,
    namespace: string | undefined,
    options: WatchOptions,
  ): Promise<AsyncGenerator<WatchEvent, void, undefined>> {
    const query = new URLSearchParams({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: options.resourceVersion,
      timeoutSeconds: String(options.timeoutSeconds),
    });
    if (options.labelSelector !== undefined) query.set("labelSelector", options.labelSelector);
    if (options.fieldSelector !== undefined) query.set("fieldSelector", options.fieldSelector);
    await this.#limiter.acquire(options.signal);
    // The watch outlives the request's time-out, which therefore covers the head of the response alone.
    const opening = new AbortController();
    const timer = setTimeout(() => opening.abort(new Error("Watch was not accepted in time")), this.#timeoutMs);
    try {
      const signals = [opening.signal, ...(options.signal === undefined ? [] : [options.signal])];
      const response = await openExchange(await this.#connection.credentials(), {
        method: "GET",
        path: `${pathOf(type, namespace)}?${query.toString()}`,
        headers: { accept: "application/json" },
        signal: AbortSignal.any(signals),
      });
      this.#options.onRequest?.("WATCH", String(response.statusCode));
      if (response.statusCode !== 200) throw this.#failure(response.statusCode ?? 0, await readAnswer(response));
      return readWatchEvents(response, options.patience);
    } finally {
      clearTimeout(timer);
    }
  }

  create<T extends KubernetesObject>(object: T, options: CallOptions = {}): Promise<T> {
    const path = `${pathOf(resourceTypeOf(object), object.metadata.namespace)}?fieldManager=${FIELD_MANAGER}`;
    return this.#json<T>("POST", path, options, object);
  }

  /** PUT: fails with a conflict unless `metadata.resourceVersion` is the current one. */
  replace<T extends KubernetesObject>(object: T, options: CallOptions = {}): Promise<T> {
    const { name, namespace } = object.metadata;
    const path = `${pathOf(resourceTypeOf(object), namespace, name)}?fieldManager=${FIELD_MANAGER}`;
    return this.#json<T>("PUT", path, options, object);
  }

  /**
   * Server-side apply with force: afterwards the object has exactly the fields given, and those of other managers. A
   * `metadata.resourceVersion` or `metadata.uid` in the object is a precondition.
   */
  apply<T extends KubernetesObject>(object: T, options: ApplyOptions = {}): Promise<T> {
    const { name, namespace } = object.metadata;
    const manager = options.fieldManager ?? (options.subresource === "status" ? STATUS_FIELD_MANAGER : FIELD_MANAGER);
    const query = new URLSearchParams({ fieldManager: manager, force: "true" });
    if (options.dryRun === true) query.set("dryRun", "All");
    const path = `${pathOf(resourceTypeOf(object), namespace, name, options.subresource)}?${query.toString()}`;
    return this.#json<T>("PATCH", path, options, object, "application/apply-patch+yaml");
  }

  /** RFC 7386. */
  patchMerge<T extends KubernetesObject>(
    type: ResourceType,
    namespace: string | undefined,
    name: string,
    patch: object,
    options: PatchOptions = {},
  ): Promise<T> {
    const path = `${pathOf(type, namespace, name, options.subresource)}?fieldManager=${options.fieldManager ?? FIELD_MANAGER}`;
    return this.#json<T>("PATCH", path, options, patch, "application/merge-patch+json");
  }

  /** RFC 6902. A failed `test` operation is an ApiError that isInvalid accepts. */
  patchJson<T extends KubernetesObject>(
    type: ResourceType,
    namespace: string | undefined,
    name: string,
    patch: readonly JsonPatchOperation[],
    options: PatchOptions = {},
  ): Promise<T> {
    const path = `${pathOf(type, namespace, name, options.subresource)}?fieldManager=${options.fieldManager ?? FIELD_MANAGER}`;
    return this.#json<T>("PATCH", path, options, patch, "application/json-patch+json");
  }

  /**
   * @returns false when the object was gone already
   * @throws ApiError with status 409 when a precondition does not hold: another object, or another version of it
   */
  async delete(
    type: ResourceType,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): Promise<boolean> {
    const preconditions = {
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.resourceVersion === undefined ? {} : { resourceVersion: options.resourceVersion }),
    };
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      preconditions,
      propagationPolicy: options.propagationPolicy ?? "Background",
      ...(options.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: options.gracePeriodSeconds }),
    };
    try {
      await this.#json("DELETE", pathOf(type, namespace, name), options, body);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async #json<T>(
    method: string,
    path: string,
    options: CallOptions,
    body?: unknown,
    contentType = "application/json",
  ): Promise<T> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    for (let attempt = 1; ; attempt += 1) {
      await this.#limiter.acquire(options.signal);
      const answer = await this.#attempt(method, path, text, contentType, options.signal);
      if (answer === undefined) {
        if (attempt < ATTEMPTS_MAX) continue;
        throw new Error(`Cannot reach the API server for ${method} ${path}: every connection was closed`);
      }
      if (answer.status >= 200 && answer.status < 300) return JSON.parse(answer.body) as T;
      const error = this.#failure(answer.status, answer);
      const mayRetry = error.status === 429 || error.status >= 500;
      if (!mayRetry || error.retryAfterMs === 0 || attempt === ATTEMPTS_MAX) throw error;
      const waitMs = Math.min(error.retryAfterMs, RETRY_AFTER_MS_MAX);
      await sleep(waitMs, undefined, options.signal === undefined ? {} : { signal: options.signal });
    }
  }

  /** @returns undefined when an idle connection turned out to be closed, and the request may be repeated */
  async #attempt(
    method: string,
    path: string,
    body: string | undefined,
    contentType: string,
    outer: AbortSignal | undefined,
  ): Promise<Answer | undefined> {
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    const signal = outer === undefined ? timeout : AbortSignal.any([timeout, outer]);
    const headers = { accept: "application/json", ...(body === undefined ? {} : { "content-type": contentType }) };
    const credentials = await this.#connection.credentials();
    if (method !== "GET") this.#options.fence?.();
    try {
      const answer = await readAnswer(await openExchange(credentials, { method, path, headers, body, signal }));
      this.#options.onRequest?.(method, String(answer.status));
      return answer;
    } catch (error) {
      this.#options.onRequest?.(method, "<error>");
      // A create may have happened before the connection closed; all else gives the same result twice.
      if (error instanceof StaleSocketError && method !== "POST") return undefined;
      if (timeout.aborted && outer?.aborted !== true) {
        throw new Error(`API server did not answer ${method} ${path} within ${this.#timeoutMs} ms`, { cause: error });
      }
      throw error;
    }
  }

  #failure(status: number, answer: Answer): ApiError {
    if (status === 401) this.#connection.invalidate();
    return apiErrorFrom(status, answer.body, answer.headers["retry-after"]);
  }
}

function pathOf(type: ResourceType, namespace: string | undefined, name?: string, subresource?: string): string {
  const root = type.group === "" ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = namespace === undefined || namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  const object = name === undefined ? "" : `/${encodeURIComponent(name)}`;
  return `${root}${scope}/${type.plural}${object}${subresource === undefined ? "" : `/${subresource}`}`;
}
