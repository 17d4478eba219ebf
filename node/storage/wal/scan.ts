import { invariant } from "../../raft/assert.ts";
import {
  decodeGroupHeader,
  type DecodedGroup,
  decodePayload,
  type GroupPlace,
  type GroupHeader,
  isPayloadWhole,
} from "./group.ts";
import {
  decodeSegmentHeader,
  decodeWatermark,
  GROUPS_OFFSET,
  isZeroSector,
  SECTOR_BYTES,
  type SegmentHeader,
} from "./format.ts";
import { type LogRecord } from "./record.ts";

/** What stands in one segment. */
export interface ScannedSegment {
  readonly name: string;
  readonly generation: number;
  /** Undefined only when the header is damaged. */
  readonly header: SegmentHeader | undefined;
  /** The whole groups from the start on, without gaps. */
  readonly groups: readonly DecodedGroup[];
  readonly end: SegmentEnd;
}

/**
 * How a segment ends behind its last whole group.
 *
 * - `clean`: only zeros follow, or nothing.
 * - `sealed`: the last group says where the log goes on; what follows does not count.
 * - `torn`: the write of one more group was cut off by a loss of power. It was never acknowledged.
 * - `damaged`: bytes that may have been acknowledged are wrong.
 */
export type SegmentEnd =
  | { readonly type: "clean" | "torn"; readonly offset: number }
  | { readonly type: "sealed"; readonly offset: number; readonly next: number; readonly started: boolean }
  | { readonly type: "damaged"; readonly offset: number; readonly reason: string };

export interface ScanLimits {
  readonly groupId: number;
  /** Another segment says that this one counts only up to here. What follows was given up and is not looked at. */
  readonly until?: number;
}

/**
 * Reads a segment group by group and tells a torn end from damage.
 *
 * A group is written only after the one before it is durable. So at most the last group can be torn, nothing but zeros
 * can stand behind it, and each of its sectors is either as written or still zero. Whatever does not fit this is damage.
 */
export function scanSegment(name: string, generation: number, bytes: Uint8Array, limits: ScanLimits): ScannedSegment {
  const header = decodeSegmentHeader(bytes, name);
  if (typeof header === "string") return failedScan(name, generation, header);
  const groups: DecodedGroup[] = [];
  const end = readGroups(bytes, header, limits, groups);
  return { name, generation, header, groups, end: checkWatermark(bytes, header, limits, groups, end) };
}

/** The result for a segment of which nothing can be used. */
export function failedScan(name: string, generation: number, reason: string): ScannedSegment {
  return { name, generation, header: undefined, groups: [], end: { type: "damaged", offset: 0, reason } };
}

function readGroups(bytes: Uint8Array, header: SegmentHeader, limits: ScanLimits, groups: DecodedGroup[]): SegmentEnd {
  const until = limits.until ?? bytes.length;
  let offset = GROUPS_OFFSET;
  while (offset < until && offset + SECTOR_BYTES <= bytes.length) {
    const last = groups.at(-1);
    const place = { groupId: limits.groupId, generation: header.generation, offset };
    const found = readGroup(bytes, { ...place, previousCrc: last?.crc ?? 0 }, last === undefined);
    if (!("records" in found)) return found;
    const seal = found.records.find((record) => record.type === "seal");
    groups.push(found);
    offset = found.end;
    if (seal !== undefined) return { type: "sealed", offset, next: seal.next, started: seal.started };
  }
  return { type: "clean", offset };
}

/** The group at the place, or how the segment ends there. */
function readGroup(bytes: Uint8Array, place: GroupPlace, first: boolean): DecodedGroup | SegmentEnd {
  const { offset } = place;
  if (isZeroSector(bytes, offset)) return endAtZeros(bytes, place);
  const header = decodeGroupHeader(bytes, place);
  if (typeof header === "string") return damaged(offset, header);
  // The first group follows one of another segment: whoever links the segments compares those two.
  if (!first && header.previousCrc !== place.previousCrc)
    return damaged(offset, "Group does not follow the group before it");
  if (first !== (header.type === "start") && !(first && header.type === "seal"))
    return damaged(offset, `Group of type "${header.type}" at a place where it cannot be`);
  if (!isPayloadWhole(bytes, offset, header)) return endAtBadPayload(bytes, place, header);
  const group = decodePayload(bytes, offset, header);
  if (typeof group === "string") return damaged(offset, group);
  const misplaced = misplacedRecord(header, group.records);
  return misplaced === undefined ? group : damaged(offset, misplaced);
}

/** The sector where the next group would begin was never written: the end, a torn group, or damage. */
function endAtZeros(bytes: Uint8Array, place: GroupPlace): SegmentEnd {
  const { offset } = place;
  let torn = false;
  for (let at = offset + SECTOR_BYTES; at < bytes.length; at += SECTOR_BYTES) {
    if (isZeroSector(bytes, at)) continue;
    torn = true;
    if (typeof decodeGroupHeader(bytes, { ...place, offset: at }) !== "string")
      return damaged(offset, `Sector is all zero, a group at offset ${at} follows`);
  }
  return { type: torn ? "torn" : "clean", offset };
}

/** The header is whole, something behind it is not. */
function endAtBadPayload(bytes: Uint8Array, place: GroupPlace, header: GroupHeader): SegmentEnd {
  const { offset } = place;
  for (let at = header.end; at < bytes.length; at += SECTOR_BYTES)
    if (!isZeroSector(bytes, at))
      return damaged(offset, `Checksum of a group is wrong, and bytes at offset ${at} follow`);
  for (let at = offset + SECTOR_BYTES; at < header.end; at += SECTOR_BYTES)
    if (isZeroSector(bytes, at)) return { type: "torn", offset };
  return damaged(offset, "Checksum of a group is wrong, though all its sectors were written");
}

/** A clean or torn end in front of the watermark means that durable groups have become zeros. */
function checkWatermark(
  bytes: Uint8Array,
  header: SegmentHeader,
  limits: ScanLimits,
  groups: readonly DecodedGroup[],
  end: SegmentEnd,
): SegmentEnd {
  const watermark = decodeWatermark(bytes, header.generation);
  if (watermark === undefined || limits.until !== undefined || end.type === "damaged" || end.type === "sealed")
    return end;
  const group = groups.find((candidate) => candidate.end === watermark.offset);
  if (group?.crc === watermark.crc) return end;
  return damaged(end.offset, `Log ends here, but it was durable up to offset ${watermark.offset}`);
}

function misplacedRecord(header: GroupHeader, records: readonly LogRecord[]): string | undefined {
  const starts = records.filter((record) => record.type === "start").length;
  const seals = records.filter((record) => record.type === "seal").length;
  const right =
    header.type === "start"
      ? starts === 1 && records[0]?.type === "start" && seals === 0
      : starts === 0 && seals === (header.type === "seal" ? 1 : 0);
  return right ? undefined : `Group of type "${header.type}" holds records of another type`;
}

function damaged(offset: number, reason: string): SegmentEnd {
  invariant(reason !== "", "Damage has a reason");
  return { type: "damaged", offset, reason };
}
