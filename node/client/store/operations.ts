import { ConcordError } from "../errors.ts";
import {
  type Compare,
  type DeleteOperation,
  type KeyRange,
  type PutOperation,
  type RangeOperation,
  type SortOrder,
  type SortTarget,
  type TouchOperation,
} from "../wire/types.ts";
import { prefixRange } from "./prefix-range.ts";

/** Text is taken as UTF-8. */
export type Bytes = string | Uint8Array;

/** Which keys: one, all with a prefix, or from `from` up to, without, `to`. */
export type Selection =
  { readonly key: Bytes } | { readonly prefix: Bytes } | { readonly from: Bytes; readonly to: Bytes };

/** What a put may have beside key and value. */
export interface PutOptions {
  /** The row is deleted this many milliseconds after the write; left out, it stays. */
  readonly ttlMs?: number;
  /** Media type of the value: printable ASCII, at most 255 characters. */
  readonly contentType?: string;
  /** Id of a lease; the row is deleted when it ends. */
  readonly lease?: bigint;
}

/** Which rows of a selection, and what of them. */
export interface RangeOptions {
  /** Most rows to return; 0 for all. @default 0 */
  readonly limit?: number;
  /** Read as of this revision; 0 for now. @default 0 */
  readonly revision?: number;
  /** Rows without their values. @default false */
  readonly keysOnly?: boolean;
  /** What the rows are sorted by, before the limit. @default key */
  readonly sortBy?: SortTarget;
  /** @default as they are found, which is by key; ascending when `sortBy` names something else */
  readonly sortOrder?: SortOrder;
}

const EMPTY: Uint8Array = new Uint8Array(0);
const encoder = new TextEncoder();
export const bytesOf = (value: Bytes): Uint8Array => (typeof value === "string" ? encoder.encode(value) : value);

/** Builders for the operations of `txn`. */
export const op = {
  /** @param options.previous - the reply has the row as it was before. */
  put: (key: Bytes, value: Bytes, options: PutOptions & { readonly previous?: boolean } = {}): PutOperation => {
    const { ttlMs, contentType, lease = 0n, previous = false } = options;
    return {
      type: "put",
      key: bytesOf(key),
      value: bytesOf(value),
      lease,
      previous,
      ignoreValue: false,
      ignoreLease: false,
      ...(ttlMs === undefined ? {} : { ttlMs: wholeNumber("ttlMs", ttlMs, 1) }),
      ...(contentType === undefined ? {} : { contentType }),
    };
  },
  /** Sets how long the row lives from now on, 0 for ever: neither revision nor change. */
  touch: (key: Bytes, ttlMs: number): TouchOperation => ({
    type: "touch",
    key: bytesOf(key),
    ttlMs: wholeNumber("ttlMs", ttlMs, 0),
  }),
  get: (selection: Selection, options: RangeOptions = {}): RangeOperation => ({
    type: "range",
    ...keyRange(selection),
    limit: wholeNumber("limit", options.limit ?? 0, 0),
    revision: wholeNumber("revision", options.revision ?? 0, 0),
    sortTarget: options.sortBy ?? "key",
    sortOrder: options.sortOrder ?? "none",
    keysOnly: options.keysOnly ?? false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  }),
  /** @param options.previous - the reply has the rows that were deleted. */
  delete: (selection: Selection, { previous = false }: { readonly previous?: boolean } = {}): DeleteOperation => ({
    type: "delete",
    ...keyRange(selection),
    previous,
  }),
} as const;

/** Builders for the conditions of `txn`. */
export const when = {
  /** The key is not there. */
  missing: (key: Bytes): Compare => ({ ...one(key), target: "create", result: "equal", operand: 0 }),
  /** The key is there. */
  exists: (key: Bytes): Compare => ({ ...one(key), target: "create", result: "greater", operand: 0 }),
  /** The key was last changed at this revision. */
  modRevision: (key: Bytes, revision: number): Compare => ({
    ...one(key),
    target: "mod",
    result: "equal",
    operand: wholeNumber("revision", revision, 0),
  }),
  value: (key: Bytes, value: Bytes): Compare => ({
    ...one(key),
    target: "value",
    result: "equal",
    operand: bytesOf(value),
  }),
} as const;

export function keyRange(selection: Selection): KeyRange {
  if ("key" in selection) return one(selection.key);
  if ("from" in selection) return { key: bytesOf(selection.from), rangeEnd: bytesOf(selection.to) };
  return prefixRange(bytesOf(selection.prefix));
}

/**
 * @param name - for the message.
 * @throws ConcordError `CONCORD_INVALID_ARGUMENT`
 */
export function wholeNumber(name: string, value: number, minimum: number): number {
  if (Number.isSafeInteger(value) && value >= minimum) return value;
  throw new ConcordError("CONCORD_INVALID_ARGUMENT", `${name} is ${value}, expected a whole number from ${minimum}`);
}

function one(key: Bytes): KeyRange {
  return { key: bytesOf(key), rangeEnd: EMPTY };
}
