import { ByteReader, ByteWriter, CodecError } from "../../codec/bytes.ts";
import { crc32 } from "../../codec/crc.ts";
import { readSnapshotMeta, writeSnapshotMeta } from "../../codec/message-fields.ts";
import { type CheckpointMeta } from "../checkpoint-store.ts";

/**
 * The rows of a checkpoint in LevelDB:
 *
 *     "p" │ page number │ generation (8 bytes each, big-endian)  →  a page, or a mark that the page is gone
 *     "m"                                                       →  the meta row
 *
 * A write (a generation) never touches rows of an earlier one. The page that counts is the one with the highest
 * generation up to the meta row's; the meta row makes a generation visible. Every row carries its format version, its
 * group and a CRC over key and value, so a row that lies in the wrong place or comes from elsewhere is noticed.
 */
export const ROW_VERSION = 1;

/** One row of a page. */
export interface PageRow {
  readonly number: number;
  readonly generation: number;
  readonly removed: boolean;
  readonly crc: number;
  /** A view of the row. Empty when `removed`. */
  readonly bytes: Uint8Array;
}

/** What the meta row says of the whole. */
export interface MetaRow {
  readonly generation: number;
  /** Pages that are visible, and the sum of their bytes. */
  readonly pageCount: number;
  readonly pageBytes: number;
  /** Sum over all visible pages, see `PageSum`. */
  readonly hash: bigint;
  readonly meta: CheckpointMeta;
}

export const META_KEY = Uint8Array.of(0x6d);
const PAGE_PREFIX = 0x70;
const KEY_BYTES = 17;
const KIND_PAGE = 1;
const KIND_REMOVED = 2;
const KIND_META = 3;
/** Version, kind, group. The CRC follows. */
const HEAD_BYTES = 1 + 1 + 4;
const CRC_BYTES = 4;
const TWO_32 = 0x1_0000_0000;

export function pageKey(number: number, generation: number): Uint8Array {
  const key = new Uint8Array(KEY_BYTES);
  const view = new DataView(key.buffer);
  key[0] = PAGE_PREFIX;
  writeBigEndian(view, 1, number);
  writeBigEndian(view, 9, generation);
  return key;
}

/** Number and generation, or undefined when this is no key of a page. */
export function readPageKey(key: Uint8Array): { readonly number: number; readonly generation: number } | undefined {
  if (key.length !== KEY_BYTES || key[0] !== PAGE_PREFIX) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  const number = readBigEndian(view, 1);
  const generation = readBigEndian(view, 9);
  return Number.isSafeInteger(number) && Number.isSafeInteger(generation) ? { number, generation } : undefined;
}

/** The value of a page's row; without `bytes`, of the mark that the page is gone. `crc` is the row's checksum. */
export function pageValue(
  groupId: number,
  key: Uint8Array,
  bytes: Uint8Array | undefined,
): { readonly value: Uint8Array; readonly crc: number } {
  const kind = bytes === undefined ? KIND_REMOVED : KIND_PAGE;
  return seal(groupId, kind, key, bytes ?? new Uint8Array(0));
}

/** @throws CodecError when the row is not what its key says, or not whole. */
export function readPageRow(groupId: number, key: Uint8Array, value: Uint8Array): PageRow {
  const place = readPageKey(key);
  if (place === undefined) throw new CodecError(`Row with the unknown key ${Buffer.from(key).toString("hex")}`);
  const what = `page ${place.number} of generation ${place.generation}`;
  const { kind, crc, bytes } = open(groupId, key, value, what);
  if (kind !== KIND_PAGE && kind !== KIND_REMOVED) throw new CodecError(`Row of ${what} has the unknown kind ${kind}`);
  return { ...place, removed: kind === KIND_REMOVED, crc, bytes };
}

export function metaValue(groupId: number, row: MetaRow): Uint8Array {
  const writer = new ByteWriter().u53(row.generation).u53(row.pageCount).u53(row.pageBytes).u64(row.hash);
  writeSnapshotMeta(writer, row.meta.snapshot);
  writer.bytes(row.meta.machine);
  return seal(groupId, KIND_META, META_KEY, writer.view()).value;
}

/** @throws CodecError when the row is not whole. */
export function readMetaRow(groupId: number, value: Uint8Array): MetaRow {
  const { kind, bytes } = open(groupId, META_KEY, value, "the checkpoint's meta");
  if (kind !== KIND_META) throw new CodecError(`Row of the checkpoint's meta has the unknown kind ${kind}`);
  const reader = new ByteReader(bytes);
  const row: MetaRow = {
    generation: reader.u53(),
    pageCount: reader.u53(),
    pageBytes: reader.u53(),
    hash: reader.u64(),
    meta: { snapshot: readSnapshotMeta(reader), machine: Uint8Array.from(reader.bytes()) },
  };
  reader.end();
  return row;
}

function seal(groupId: number, kind: number, key: Uint8Array, bytes: Uint8Array): { value: Uint8Array; crc: number } {
  const value = new Uint8Array(HEAD_BYTES + CRC_BYTES + bytes.length);
  const view = new DataView(value.buffer);
  value[0] = ROW_VERSION;
  value[1] = kind;
  view.setUint32(2, groupId, true);
  const crc = checksum(key, value.subarray(0, HEAD_BYTES), bytes);
  view.setUint32(HEAD_BYTES, crc, true);
  value.set(bytes, HEAD_BYTES + CRC_BYTES);
  return { value, crc };
}

function open(
  groupId: number,
  key: Uint8Array,
  value: Uint8Array,
  what: string,
): { readonly kind: number; readonly crc: number; readonly bytes: Uint8Array } {
  const reader = new ByteReader(value);
  const version = reader.u8();
  const kind = reader.u8();
  const group = reader.u32();
  const crc = reader.u32();
  const bytes = reader.raw(reader.remaining);
  // The checksum first: where it does not hold, version and group mean nothing.
  if (checksum(key, value.subarray(0, HEAD_BYTES), bytes) !== crc)
    throw new CodecError(`Checksum of ${what} does not hold`);
  if (version !== ROW_VERSION) throw new CodecError(`Row of ${what} has version ${version}, wanted ${ROW_VERSION}`);
  if (group !== groupId) throw new CodecError(`Row of ${what} belongs to group ${group}, wanted ${groupId}`);
  return { kind, crc, bytes };
}

function checksum(key: Uint8Array, head: Uint8Array, bytes: Uint8Array): number {
  return crc32(bytes, crc32(head, crc32(key)));
}

function writeBigEndian(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / TWO_32));
  view.setUint32(at + 4, value % TWO_32);
}

function readBigEndian(view: DataView, at: number): number {
  return view.getUint32(at) * TWO_32 + view.getUint32(at + 4);
}
