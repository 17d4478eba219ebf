import { type KeyValue } from "../wire/types.ts";

const decoder = new TextDecoder();

/** One key with its value, as a program sees it. Copies: they stay as they are. */
export class Row {
  readonly keyBytes: Uint8Array;
  readonly value: Uint8Array;
  /** Revision that created the key, after its last deletion. */
  readonly createRevision: number;
  /** Revision of the last change. */
  readonly modRevision: number;
  /** Changes since the creation, which is 1. */
  readonly version: number;
  /** Id of the lease it is on; undefined for none. */
  readonly lease: bigint | undefined;
  /** What was left of its time when it was read, ms; undefined for a row without an end, and for what is history. */
  readonly ttlMs: number | undefined;
  /** Media type of the value, as the put named it. */
  readonly contentType: string | undefined;

  constructor(row: KeyValue) {
    this.keyBytes = Uint8Array.from(row.key);
    this.value = Uint8Array.from(row.value);
    this.createRevision = row.createRevision;
    this.modRevision = row.modRevision;
    this.version = row.version;
    this.lease = row.lease === 0n ? undefined : row.lease;
    this.ttlMs = row.ttlMs;
    this.contentType = row.contentType;
  }

  /** The key as text. Keys that are not UTF-8 show replacement characters; use `keyBytes` for those. */
  get key(): string {
    return decoder.decode(this.keyBytes);
  }

  /** The value as UTF-8 text. */
  text(): string {
    return decoder.decode(this.value);
  }

  /**
   * The value parsed as JSON.
   *
   * @throws SyntaxError when it is not JSON.
   */
  json(): unknown {
    return JSON.parse(this.text());
  }
}

/** What happened to a key. */
export interface Change {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** Undefined for a delete. */
  readonly value: Row | undefined;
  /** What the key held before, where asked for and not compacted. */
  readonly previous: Row | undefined;
  readonly revision: number;
}

export function changeOf(changed: KeyValue, previous?: KeyValue): Change {
  const row = new Row(changed);
  const deleted = row.version === 0;
  return {
    type: deleted ? "delete" : "put",
    key: row.key,
    keyBytes: row.keyBytes,
    value: deleted ? undefined : row,
    previous: previous === undefined ? undefined : new Row(previous),
    revision: row.modRevision,
  };
}
