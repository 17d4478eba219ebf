import { isUtf8 } from "node:buffer";
import { ConcordError } from "../../client/errors.ts";
import { KEY_BYTES_MAX, type KeyName, type Row } from "../../client/rest.ts";
import { type KeyRange, type KeyValue } from "../../machine/commands.ts";
import { prefixRange } from "../../client/store/prefix-range.ts";
import { badRequest } from "./exchange.ts";
import { leaseText } from "./parameters.ts";

export const NO_BYTES = new Uint8Array(0);

/**
 * A row in JSON. Keys and values are bytes, so they come as base64, always; what is valid UTF-8 comes as text beside it,
 * for people. Revisions are JSON numbers: they stay below 2^53.
 */
export function rowJson(row: KeyValue, keysOnly: boolean): Row {
  return {
    ...keyJson(row.key),
    ...(keysOnly ? {} : asText("value", row.value)),
    createRevision: row.createRevision,
    modRevision: row.modRevision,
    version: row.version,
    ...(row.lease === 0n ? {} : { lease: leaseText(row.lease) }),
    ...(row.contentType === undefined ? {} : { contentType: row.contentType }),
    ...(row.ttlMs === undefined ? {} : { ttlSeconds: Math.ceil(row.ttlMs / 1000) }),
  };
}

export function keyJson(key: Uint8Array): KeyName {
  return asText("key", key) as KeyName;
}

function asText(name: "key" | "value", bytes: Uint8Array): Record<string, string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const base64 = buffer.toString("base64");
  return isUtf8(buffer) ? { [name]: base64, [`${name}Text`]: buffer.toString("utf8") } : { [name]: base64 };
}

type BytesName = "key" | "value" | "rangeEnd";
type BytesFields<N extends BytesName> = Partial<Readonly<Record<N | `${N}Text`, string>>>;

/**
 * The bytes of a field that is given as base64 or as text; undefined for neither.
 *
 * @param where - of the field's object in the body, for messages.
 */
export function bytesOf<N extends BytesName>(where: string, name: N, fields: BytesFields<N>): Buffer | undefined {
  const { [name]: base64, [`${name}Text`]: text } = fields as Partial<Readonly<Record<string, string>>>;
  if (base64 !== undefined && text !== undefined)
    throw badRequest(`${where}: ${name} and ${name}Text exclude each other`);
  if (text !== undefined) {
    const bytes = Buffer.from(text, "utf8");
    if (bytes.toString("utf8") === text) return bytes;
    throw badRequest(`${where}: ${name}Text contains half a surrogate pair, which is no UTF-8`);
  }
  if (base64 === undefined) return undefined;
  const bytes = Buffer.from(base64, "base64");
  // What Node decodes forgivingly would be another value than the one that was meant.
  if (bytes.toString("base64") !== base64) throw badRequest(`${where}: ${name} is not base64 with padding`);
  return bytes;
}

/** The key that a path ends in. */
export function pathKey(key: Buffer): Buffer {
  if (key.length === 0) throw new ConcordError("CONCORD_KEY_EMPTY");
  if (key.length <= KEY_BYTES_MAX) return key;
  throw badRequest(`The key has ${key.length} bytes, at most ${KEY_BYTES_MAX} are allowed`);
}

/** The key of an object in the body, within the limits of the native doors. */
export function keyOf(where: string, fields: BytesFields<"key">): Buffer {
  const key = bytesOf(where, "key", fields);
  if (key === undefined) throw badRequest(`${where}: expected key or keyText`);
  if (key.length === 0) throw new ConcordError("CONCORD_KEY_EMPTY", `${where}: the key is empty`);
  checkKeyLength(where, "key", key);
  return key;
}

/** One key, those up to an end, or those with a prefix. */
export function keyRangeOf(
  where: string,
  fields: BytesFields<"key"> & BytesFields<"rangeEnd"> & { readonly prefix?: boolean },
): KeyRange {
  const rangeEnd = bytesOf(where, "rangeEnd", fields);
  if (fields.prefix !== true) {
    if (rangeEnd !== undefined) checkKeyLength(where, "rangeEnd", rangeEnd);
    return { key: keyOf(where, fields), rangeEnd: rangeEnd ?? NO_BYTES };
  }
  if (rangeEnd !== undefined) throw badRequest(`${where}: prefix and rangeEnd exclude each other`);
  const prefix = bytesOf(where, "key", fields) ?? Buffer.alloc(0);
  checkKeyLength(where, "key", prefix);
  return prefixRange(prefix);
}

/** @param where - it stood, for messages. */
export function checkKeyLength(where: string, name: string, bytes: Buffer): void {
  if (bytes.length <= KEY_BYTES_MAX) return;
  throw badRequest(`${where}: ${name} has ${bytes.length} bytes, at most ${KEY_BYTES_MAX} are allowed`);
}
