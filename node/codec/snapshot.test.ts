import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CodecError } from "./bytes.ts";
import {
  SnapshotDecoder,
  SnapshotEncoder,
  type SnapshotHeader,
  type SnapshotPage,
  SNAPSHOT_PAGE_BYTES_MAX,
} from "./snapshot.ts";

const SEED = 20_260_102;
const HEADER: SnapshotHeader = {
  groupId: 3,
  clusterId: "00000000000000aa",
  snapshot: {
    index: 12,
    term: 4,
    configuration: { voters: ["0000000000000001", "0000000000000002"], learners: ["0000000000000003"] },
  },
  machine: Uint8Array.of(9, 8, 7),
};

const anyPages = fc.uniqueArray(fc.record({ number: fc.maxSafeNat(), bytes: fc.uint8Array({ maxLength: 200 }) }), {
  selector: (page) => page.number,
  maxLength: 12,
});

function encode(pages: readonly SnapshotPage[], chunkBytes = 64): Uint8Array[] {
  const encoder = new SnapshotEncoder(HEADER, { chunkBytes });
  return [...pages.flatMap((page) => encoder.push([page])), ...encoder.finish()];
}

function decode(chunks: readonly Uint8Array[]): { readonly header: SnapshotHeader; readonly pages: SnapshotPage[] } {
  const decoder = new SnapshotDecoder();
  const pages = chunks.flatMap((chunk) => decoder.push(chunk));
  return { header: decoder.finish(), pages };
}

const join = (chunks: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(chunks));

describe("snapshot stream", () => {
  it("gives back header and pages, however it is cut", () => {
    fc.assert(
      fc.property(anyPages, fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 700 }), (pages, cut, recut) => {
        const chunks = encode(pages, cut);
        for (const chunk of chunks.slice(0, -1)) expect(chunk.length).toBe(cut);
        const whole = join(chunks);
        const again = Array.from({ length: Math.ceil(whole.length / recut) }, (_, i) =>
          whole.slice(i * recut, (i + 1) * recut),
        );
        expect(decode(again)).toEqual({ header: HEADER, pages });
      }),
      { seed: SEED, numRuns: 150 },
    );
  });

  it("owns the bytes of its pages", () => {
    const decoder = new SnapshotDecoder();
    const stream = join(encode([{ number: 1, bytes: new Uint8Array(300).fill(5) }]));
    const pages = decoder.push(stream);
    stream.fill(0);
    decoder.push(new Uint8Array(0));
    expect(pages[0]!.bytes).toEqual(new Uint8Array(300).fill(5));
    expect(decoder.finish().machine).toEqual(HEADER.machine);
  });

  it("notices every flipped bit of a small stream", () => {
    const whole = join(encode([1, 2, 3].map((number) => ({ number, bytes: new Uint8Array(20).fill(number) }))));
    for (let bit = 0; bit < whole.length * 8; bit += 1) {
      const damaged = whole.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decode([damaged]), `bit ${bit}`).toThrow(CodecError);
    }
  });

  it("notices any damaged byte, missing range, repeated range and missing end", () => {
    const damage = fc.record({
      kind: fc.constantFrom("byte", "cut", "repeat", "drop"),
      at: fc.nat(),
      length: fc.integer({ min: 1, max: 100 }),
      value: fc.integer({ min: 1, max: 255 }),
    });
    fc.assert(
      fc.property(anyPages, damage, (pages, { kind, at, length, value }) => {
        const whole = join(encode(pages));
        const from = at % whole.length;
        const damaged = {
          byte: () => whole.with(from, (whole[from]! + value) & 0xff),
          cut: () => whole.slice(0, from),
          repeat: () => join([whole.slice(0, from + length), whole.slice(from)]),
          drop: () => join([whole.slice(0, from), whole.slice(from + length)]),
        }[kind]();
        expect(() => decode([damaged])).toThrow(CodecError);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  it("notices pages that changed places or came from another snapshot", () => {
    const page = (number: number): SnapshotPage => ({ number, bytes: new Uint8Array(47).fill(number) });
    const record = 1 + 8 + 4 + 47 + 4;
    const whole = join(encode([page(1), page(2)]));
    const trailer = whole.length - 29;
    const [head, first, second, end] = [
      whole.slice(0, trailer - 2 * record),
      whole.slice(trailer - 2 * record, trailer - record),
      whole.slice(trailer - record, trailer),
      whole.slice(trailer),
    ];
    expect(decode([head, first, second, end]).pages).toHaveLength(2);
    expect(() => decode([head, second, first, end])).toThrow(CodecError);
    expect(() => decode([head, first, end])).toThrow(CodecError);
    expect(() => decode([head, first, first, end])).toThrow(CodecError);
  });

  it("stays refused after the first damage", () => {
    const decoder = new SnapshotDecoder();
    expect(() => decoder.push(new TextEncoder().encode("something"))).toThrow("Not a snapshot of Concord");
    expect(() => decoder.push(new Uint8Array(0))).toThrow("Not a snapshot of Concord");
    expect(() => decoder.finish()).toThrow("Not a snapshot of Concord");
  });

  it("says what it wanted of a newer format, of a page beyond the limit, and behind the end", () => {
    const whole = join(encode([{ number: 1, bytes: new Uint8Array(1) }]));
    expect(() => new SnapshotDecoder().push(whole.with(8, 2))).toThrow("format version 2, wanted 1");
    const header = join(encode([])).length - 29;
    const lying = whole.slice();
    new DataView(lying.buffer).setUint32(header + 9, SNAPSHOT_PAGE_BYTES_MAX + 1, true);
    expect(() => new SnapshotDecoder().push(lying)).toThrow(`Page of ${SNAPSHOT_PAGE_BYTES_MAX + 1} bytes`);
    expect(() => new SnapshotDecoder().push(join([whole, Uint8Array.of(1)]))).toThrow("1 bytes behind the end");
    expect(() => decode([whole.slice(0, -1)])).toThrow("ends early, after 1 pages");
  });

  it("makes full chunks of 256 KiB by default and passes large pages", () => {
    const encoder = new SnapshotEncoder(HEADER);
    const page = { number: 7, bytes: new Uint8Array(1_500_000).fill(3) };
    const full = encoder.push([page]);
    expect(full.map((chunk) => chunk.length)).toEqual(Array<number>(5).fill(256 << 10));
    expect(decode([...full, ...encoder.finish()]).pages).toEqual([page]);
  });
});
