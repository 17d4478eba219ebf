import { describe, expect, it } from "vitest";
import { CodecError } from "../../codec/bytes.ts";
import { PageTotals } from "./page-table.ts";
import { metaValue, pageKey, pageValue, readMetaRow, readPageKey, readPageRow } from "./rows.ts";
import { CheckpointScan, type Row } from "./scan.ts";

const GROUP = 3;
const META = {
  snapshot: { index: 9, term: 2, configuration: { voters: ["0000000000000001"], learners: [] } },
  machine: Uint8Array.of(1, 2, 3),
};
const bytes = Uint8Array.from({ length: 40 }, (_, i) => i);

function row(number: number, generation: number, contents: Uint8Array | undefined = bytes): Row {
  const key = pageKey(number, generation);
  return [key, pageValue(GROUP, key, contents).value];
}

describe("rows of a checkpoint", () => {
  it("sort by page number, then by generation", () => {
    const numbers = [0, 1, 255, 256, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER];
    const keys = numbers.flatMap((number) => [pageKey(number, 1), pageKey(number, 2 ** 33)]);
    expect([...keys].sort((a, b) => Buffer.compare(a, b))).toEqual(keys);
    for (const number of numbers) expect(readPageKey(pageKey(number, 5))).toEqual({ number, generation: 5 });
  });

  it("come back as they were", () => {
    const [key, value] = row(7, 2);
    expect(readPageRow(GROUP, key, value)).toMatchObject({ number: 7, generation: 2, removed: false, bytes });
    const [gone, mark] = row(7, 2, new Uint8Array(0));
    expect(readPageRow(GROUP, gone, mark)).toMatchObject({ removed: false, bytes: new Uint8Array(0) });
    const removed = pageValue(GROUP, key, undefined).value;
    expect(readPageRow(GROUP, key, removed)).toMatchObject({ removed: true });
    const meta = { generation: 2, pageCount: 1, pageBytes: 40, hash: 0xffff_ffff_ffff_ffffn, meta: META };
    expect(readMetaRow(GROUP, metaValue(GROUP, meta))).toEqual(meta);
  });

  it("are refused in another place, in another group, and with any bit flipped", () => {
    const [key, value] = row(7, 2);
    expect(() => readPageRow(GROUP, pageKey(8, 2), value)).toThrow("Checksum of page 8 of generation 2");
    expect(() => readPageRow(GROUP, pageKey(7, 1), value)).toThrow("Checksum of page 7 of generation 1");
    expect(() => readPageRow(GROUP + 1, key, value)).toThrow("belongs to group 3, wanted 4");
    for (let bit = 0; bit < value.length * 8; bit += 1) {
      const damaged = value.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => readPageRow(GROUP, key, damaged), `bit ${bit}`).toThrow(CodecError);
    }
    expect(() => readPageRow(GROUP, key, value.subarray(0, 9))).toThrow(CodecError);
  });
});

describe("reading all rows of a checkpoint", () => {
  const scanOf = (rows: readonly Row[]): CheckpointScan => {
    const generation = 2;
    const totals = new PageTotals();
    for (const [key, value] of [row(1, 1), row(2, 2)]) {
      const { number, generation: of, crc, bytes: contents } = readPageRow(GROUP, key, value);
      totals.add({ number, generation: of, crc, length: contents.length });
    }
    const meta = { generation, pageCount: totals.count, pageBytes: totals.bytes, hash: totals.hash, meta: META };
    const scan = new CheckpointScan(GROUP, meta, undefined);
    scan.rows([[Uint8Array.of(0x6d), metaValue(GROUP, meta)], ...rows]);
    return scan;
  };

  it("takes the newest visible row of each page and names the others", () => {
    const scan = scanOf([row(1, 1), row(1, 3)]);
    expect(scan.rows([row(2, 1), row(2, 2)])).toEqual([{ number: 1, bytes }]);
    expect(scan.rows([row(3, 3)])).toEqual([{ number: 2, bytes }]);
    expect(scan.end()).toEqual([]);
    expect(scan.obsolete).toEqual([
      { number: 1, generation: 3 },
      { number: 2, generation: 1 },
      { number: 3, generation: 3 },
    ]);
  });

  it.each<[string, Row[], string]>([
    ["a page that is missing", [row(1, 1)], "1 pages of 40 bytes are there, the meta row says 2 of 80"],
    ["a page too many", [row(1, 1), row(2, 2), row(3, 1)], "3 pages of 120 bytes"],
    ["a page of an earlier generation", [row(1, 1), row(2, 1)], "hash over all pages does not hold"],
    ["a page that stands in for another", [row(1, 1), row(3, 2)], "hash over all pages does not hold"],
  ])("notices %s", (_, rows, reason) => {
    expect(() => scanOf(rows).end()).toThrow(reason);
  });

  it("notices rows out of order, unknown keys, and a meta row that is gone", () => {
    expect(() => scanOf([row(2, 2), row(1, 1)])).toThrow("Page 1 of generation 1 stands out of order");
    expect(() => scanOf([row(2, 2), row(2, 2)])).toThrow("out of order");
    expect(() => scanOf([[Uint8Array.of(0x7a), bytes]])).toThrow("unknown key 7a");
    const scan = new CheckpointScan(GROUP, undefined, undefined);
    scan.rows([row(1, 2)]);
    expect(() => scan.end()).toThrow("The meta row is missing, rows up to generation 2 are there");
  });
});
