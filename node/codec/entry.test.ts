import { describe, expect, it } from "vitest";
import { type Entry } from "../raft/types.ts";
import { ByteReader, ByteWriter, CodecError } from "./bytes.ts";
import { crc32 } from "./crc.ts";
import { entryBytes, readEntry, writeEntry } from "./entry.ts";

const EXAMPLES: readonly Entry[] = [
  { type: "normal", index: 1, term: 1, data: new Uint8Array(0) },
  { type: "normal", index: Number.MAX_SAFE_INTEGER, term: 2 ** 40, data: new Uint8Array([0, 1, 255]) },
  ...(["addLearner", "promote", "remove"] as const).map((type): Entry => ({
    type: "configuration",
    index: 7,
    term: 3,
    data: new Uint8Array([9]),
    change: { type, member: "7fffffffffffffff" },
  })),
];

function encode(entry: Entry): Uint8Array {
  const writer = new ByteWriter();
  writeEntry(writer, entry);
  return writer.finish();
}

describe("entry", () => {
  it("reads back what it wrote, and states its length", () => {
    for (const entry of EXAMPLES) {
      const bytes = encode(entry);
      expect(bytes.length).toBe(entryBytes(entry));
      const reader = new ByteReader(bytes);
      expect(readEntry(reader)).toEqual(entry);
      reader.end();
    }
  });

  it("refuses every prefix", () => {
    for (const entry of EXAMPLES) {
      const bytes = encode(entry);
      for (let length = 0; length < bytes.length; length += 1)
        expect(() => readEntry(new ByteReader(bytes.subarray(0, length)))).toThrow(CodecError);
    }
  });

  it("refuses an unknown type, an unknown change, index 0 and term 0", () => {
    const normal = encode(EXAMPLES[0]!);
    expect(() => readEntry(new ByteReader(normal.with(0, 0)))).toThrow("Unknown entry type 0 at byte 0");
    expect(() => readEntry(new ByteReader(normal.with(1, 0)))).toThrow("term 0");
    expect(() => readEntry(new ByteReader(normal.with(9, 0)))).toThrow("index 0");
    expect(() => readEntry(new ByteReader(encode(EXAMPLES[2]!).with(17, 3)))).toThrow("Unknown configuration change 3");
  });

  it("does not believe a length that is beyond the end", () => {
    const bytes = encode(EXAMPLES[0]!);
    bytes.fill(0xff, 17, 21);
    expect(() => readEntry(new ByteReader(bytes))).toThrow(CodecError);
  });
});

describe("crc32", () => {
  it("is the checksum of zlib and continues", () => {
    const check = new TextEncoder().encode("123456789");
    expect(crc32(check)).toBe(0xcbf43926);
    expect(crc32(check.subarray(4), crc32(check.subarray(0, 4)))).toBe(0xcbf43926);
  });
});
