import { ByteReader, ByteWriter, CodecError } from "../../codec/bytes.ts";
import { crc32 } from "../../codec/crc.ts";
import { invariant } from "../../raft/assert.ts";
import { type Index, type Term } from "../../raft/types.ts";
import { FORMAT_VERSION, isZeroSector, roundToSector, SECTOR_BYTES } from "./format.ts";
import { type LogRecord, type Position, readRecords, recordBytesMax, writeRecord } from "./record.ts";

/**
 * A group: what one write and one sync make durable, whole or not at all. It fills whole sectors.
 *
 *     0 magic u32 · 4 version u8 · 5 type u8 · 6 cipher u8 · 7 reserved u8 · 8 key id u32 · 12 group id u32
 *     16 segment generation u53 · 24 own offset u32 · 28 payload length u32 · 32 escaped sectors u32
 *     36 checksum of the group before u32 · 40 first index u53 · 48 term u53
 *     56 checksum of all that follows the header u32 · 60 checksum of the header u32 · 64 payload
 *     then zeros to a multiple of 4 · the numbers of the escaped sectors, u32 each · zeros to the end of the sector
 *
 * The header's checksum covers the payload's, so it stands for the whole group: that is the one the next group repeats.
 * A sector that would be all zero is escaped: its first byte is set and its number is listed. Checksums cover stored bytes.
 */
export const GROUP_HEADER_BYTES = 64;

const GROUP_MAGIC = 0x5052_4743;
const LENGTH_AT = 28;
const PAYLOAD_CRC_AT = 56;
const HEADER_CRC_AT = 60;
const ESCAPED_BYTE = 0xff;
const ZEROS = new Uint8Array(SECTOR_BYTES);

/** First group of a segment, one in its middle, the last one. */
const GROUP_TYPES = { start: 1, data: 2, seal: 3 } as const;
export type GroupType = keyof typeof GROUP_TYPES;

/** Where a group stands. A copy of it anywhere else is not valid. */
export interface GroupPlace {
  readonly groupId: number;
  readonly generation: number;
  readonly offset: number;
  /** Checksum of the group before it. */
  readonly previousCrc: number;
}

export interface DecodedGroup {
  readonly type: GroupType;
  readonly offset: number;
  /** Offset of the sector behind it. */
  readonly end: number;
  readonly crc: number;
  readonly previousCrc: number;
  readonly records: readonly LogRecord[];
}

/** A group's header whose own checksum holds. */
export interface GroupHeader {
  readonly type: GroupType;
  readonly length: number;
  readonly escaped: number;
  readonly previousCrc: number;
  readonly payloadCrc: number;
  readonly crc: number;
  readonly end: number;
}

/** Bytes on disk that a group of these records takes at most. */
export function groupBytesMax(recordBytes: number): number {
  const plain = GROUP_HEADER_BYTES + recordBytes + 4;
  return roundToSector(plain + 4 * Math.ceil(plain / SECTOR_BYTES));
}

/** Encodes groups into one buffer that is used again: the bytes of a group hold until the next one. */
export class GroupEncoder {
  readonly #writer = new ByteWriter(4096);

  /** @returns the bytes, a multiple of a sector long, and the checksum that stands for the group */
  encode(
    place: GroupPlace,
    type: GroupType,
    term: Term,
    records: readonly LogRecord[],
  ): { bytes: Uint8Array; crc: number } {
    const writer = this.#writer.reset();
    writer.u32(GROUP_MAGIC).u8(FORMAT_VERSION).u8(GROUP_TYPES[type]).u8(0).u8(0).u32(0).u32(place.groupId);
    writer.u53(place.generation).u32(place.offset).u32(0).u32(0).u32(place.previousCrc);
    writer.u53(firstIndex(records)).u53(term).u32(0).u32(0);
    for (const record of records) writeRecord(writer, record);
    writer.patchU32(LENGTH_AT, writer.length - GROUP_HEADER_BYTES);
    this.#escapeZeroSectors();
    const bytes = writer.view();
    writer.patchU32(PAYLOAD_CRC_AT, crc32(bytes.subarray(GROUP_HEADER_BYTES)));
    const crc = crc32(bytes.subarray(0, HEADER_CRC_AT));
    writer.patchU32(HEADER_CRC_AT, crc);
    return { bytes, crc };
  }

  /** Pads to whole sectors and sees to it that none of them is all zero. */
  #escapeZeroSectors(): void {
    const writer = this.#writer;
    writer.raw(ZEROS.subarray(0, -writer.length & 3));
    const payloadEnd = writer.length;
    writer.raw(ZEROS.subarray(0, roundToSector(payloadEnd) - payloadEnd));
    const zeroSectors = findZeroSectors(writer.view());
    // An entry of the list is never 0 and never crosses a sector, so sectors with entries need no escape. The last
    // payload sector may be listed although an entry lands in it: then both the entry and the escaped byte stand there.
    if (zeroSectors.length === 0) return;
    const list = new ByteWriter(4 * zeroSectors.length);
    for (const sector of zeroSectors) list.u32(sector);
    const padding = writer.length - payloadEnd;
    const fits = Math.min(padding, list.length);
    const view = writer.view();
    view.set(list.view().subarray(0, fits), payloadEnd);
    writer.raw(list.view().subarray(fits));
    writer.raw(ZEROS.subarray(0, -writer.length & (SECTOR_BYTES - 1)));
    const grown = writer.view();
    for (const sector of zeroSectors) grown[sector * SECTOR_BYTES] = ESCAPED_BYTE;
    writer.patchU32(LENGTH_AT + 4, zeroSectors.length);
  }
}

