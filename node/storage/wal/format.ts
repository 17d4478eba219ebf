import { ByteReader, ByteWriter } from "../../codec/bytes.ts";
import { crc32 } from "../../codec/crc.ts";
import { ConcordError } from "../../client/errors.ts";
import { type LogIdentity } from "../log-store.ts";

/**
 * The bytes of a log segment.
 *
 *     0      header: one sector, written and synced before the file gets its name
 *     512    watermark: one sector, rewritten now and then (see `encodeWatermark`)
 *     4096   groups, each beginning on a sector boundary
 *     …      zeros, written and synced before the first group
 *
 * What the format relies on: a device writes a sector of 512 bytes whole or not at all, and never changes a sector that
 * it was not asked to write. It relies on no order between the sectors of one write. Because a group owns its sectors
 * alone and none of them is all zero, a sector that is still zero inside a group proves that its write never finished.
 */
export const SECTOR_BYTES = 512;
/** Groups begin behind this, so that writing them never touches the page of the header. */
export const GROUPS_OFFSET = 4096;
export const FORMAT_VERSION = 1;
/** Of a member's name, in UTF-8. */
export const MEMBER_NAME_BYTES_MAX = 255;

const ZEROS = new Uint8Array(SECTOR_BYTES);
const SEGMENT_MAGIC = 0x4c41_5743;
const WATERMARK_MAGIC = 0x4b52_4d57;
/** The checksum of a header sector stands in its last 4 bytes, in this and every later version of the format. */
const CHECKSUM_AT = SECTOR_BYTES - 4;
const CIPHER_NONE = 0;
const KEY_ID_BYTES = 16;

export interface SegmentHeader {
  /** Counts up over the life of a log: no two uses of a file have the same. */
  readonly generation: number;
  /** Size of the file. */
  readonly bytes: number;
  /** As it was when the segment was prepared. The cluster id may still be empty; the first group knows better. */
  readonly identity: LogIdentity;
}

/** How much of a segment is known to be durable: the groups up to `offset`, the last of which has this checksum. */
export interface Watermark {
  readonly offset: number;
  readonly crc: number;
}

export function segmentName(generation: number): string {
  return `${String(generation).padStart(16, "0")}.wal`;
}

/** The generation a file name states, or undefined for any other file. */
export function segmentGeneration(name: string): number | undefined {
  return /^\d{16}\.wal$/.test(name) ? Number(name.slice(0, 16)) : undefined;
}

export function roundToSector(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}

/** True when the sector at `offset`, or what the file still has of it, is all zero. */
export function isZeroSector(bytes: Uint8Array, offset: number): boolean {
  if (bytes[offset] !== 0) return false;
  const sector = bytes.subarray(offset, offset + SECTOR_BYTES);
  return Buffer.compare(sector, sector.length === SECTOR_BYTES ? ZEROS : ZEROS.subarray(0, sector.length)) === 0;
}

export function writeIdentity(writer: ByteWriter, identity: LogIdentity): void {
  writer.u32(identity.groupId).id(identity.clusterId).id(identity.memberId).string(identity.memberName);
}

export function readIdentity(reader: ByteReader): LogIdentity {
  return {
    groupId: reader.u32(),
    clusterId: reader.id(),
    memberId: reader.id(),
    memberName: reader.string(MEMBER_NAME_BYTES_MAX),
  };
}

/** The header sector. Room for a cipher and a key id is there; version 1 knows only plain text. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const writer = new ByteWriter(SECTOR_BYTES);
  writer.u32(SEGMENT_MAGIC).u8(FORMAT_VERSION).u8(CIPHER_NONE).u16(0).raw(new Uint8Array(KEY_ID_BYTES));
  writer.u53(header.generation).u53(header.bytes);
  writeIdentity(writer, header.identity);
  return closeSector(writer);
}

/**
 * @returns a sentence that says what is wrong instead of the header when the bytes are damaged
 * @throws ConcordError CONCORD_STORAGE_FAILED when the segment is whole but of a format that this version does not read
 */
export function decodeSegmentHeader(bytes: Uint8Array, name: string): SegmentHeader | string {
  const sector = bytes.subarray(0, SECTOR_BYTES);
  if (sector.length < SECTOR_BYTES) return `Segment has ${bytes.length} bytes, less than its header`;
  const reader = new ByteReader(sector);
  if (reader.u32() !== SEGMENT_MAGIC) return "Segment does not begin with the mark of a log segment";
  if (!hasChecksum(sector)) return "Checksum of the segment header is wrong";
  const version = reader.u8();
  const cipher = reader.u8();
  if (version !== FORMAT_VERSION || cipher !== CIPHER_NONE)
    throw new ConcordError(
      "CONCORD_STORAGE_FAILED",
      `Log segment "${name}" has format version ${version} and cipher ${cipher}; this version of Concord reads version ${FORMAT_VERSION} without a cipher`,
    );
  reader.raw(2 + KEY_ID_BYTES);
  const header = { generation: reader.u53(), bytes: reader.u53(), identity: readIdentity(reader) };
  if (header.generation !== segmentGeneration(name))
    return `Segment states generation ${header.generation}, its name is "${name}"`;
  if (header.bytes !== bytes.length) return `Segment has ${bytes.length} bytes, its header states ${header.bytes}`;
  return header;
}

/**
 * The watermark sector. Zeros that reach from a group to the end of the segment look like a log that ended before that
 * group. The watermark bounds this: whatever lies before it was durable when it was written.
 */
export function encodeWatermark(generation: number, watermark: Watermark): Uint8Array {
  const writer = new ByteWriter(SECTOR_BYTES);
  writer.u32(WATERMARK_MAGIC).u8(FORMAT_VERSION).u53(generation).u53(watermark.offset).u32(watermark.crc);
  return closeSector(writer);
}

/** The watermark, or undefined where there is none that can be read: it only ever adds a check. */
export function decodeWatermark(segment: Uint8Array, generation: number): Watermark | undefined {
  const sector = segment.subarray(SECTOR_BYTES, 2 * SECTOR_BYTES);
  if (sector.length < SECTOR_BYTES || !hasChecksum(sector)) return undefined;
  const reader = new ByteReader(sector);
  if (reader.u32() !== WATERMARK_MAGIC || reader.u8() !== FORMAT_VERSION) return undefined;
  if (reader.u53() !== generation) return undefined;
  return { offset: reader.u53(), crc: reader.u32() };
}

/** Fills the rest of the sector with zeros and puts the checksum at its end. */
function closeSector(writer: ByteWriter): Uint8Array {
  writer.raw(new Uint8Array(CHECKSUM_AT - writer.length));
  return writer.u32(crc32(writer.view())).finish();
}

function hasChecksum(sector: Uint8Array): boolean {
  return new ByteReader(sector.subarray(CHECKSUM_AT)).u32() === crc32(sector.subarray(0, CHECKSUM_AT));
}
