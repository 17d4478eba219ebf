import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import {
  isObject,
  omit,
  type Json,
  type JsonObject,
  leafPaths,
  mergePatch,
  removePath,
  type StoredObject,
} from "./json.ts";

export interface StorageEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly resource: string;
  readonly object: StoredObject;
  readonly version: number;
}

/** An answer that is a failure: HTTP status and reason of a Status object. */
export class Refusal extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** Where an object is: `group/plural`, namespace and name. */
export interface Address {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

export interface WriteOptions {
  readonly status?: boolean;
}

/**
 * The objects of a fake cluster with one counter of resource versions, optimistic locking, generations, field ownership
 * of server-side apply (lists are atomic), finalizers, graceful deletion of pods and garbage collection by owner.
 */
export class Storage {
  readonly #objects = new Map<string, StoredObject>();
  /** Leaf paths each manager owns, by uid and manager. */
  readonly #owned = new Map<string, Map<string, ReadonlySet<string>>>();
  readonly #listeners = new Set<(event: StorageEvent) => void>();
  readonly #history: StorageEvent[] = [];
  #version = 100;
  #compactedVersion = 0;
  /** Writes that changed something, as `verb resource namespace/name`. */
  readonly writes: string[] = [];

  get version(): number {
    return this.#version;
  }

