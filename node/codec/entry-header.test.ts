import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { type Command } from "../machine/commands.ts";
import { CodecError } from "./bytes.ts";
import { decodeEntry, encodeEntry, type EntryHeader, UnsupportedEntryError } from "./entry-header.ts";
import { TRACE_BYTES } from "./trace.ts";

const COMMAND: Command = { type: "compact", revision: 7 };
const PLAIN: EntryHeader = { groupId: 0, machineVersion: 1, clusterTimeMs: 12, wallTimeMs: 1_700_000_000_000 };
const IDEMPOTENCY = { key: new Uint8Array(16), request: new Uint8Array(8), ttlMs: 1, budgetBytes: 1 };
const PRESENCE_OFFSET = 1 + 4 + 4 + 8 + 8;

const header: fc.Arbitrary<EntryHeader> = fc.record(
  {
    groupId: fc.nat(),
    machineVersion: fc.nat(),
    clusterTimeMs: fc.maxSafeNat(),
    wallTimeMs: fc.maxSafeNat(),
    actor: fc.string(),
    authRevision: fc.maxSafeNat(),
    idempotency: fc.record({
      key: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      request: fc.uint8Array({ minLength: 8, maxLength: 8 }),
      ttlMs: fc.maxSafeNat(),
      budgetBytes: fc.maxSafeNat(),
    }),
    trace: fc.uint8Array({ minLength: TRACE_BYTES, maxLength: TRACE_BYTES }),
    valueFlags: fc.record({ contentType: fc.nat(255), encoding: fc.nat(255) }),
  },
  { requiredKeys: ["groupId", "machineVersion", "clusterTimeMs", "wallTimeMs"] },
);

describe("entry header", () => {
  it("gives back every header, whatever is present", () => {
    fc.assert(
      fc.property(header, (value) => {
        const encoded = encodeEntry(value, COMMAND);
        expect(decodeEntry(encoded)).toEqual({ header: value, command: COMMAND });
        for (let length = 0; length < encoded.length; length += 7)
          expect(() => decodeEntry(encoded.subarray(0, length))).toThrow(CodecError);
      }),
      { numRuns: 200, seed: 4 },
    );
  });

  it("keeps the bytes of format 1", () => {
    expect(Buffer.from(encodeEntry(PLAIN, COMMAND)).toString("hex")).toBe(
      "01" + "00000000" + "01000000" + "0c00000000000000" + "0068e5cf8b010000" + "0000" + "050700000000000000",
    );
  });

  it("refuses a newer format, an unknown presence bit and an unknown idempotency kind", () => {
    const newer = encodeEntry(PLAIN, COMMAND);
    newer[0] = 2;
    expect(() => decodeEntry(newer)).toThrow(UnsupportedEntryError);
    for (let bit = 5; bit < 16; bit += 1) {
      const unknown = encodeEntry(PLAIN, COMMAND);
      unknown[PRESENCE_OFFSET + (bit >> 3)] = 1 << (bit & 7);
      expect(() => decodeEntry(unknown)).toThrow(UnsupportedEntryError);
    }
    const kind = encodeEntry({ ...PLAIN, idempotency: IDEMPOTENCY }, COMMAND);
    kind[PRESENCE_OFFSET + 2] = 3;
    expect(() => decodeEntry(kind)).toThrow("Idempotency has kind 3, this member knows 2");
  });

  it("refuses fields it could not give back", () => {
    expect(() => encodeEntry({ ...PLAIN, trace: new Uint8Array(16) }, COMMAND)).toThrow(
      "Trace context has 16 bytes, wanted 24",
    );
    const short = { ...IDEMPOTENCY, key: new Uint8Array(15) };
    expect(() => encodeEntry({ ...PLAIN, idempotency: short }, COMMAND)).toThrow(
      "Digests of 15 and 8 bytes, wanted 16 and 8",
    );
  });
});
