import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isZeroSector, SECTOR_BYTES } from "./format.ts";
import {
  decodeGroupHeader,
  decodePayload,
  groupBytesMax,
  GroupEncoder,
  isPayloadWhole,
  recordsBytesMax,
} from "./group.ts";
import { type LogRecord } from "./record.ts";

const PLACE = { groupId: 3, generation: 9, offset: 4096, previousCrc: 0xdeadbeef };

/** Lengths around the places where payloads, sectors and the list of escaped sectors meet. */
const length = fc.oneof(fc.integer({ min: 0, max: 2100 }), fc.integer({ min: 200_000, max: 201_000 }));

function entriesOf(lengths: readonly number[], fill: number): LogRecord[] {
  const entries = lengths.map((bytes, at) => {
    return { type: "normal", index: at + 1, term: 1, data: new Uint8Array(bytes).fill(fill) } as const;
  });
  return [{ type: "entries", entries }];
}

function inSegment(bytes: Uint8Array): Uint8Array {
  const segment = new Uint8Array(PLACE.offset + bytes.length);
  segment.set(bytes, PLACE.offset);
  return segment;
}

describe("group", () => {
  it("fills whole sectors, none of them all zero, and reads back", () => {
    const encoder = new GroupEncoder();
    fc.assert(
      fc.property(fc.array(length, { minLength: 1, maxLength: 4 }), fc.constantFrom(0, 0, 0xff), (lengths, fill) => {
        const records = entriesOf(lengths, fill);
        const { bytes, crc } = encoder.encode(PLACE, "data", 1, records);
        expect(bytes.length % SECTOR_BYTES).toBe(0);
        expect(bytes.length).toBeLessThanOrEqual(groupBytesMax(recordsBytesMax(records)));
        for (let at = 0; at < bytes.length; at += SECTOR_BYTES) expect(isZeroSector(bytes, at)).toBe(false);
        const segment = inSegment(bytes);
        const header = decodeGroupHeader(segment, PLACE);
        if (typeof header === "string") throw new Error(header);
        expect(header).toMatchObject({ type: "data", crc, previousCrc: PLACE.previousCrc, end: segment.length });
        expect(isPayloadWhole(segment, PLACE.offset, header)).toBe(true);
        const group = decodePayload(segment, PLACE.offset, header);
        if (typeof group === "string") throw new Error(group);
        expect(Buffer.compare(encoder.encode(PLACE, "data", 1, group.records).bytes, bytes)).toBe(0);
      }),
      { seed: 7, numRuns: 200 },
    );
  });

  it("is valid only where it was written", () => {
    const segment = inSegment(new GroupEncoder().encode(PLACE, "data", 1, entriesOf([10], 1)).bytes);
    for (const other of [{ groupId: 4 }, { generation: 8 }])
      expect(decodeGroupHeader(segment, { ...PLACE, ...other })).toContain("Group belongs to group id 3, generation 9");
    const moved = new Uint8Array(segment.length + SECTOR_BYTES);
    moved.set(segment.subarray(PLACE.offset), PLACE.offset + SECTOR_BYTES);
    expect(decodeGroupHeader(moved, { ...PLACE, offset: PLACE.offset + SECTOR_BYTES })).toContain(
      "offset 4096; wanted",
    );
    expect(decodeGroupHeader(segment.subarray(0, PLACE.offset + 100), PLACE)).toBe(
      "Segment ends inside a group header",
    );
  });
});