  onEvent(listener: (event: StorageEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get(address: Address): StoredObject | undefined {
    return this.#objects.get(keyOf(address));
  }

  list(resource: string, namespace = ""): StoredObject[] {
    const prefix = namespace === "" ? `${resource}|` : `${resource}|${namespace}|`;
    return [...this.#objects].filter(([key]) => key.startsWith(prefix)).map(([, object]) => object);
  }

  /** Events after a version. @throws Refusal 410 when they are forgotten */
  since(version: number): readonly StorageEvent[] {
    if (version < this.#compactedVersion) throw new Refusal(410, "Expired", `too old resource version: ${version}`);
    return this.#history.filter((event) => event.version > version);
  }

  /** Forgets all history, as etcd's compaction does. */
  compact(): void {
    this.#compactedVersion = this.#version;
    this.#history.length = 0;
  }

  create(address: Address, body: JsonObject, manager: string): StoredObject {
    if (this.get(address) !== undefined) throw new Refusal(409, "AlreadyExists", `${text(address)} already exists`);
    const given = isObject(body["metadata"]) ? body["metadata"] : {};
    const object = {
      ...body,
      metadata: {
        ...given,
        name: address.name,
        ...(address.namespace === "" ? {} : { namespace: address.namespace }),
        uid: randomUUID(),
        resourceVersion: "",
        generation: 1,
        creationTimestamp: new Date().toISOString(),
      },
    } as unknown as StoredObject;
    if (hasStatus(address.resource)) delete object["status"];
    applyDefaults(address.resource, object);
    this.#own(object, manager, body);
    return this.#commit("ADDED", address, object);
  }

  /** PUT. */
  replace(address: Address, body: JsonObject, manager: string, options: WriteOptions = {}): StoredObject {
    const current = this.#require(address);
    checkPreconditions(current, isObject(body["metadata"]) ? body["metadata"] : {});
    const next = options.status === true ? { ...current, status: body["status"] ?? {} } : structuredClone(body);
    if (options.status !== true && hasStatus(address.resource)) {
      if (current["status"] === undefined) Reflect.deleteProperty(next, "status");
      else next["status"] = current["status"];
    }
    this.#own(current, manager, body);
    return this.#update(address, current, next);
  }

  patch(address: Address, patch: JsonObject, options: WriteOptions = {}): StoredObject {
    const current = this.#require(address);
    checkPreconditions(current, isObject(patch["metadata"]) ? patch["metadata"] : {});
    const allowed = options.status === true ? { status: patch["status"] ?? {} } : patch;
    return this.#update(address, current, mergePatch(current, allowed) as JsonObject);
  }

  /** Server-side apply with force. */
  apply(address: Address, body: JsonObject, manager: string, options: WriteOptions = {}): StoredObject {
    const given = isObject(body["metadata"]) ? body["metadata"] : {};
    const current = this.get(address);
    if (current === undefined) {
      if (options.status === true) throw new Refusal(404, "NotFound", `${text(address)} not found`);
      if (given["uid"] !== undefined || given["resourceVersion"] !== undefined) {
        throw new Refusal(409, "Conflict", `${text(address)}: the object to change does not exist`);
      }
      return this.create(address, body, manager);
    }
    checkPreconditions(current, given);
    const allowed: JsonObject = {};
    if (options.status === true) allowed["status"] = body["status"] ?? {};
    else {
      for (const [key, value] of Object.entries(body)) {
        if (key !== "status" && key !== "metadata" && key !== "apiVersion" && key !== "kind") allowed[key] = value;
      }
      const rest = omit(given, ...IDENTITY);
      if (Object.keys(rest).length > 0) allowed["metadata"] = rest;
    }
    const next = structuredClone(current) as JsonObject;
    const owners = this.#owned.get(current.metadata.uid) ?? new Map<string, ReadonlySet<string>>();
    const mine = new Set(leafPaths(allowed));
    for (const path of owners.get(manager) ?? []) {
      const others = [...owners].some(([other, paths]) => other !== manager && paths.has(path));
      if (!mine.has(path) && !others) removePath(next, path);
    }
    owners.set(manager, mine);
    this.#owned.set(current.metadata.uid, owners);
    return this.#update(address, current, applyOver(next, allowed));
  }

  delete(address: Address, preconditions: JsonObject = {}, grace = true): StoredObject {
    const current = this.#require(address);
    checkPreconditions(current, preconditions);
    const finalizers = current.metadata["finalizers"];
    const waits = (Array.isArray(finalizers) && finalizers.length > 0) || (grace && address.resource === "/pods");
    if (waits) {
      if (current.metadata["deletionTimestamp"] !== undefined) return current;
      const metadata = { ...current.metadata, deletionTimestamp: new Date().toISOString() };
      return this.#update(address, current, { ...current, metadata }, true);
    }
    this.#objects.delete(keyOf(address));
    this.#owned.delete(current.metadata.uid);
    const gone = this.#commit("DELETED", address, current);
    this.#collect(current.metadata.uid);
    return gone;
  }

  /** Background deletion: what is owned by the uid goes too. */
  #collect(uid: string): void {
    for (const [key, object] of [...this.#objects]) {
      const owners = object.metadata["ownerReferences"];
      if (!Array.isArray(owners) || !owners.some((owner) => isObject(owner) && owner["uid"] === uid)) continue;
      const [resource = "", namespace = "", name = ""] = key.split("|");
      this.delete({ resource, namespace, name });
    }
  }

  #require(address: Address): StoredObject {
    const current = this.get(address);
    if (current === undefined) throw new Refusal(404, "NotFound", `${text(address)} not found`);
    return current;
  }

  #own(object: StoredObject, manager: string, body: JsonObject): void {
    const owners = this.#owned.get(object.metadata.uid) ?? new Map<string, ReadonlySet<string>>();
    const kept = omit(isObject(body["metadata"]) ? body["metadata"] : {}, ...IDENTITY);
    const rest = omit(body, "apiVersion", "kind", "metadata");
    owners.set(manager, new Set(leafPaths({ ...rest, ...(Object.keys(kept).length > 0 ? { metadata: kept } : {}) })));
    this.#owned.set(object.metadata.uid, owners);
  }

  #update(address: Address, current: StoredObject, next: JsonObject, deleting = false): StoredObject {
    const given = isObject(next["metadata"]) ? next["metadata"] : {};
    const { uid, resourceVersion, creationTimestamp, generation } = current.metadata;
    const metadata: JsonObject = { ...given, name: address.name, uid, resourceVersion };
    for (const [key, value] of Object.entries({ creationTimestamp, generation })) {
      if (value !== undefined) metadata[key] = value;
    }
    const object = { ...next, apiVersion: current.apiVersion, kind: current.kind, metadata } as StoredObject;
    if (isDeepStrictEqual(object, current)) return current;
    if (!isDeepStrictEqual(object["spec"], current["spec"]) || deleting) {
      object.metadata["generation"] = Number(generation ?? 1) + 1;
    }
    const finalizers = object.metadata["finalizers"];
    const done = !Array.isArray(finalizers) || finalizers.length === 0;
    if (object.metadata["deletionTimestamp"] !== undefined && done && address.resource !== "/pods") {
      this.#objects.set(keyOf(address), object);
      return this.delete(address);
    }
    return this.#commit("MODIFIED", address, object);
  }

  #commit(type: StorageEvent["type"], address: Address, object: StoredObject): StoredObject {
    this.#version += 1;
    const stored = structuredClone(object);
    stored.metadata.resourceVersion = String(this.#version);
    if (type !== "DELETED") this.#objects.set(keyOf(address), stored);
    const event = { type, resource: address.resource, object: stored, version: this.#version };
    this.#history.push(event);
    this.writes.push(`${type} ${text(address)}`);
    for (const listener of [...this.#listeners]) listener(event);
    return stored;
  }
}

/** Metadata that says which object is meant; nobody owns it. */
const IDENTITY = ["uid", "resourceVersion", "name", "namespace"];

function keyOf({ resource, namespace, name }: Address): string {
  return `${resource}|${namespace}|${name}`;
}

function text({ resource, namespace, name }: Address): string {
  return `${resource} ${namespace}/${name}`;
}

function checkPreconditions(current: StoredObject, given: JsonObject): void {
  const { uid, resourceVersion } = given;
  if (typeof uid === "string" && uid !== current.metadata.uid) {
    throw new Refusal(409, "Conflict", `uid is ${current.metadata.uid}, not ${uid}`);
  }
  if (
    typeof resourceVersion === "string" &&
    resourceVersion !== "" &&
    resourceVersion !== current.metadata.resourceVersion
  ) {
    throw new Refusal(409, "Conflict", `the object has been modified: ${current.metadata.resourceVersion}`);
  }
}

/** Kinds whose status is a sub-resource. */
function hasStatus(resource: string): boolean {
  return ["concord.io/concordclusters", "apps/statefulsets", "/pods", "/persistentvolumeclaims"].includes(resource);
}

/** Defaults of the API server that matter here. */
function applyDefaults(resource: string, object: StoredObject): void {
  if (resource !== "concord.io/concordclusters") return;
  object["status"] = { observedGeneration: -1 };
  const spec = isObject(object["spec"]) ? object["spec"] : {};
  object["spec"] = { replicas: 3, ...spec };
}

/** Objects merge, everything else replaces. */
function applyOver(target: JsonObject, given: JsonObject): JsonObject {
  const result = { ...target };
  for (const [key, value] of Object.entries(given)) {
    const before: Json | undefined = result[key];
    result[key] = isObject(value) && isObject(before) ? applyOver(before, value) : structuredClone(value);
  }
  return result;
}
