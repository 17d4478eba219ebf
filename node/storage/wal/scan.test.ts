import { describe, expect, it } from "vitest";
import { NO_CHECKPOINT } from "../log-state.ts";
import { encodeSegmentHeader, GROUPS_OFFSET, SECTOR_BYTES, segmentName } from "./format.ts";
import { GroupEncoder } from "./group.ts";
import { type LogRecord } from "./record.ts";
import { scanSegment, type SegmentEnd } from "./scan.ts";

const GENERATION = 5;
const SEGMENT_BYTES = 16_384;
const IDENTITY = { groupId: 0, clusterId: "", memberId: "00000000000000a1", memberName: "alpha" };

/** A segment of a start and two groups of three sectors each, without a watermark. */
function segment(): { bytes: Uint8Array; offsets: number[] } {
  const bytes = new Uint8Array(SEGMENT_BYTES);
  bytes.set(encodeSegmentHeader({ generation: GENERATION, bytes: SEGMENT_BYTES, identity: IDENTITY }));
  const facts = {
    identity: IDENTITY,
    hardState: { term: 1, vote: "", commit: 0 },
    checkpoint: NO_CHECKPOINT,
    lastIndex: 0,
  };
  const groups: LogRecord[][] = [[{ type: "start", previous: { generation: 0, offset: 0 }, facts }]];
  for (const index of [1, 2])
    groups.push([
      { type: "entries", entries: [{ type: "normal", index, term: 1, data: new Uint8Array(1200).fill(7) }] },
    ]);
  const encoder = new GroupEncoder();
  const offsets: number[] = [];
  let offset = GROUPS_OFFSET;
  let previousCrc = 0;
  for (const [at, records] of groups.entries()) {
    const place = { groupId: 0, generation: GENERATION, offset, previousCrc };
    const group = encoder.encode(place, at === 0 ? "start" : "data", 1, records);
    bytes.set(group.bytes, offset);
    offsets.push(offset);
    offset += group.bytes.length;
    previousCrc = group.crc;
  }
  return { bytes, offsets: [...offsets, offset] };
}

function endOf(bytes: Uint8Array): SegmentEnd {
  return scanSegment(segmentName(GENERATION), GENERATION, bytes, { groupId: 0 }).end;
}

describe("scan", () => {
  const { bytes, offsets } = segment();
  const [, second = 0, last = 0, end = 0] = offsets;
  const zeroed = (from: number, to: number): Uint8Array => bytes.slice().fill(0, from, to);

  it("ends cleanly at the first sector that was never written", () => {
    expect(endOf(bytes)).toEqual({ type: "clean", offset: end });
    expect(endOf(zeroed(last, end))).toEqual({ type: "clean", offset: last });
  });

  it("takes any lost sectors of the last group for a torn write", () => {
    for (let lost = 1; lost < 7; lost += 1) {
      const torn = bytes.slice();
      for (let sector = 0; sector < 3; sector += 1)
        if ((lost >> sector) % 2 === 1) torn.fill(0, last + sector * SECTOR_BYTES, last + (sector + 1) * SECTOR_BYTES);
      expect(endOf(torn)).toEqual({ type: "torn", offset: last });
    }
  });

  it("takes lost sectors of a group that another follows for damage", () => {
    expect(endOf(zeroed(second, second + SECTOR_BYTES))).toEqual({
      type: "damaged",
      offset: second,
      reason: `Sector is all zero, a group at offset ${last} follows`,
    });
    expect(endOf(zeroed(second + SECTOR_BYTES, second + 2 * SECTOR_BYTES))).toEqual({
      type: "damaged",
      offset: second,
      reason: `Checksum of a group is wrong, and bytes at offset ${last} follow`,
    });
  });

  it("takes a wrong byte in the last group for damage: all of its sectors were written", () => {
    expect(endOf(bytes.with(last + 600, 1))).toMatchObject({ type: "damaged", offset: last });
    expect(endOf(bytes.with(last + 20, 1))).toMatchObject({ type: "damaged", offset: last });
    expect(endOf(bytes.with(end, 1))).toMatchObject({ type: "damaged", offset: end });
  });

  it("does not follow a group that belongs behind another one", () => {
    const place = { groupId: 0, generation: GENERATION, offset: last, previousCrc: 1 };
    const stranger = bytes.slice();
    stranger.fill(0, last);
    stranger.set(new GroupEncoder().encode(place, "data", 1, []).bytes, last);
    expect(endOf(stranger)).toMatchObject({ type: "damaged", reason: "Group does not follow the group before it" });
  });
});
