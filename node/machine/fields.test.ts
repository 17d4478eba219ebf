import { describe, expect, it } from "vitest";
import { FieldReader, FieldWriter } from "./fields.ts";

class Reader extends FieldReader {
  override fail(reason: string): never {
    throw new RangeError(reason);
  }
}

/** A field of each kind. */
const write = (writer: FieldWriter): FieldWriter =>
  writer
    .u8(255)
    .u16(65_535)
    .u32(0xffff_ffff)
    .u53(2 ** 53 - 1)
    .u53(-1)
    .u64(2n ** 64n - 1n)
    .i64(-5n)
    .bytes(Uint8Array.of(1, 2))
    .string("é")
    .raw(Uint8Array.of(9));

const read = (reader: FieldReader): unknown[] => [
  reader.u8(),
  reader.u16(),
  reader.u32(),
  reader.u53(),
  reader.u53(-1),
  reader.u64(),
  reader.i64(),
  [...reader.bytes()],
  reader.string(),
  [...reader.raw(1)],
];

describe("fields", () => {
  it("come back as they were written, wherever the buffer had to grow", () => {
    const expected = [255, 65_535, 0xffff_ffff, 2 ** 53 - 1, -1, 2n ** 64n - 1n, -5n, [1, 2], "é", [9]];
    const whole = write(new FieldWriter(256)).finish();
    for (let capacity = 1; capacity <= whole.length; capacity += 1) {
      const bytes = write(new FieldWriter(capacity)).finish();
      expect(bytes).toEqual(whole);
      const reader = new Reader(bytes);
      expect(read(reader)).toEqual(expected);
      expect([reader.offset, reader.remaining]).toEqual([whole.length, 0]);
      reader.end();
    }
  });

  it("that are cut off anywhere are refused, and none is read beyond the end", () => {
    const whole = write(new FieldWriter(256)).finish();
    for (let length = 0; length < whole.length; length += 1)
      expect(() => read(new Reader(whole.subarray(0, length)))).toThrow(/^ends at byte \d+, wanted \d+ bytes at \d+$/);
    expect(() => new Reader(whole).end()).toThrow(`${whole.length} bytes behind the end`);
  });

  it.each<[string, (writer: FieldWriter) => FieldWriter, (reader: FieldReader) => unknown, string]>([
    ["-1 where none is meant", (w) => w.u53(-1), (r) => r.u53(), "number at byte 0 is out of range, wanted 0 to"],
    ["a number below -1", (w) => w.i64(-2n), (r) => r.u53(-1), "number at byte 0 is out of range, wanted -1 to"],
    ["a number beyond 2^53", (w) => w.u64(2n ** 53n), (r) => r.u53(), "number at byte 0 is out of range"],
    ["bytes over their limit", (w) => w.bytes(new Uint8Array(5)), (r) => r.bytes(4), "field of 5 bytes, at most 4"],
    ["text that is not UTF-8", (w) => w.bytes(Uint8Array.of(0xff)), (r) => r.string(), "text is not valid UTF-8"],
  ])("%s is refused", (_what, given, taken, message) => {
    expect(() => taken(new Reader(given(new FieldWriter(16)).finish()))).toThrow(message);
  });

  it("can be patched, filled in place and begun anew", () => {
    const writer = new FieldWriter(2).u32(0);
    const room = writer.reserve(2);
    room.bytes.set([7, 8], room.offset);
    writer.patchU32(0, 2);
    expect([...writer.view()]).toEqual([2, 0, 0, 0, 7, 8]);
    expect(writer.reset().u8(1).finish()).toEqual(Uint8Array.of(1));
  });
});
