import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { offsetOf, Slab } from "./slab.ts";

const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);

describe("slab", () => {
  it("keeps every block apart, whatever is stored and freed", () => {
    const length = fc.oneof(
      fc.integer({ min: 0, max: 600 }),
      fc.constantFrom(8, 256, 257, 65_535, 65_536, 65_537, 300_000),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(length, fc.nat()), { maxLength: 200, size: "max" }), (steps) => {
        const slab = new Slab();
        const blocks: { address: number; content: Uint8Array }[] = [];
        for (const [size, pick] of steps)
          if (pick % 3 === 0 && blocks.length > 0) {
            const [gone] = blocks.splice(pick % blocks.length, 1);
            slab.free(gone!.address, gone!.content.length);
          } else {
            const content = filled(size, pick & 255);
            blocks.push({ address: slab.store(content), content });
          }
        for (const { address, content } of blocks)
          expect(Buffer.compare(slab.read(address, content.length), content)).toBe(0);
        for (const { address, content } of blocks) slab.free(address, content.length);
        // What is left is at most one chunk that is being filled for each size.
        expect(slab.reservedBytes).toBeLessThanOrEqual(64 * 262_144);
      }),
      { numRuns: 30, seed: 5 },
    );
  });

  it("begins every block at a multiple of 8 bytes, and has no address for nothing", () => {
    const slab = new Slab();
    expect(slab.store(new Uint8Array(0))).toBe(0);
    for (let length = 1; length < 1000; length += 37) expect(offsetOf(slab.store(filled(length, 1))) % 8).toBe(0);
  });

  it("uses freed memory again, for other sizes too", () => {
    const slab = new Slab();
    const fill = (length: number): number[] => Array.from({ length: 4000 }, () => slab.store(filled(length, 1)));
    const first = fill(256);
    const { reservedBytes } = slab;
    for (let round = 0; round < 5; round += 1) {
      const length = 256 - 8 * round;
      for (const address of first.splice(0)) slab.free(address, length);
      first.push(...fill(length - 8));
    }
    expect(slab.reservedBytes).toBeLessThanOrEqual(reservedBytes + 6 * 262_144);
  });

  it("gives large blocks back at once", () => {
    const slab = new Slab();
    const before = slab.reservedBytes;
    const address = slab.store(filled(1_000_000, 3));
    expect(slab.reservedBytes).toBe(before + 1_000_000);
    slab.free(address, 1_000_000);
    expect(slab.reservedBytes).toBe(before);
    expect(() => slab.read(address, 1_000_000)).toThrow("Address is not in the slab");
  });

  it("compares raw bytes: unsigned, a prefix first", () => {
    const slab = new Slab();
    const low = slab.store(Uint8Array.of(1, 127));
    const high = slab.store(Uint8Array.of(1, 128));
    const prefix = slab.store(Uint8Array.of(1));
    expect(slab.compareBlocks(low, 2, high, 2)).toBeLessThan(0);
    expect(slab.compareBlocks(prefix, 1, low, 2)).toBeLessThan(0);
    expect(slab.compareBlocks(0, 0, prefix, 1)).toBeLessThan(0);
    expect(slab.compare(high, 2, Uint8Array.of(1, 127, 0))).toBeGreaterThan(0);
    expect(slab.compare(high, 2, Uint8Array.of(1, 128))).toBe(0);
  });
});
