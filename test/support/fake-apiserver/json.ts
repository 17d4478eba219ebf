/** JSON objects as the fake handles them. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

export interface StoredObject extends JsonObject {
  apiVersion: string;
  kind: string;
  metadata: JsonObject & { name: string; uid: string; resourceVersion: string };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** RFC 7386. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, key);
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** Paths of all leaves below `value`; lists count as leaves, as atomic lists do. */
export function leafPaths(value: Json, prefix = ""): string[] {
  if (!isObject(value) || Object.keys(value).length === 0) return [prefix];
  return Object.entries(value).flatMap(([key, child]) => leafPaths(child, `${prefix}\u0000${key}`));
}

/** Removes one leaf, and the objects around it that become empty. */
export function removePath(target: JsonObject, path: string): void {
  const [, head = "", ...rest] = path.split("\u0000");
  if (rest.length === 0) {
    Reflect.deleteProperty(target, head);
    return;
  }
  const child = target[head];
  if (!isObject(child)) return;
  removePath(child, `\u0000${rest.join("\u0000")}`);
  if (Object.keys(child).length === 0) Reflect.deleteProperty(target, head);
}

/** A copy without some keys. */
export function omit(object: JsonObject, ...keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}
