/** Key by which the items of a list are matched, as in the Kubernetes API's strategic merge patch. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  containers: "name",
  initContainers: "name",
  volumes: "name",
  env: "name",
  imagePullSecrets: "name",
  volumeMounts: "mountPath",
  volumeDevices: "devicePath",
  ports: "containerPort",
  hostAliases: "ip",
};

type JsonObject = Record<string, unknown>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Lays `patch` over `base` as kubectl's strategic merge does: objects merge, lists with a merge key merge by item, other
 * lists and scalars are replaced, null takes a field away, and `$patch: delete` in an item takes that item away.
 */
export function strategicMerge(base: JsonObject, patch: JsonObject): JsonObject {
  const merged: JsonObject = { ...base };
  for (const [field, change] of Object.entries(patch)) {
    if (field === "$patch") continue;
    if (change === null) Reflect.deleteProperty(merged, field);
    else merged[field] = mergeField(field, merged[field], change);
  }
  return merged;
}

function mergeField(field: string, base: unknown, change: unknown): unknown {
  if (isObject(base) && isObject(change)) {
    return change["$patch"] === "replace" ? strategicMerge({}, change) : strategicMerge(base, change);
  }
  const key = MERGE_KEYS[field];
  if (key !== undefined && Array.isArray(change) && change.every(isObject)) {
    return mergeList(Array.isArray(base) ? base.filter(isObject) : [], change, key);
  }
  return change;
}

function mergeList(base: readonly JsonObject[], changes: readonly JsonObject[], key: string): JsonObject[] {
  const merged = [...base];
  for (const change of changes) {
    const at = merged.findIndex((item) => item[key] === change[key]);
    const item = merged[at];
    if (change["$patch"] === "delete") {
      if (item !== undefined) merged.splice(at, 1);
    } else if (item === undefined) {
      merged.push(change);
    } else {
      merged[at] = strategicMerge(item, change);
    }
  }
  return merged;
}