/** A seal that says that the segment `next` holds a durable group: one sector. It stands where the log leaves its segment. */
export function encodeStartedSeal(groupId: number, at: Position & { readonly crc: number }, next: number): Uint8Array {
  const place = { groupId, generation: at.generation, offset: at.offset, previousCrc: at.crc };
  return new GroupEncoder().encode(place, "seal", 0, [{ type: "seal", next, started: true }]).bytes;
}

/** @returns a sentence that says what is wrong when the bytes at the place's offset are no header of this place */
export function decodeGroupHeader(segment: Uint8Array, place: Omit<GroupPlace, "previousCrc">): GroupHeader | string {
  const { offset } = place;
  if (offset + SECTOR_BYTES > segment.length) return "Segment ends inside a group header";
  const bytes = segment.subarray(offset, offset + GROUP_HEADER_BYTES);
  const reader = new ByteReader(bytes);
  if (reader.u32() !== GROUP_MAGIC) return "Group does not begin with the mark of a group";
  const crc = crc32(bytes.subarray(0, HEADER_CRC_AT));
  if (crc !== new ByteReader(bytes.subarray(HEADER_CRC_AT)).u32()) return "Checksum of a group header is wrong";
  const version = reader.u8();
  const typeCode = reader.u8();
  const type = (Object.keys(GROUP_TYPES) as GroupType[]).find((name) => GROUP_TYPES[name] === typeCode);
  if (version !== FORMAT_VERSION || type === undefined) return `Group has version ${version} and type ${typeCode}`;
  reader.raw(6);
  const [groupId, generation, ownOffset] = [reader.u32(), reader.u53(), reader.u32()];
  if (groupId !== place.groupId || generation !== place.generation || ownOffset !== offset)
    return `Group belongs to group id ${groupId}, generation ${generation}, offset ${ownOffset}; wanted ${place.groupId}, ${place.generation}, ${offset}`;
  const length = reader.u32();
  const escaped = reader.u32();
  const end = offset + groupEnd(length, escaped);
  if (end > segment.length) return `Group of ${length} bytes ends behind its segment`;
  const previousCrc = reader.u32();
  reader.raw(16);
  return { type, length, escaped, previousCrc, payloadCrc: reader.u32(), crc, end };
}

/** True when everything behind the header is as it was written. */
export function isPayloadWhole(segment: Uint8Array, offset: number, header: GroupHeader): boolean {
  return crc32(segment.subarray(offset + GROUP_HEADER_BYTES, header.end)) === header.payloadCrc;
}

/** @returns a sentence that says what is wrong when the payload, though whole, is not understood */
export function decodePayload(segment: Uint8Array, offset: number, header: GroupHeader): DecodedGroup | string {
  // A copy: it is changed below, and entries keep views of it, which must not keep the whole segment alive.
  const bytes = new Uint8Array(segment.subarray(offset, header.end));
  const payloadEnd = GROUP_HEADER_BYTES + header.length;
  try {
    const list = new ByteReader(bytes.subarray(payloadEnd + (-payloadEnd & 3)));
    const sectors = Array.from({ length: header.escaped }, () => list.u32());
    for (const sector of sectors) {
      if (sector * SECTOR_BYTES >= payloadEnd) throw new CodecError(`Escaped sector ${sector} is outside the payload`);
      bytes[sector * SECTOR_BYTES] = 0;
    }
    const records = readRecords(new ByteReader(bytes.subarray(GROUP_HEADER_BYTES, payloadEnd)));
    const { type, end, crc, previousCrc } = header;
    return { type, offset, end, crc, previousCrc, records };
  } catch (error) {
    if (error instanceof CodecError) return error.message;
    throw error;
  }
}

export function recordsBytesMax(records: readonly LogRecord[]): number {
  return records.reduce((bytes, record) => bytes + recordBytesMax(record), 0);
}

function groupEnd(length: number, escaped: number): number {
  const payloadEnd = GROUP_HEADER_BYTES + length;
  return roundToSector(payloadEnd + (escaped === 0 ? 0 : (-payloadEnd & 3) + 4 * escaped));
}

function firstIndex(records: readonly LogRecord[]): Index {
  for (const record of records) if (record.type === "entries") return record.entries[0]?.index ?? 0;
  return 0;
}

function findZeroSectors(bytes: Uint8Array): number[] {
  invariant(bytes.byteOffset === 0 && bytes.length % SECTOR_BYTES === 0, "A group fills whole sectors");
  const found: number[] = [];
  for (let offset = 0; offset < bytes.length; offset += SECTOR_BYTES)
    if (isZeroSector(bytes, offset)) found.push(offset / SECTOR_BYTES);
  return found;
}
