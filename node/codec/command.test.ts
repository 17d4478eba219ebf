import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { type Command, type Compare, type Operation, type Outcome, type Reply } from "../machine/commands.ts";
import { ByteWriter, CodecError } from "./bytes.ts";
import { decodeCommand, decodeMember, decodeOutcome, encodeCommand, encodeMember, encodeOutcome } from "./command.ts";
import { TXN_DEPTH_MAX } from "./command-fields.ts";

const bytes = fc.uint8Array({ maxLength: 40 });
const integer = fc.maxSafeInteger();
const natural = fc.maxSafeNat();
const int64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n);
const id = fc.bigInt(1n, 2n ** 64n - 1n).map((value) => value.toString(16).padStart(16, "0"));
const strings = fc.array(fc.string(), { maxLength: 4 });

const put = fc.record(
  {
    type: fc.constant("put" as const),
    key: bytes,
    value: bytes,
    lease: int64,
    previous: fc.boolean(),
    ignoreValue: fc.boolean(),
    ignoreLease: fc.boolean(),
    ttlMs: natural,
    contentType: fc.string(),
  },
  { requiredKeys: ["type", "key", "value", "lease", "previous", "ignoreValue", "ignoreLease"] },
);
const touch = fc.record({ type: fc.constant("touch" as const), key: bytes, ttlMs: natural });
const range = fc.record({
  type: fc.constant("range" as const),
  key: bytes,
  rangeEnd: bytes,
  limit: integer,
  revision: integer,
  sortTarget: fc.constantFrom("key" as const, "version" as const, "create" as const, "mod" as const, "value" as const),
  sortOrder: fc.constantFrom("none" as const, "ascend" as const, "descend" as const),
  keysOnly: fc.boolean(),
  countOnly: fc.boolean(),
  minModRevision: integer,
  maxModRevision: integer,
  minCreateRevision: integer,
  maxCreateRevision: integer,
});
const remove = fc.record({ type: fc.constant("delete" as const), key: bytes, rangeEnd: bytes, previous: fc.boolean() });
const result = fc.constantFrom("equal" as const, "greater" as const, "less" as const, "notEqual" as const);
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({
    key: bytes,
    rangeEnd: bytes,
    result,
    target: fc.constantFrom("version" as const, "create" as const, "mod" as const),
    operand: integer,
  }),
  fc.record({ key: bytes, rangeEnd: bytes, result, target: fc.constant("lease" as const), operand: int64 }),
  fc.record({ key: bytes, rangeEnd: bytes, result, target: fc.constant("value" as const), operand: bytes }),
);
const { operation } = fc.letrec<{ operation: Operation }>((tie) => ({
  operation: fc.oneof(
    { maxDepth: 3 },
    put,
    range,
    remove,
    touch,
    fc.record({
      type: fc.constant("txn" as const),
      compares: fc.array(compare, { maxLength: 3 }),
      success: fc.array(tie("operation"), { maxLength: 3 }),
      failure: fc.array(tie("operation"), { maxLength: 3 }),
    }),
  ),
}));
const member = fc.record({
  id,
  name: fc.string(),
  peerUrls: strings,
  clientUrls: strings,
  learner: fc.boolean(),
  joined: fc.boolean(),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  operation,
  fc.record({ type: fc.constant("compact" as const), revision: integer }),
  fc.record({
    type: fc.constant("found" as const),
    clusterId: id,
    clusterUid: fc.string(),
    size: fc.nat(),
    founder: member,
    awaited: fc.array(fc.record({ name: fc.string(), peerUrls: strings }), { maxLength: 4 }),
  }),
  fc.record({
    type: fc.constant("publish" as const),
    member: id,
    name: fc.string(),
    peerUrls: strings,
    clientUrls: strings,
  }),
  fc.record({
    type: fc.constant("alarm" as const),
    action: fc.constantFrom("set" as const, "clear" as const),
    alarm: fc.constant("noSpace" as const),
    member: id,
  }),
  fc.record({ type: fc.constant("raiseVersion" as const), version: fc.nat() }),
  fc.record({ type: fc.constant("leaseGrant" as const), id: int64, ttlSeconds: integer }),
  fc.record({ type: fc.constant("leaseRevoke" as const), id: int64 }),
  fc.record({ type: fc.constant("leaseKeepAlive" as const), ids: fc.array(int64, { maxLength: 4 }) }),
  fc.record({ type: fc.constant("leaseExpire" as const), id: int64, deadlineMs: natural }),
  fc.record({ type: fc.constant("leaseTimeToLive" as const), id: int64, keys: fc.boolean() }),
  fc.record({ type: fc.constant("advanceTime" as const) }),
  fc.record({
    type: fc.constant("expireRows" as const),
    rows: fc.array(fc.record({ key: bytes, endMs: natural }), { maxLength: 3 }),
  }),
);

const row = fc.record(
  {
    key: bytes,
    value: bytes,
    createRevision: natural,
    modRevision: natural,
    version: natural,
    lease: int64,
    ttlMs: fc.nat(),
    contentType: fc.string({ minLength: 1 }),
  },
  { requiredKeys: ["key", "value", "createRevision", "modRevision", "version", "lease"] },
);
const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 3 },
    fc.record({ type: fc.constant("put" as const), previous: fc.option(row, { nil: undefined }) }),
    fc.record({
      type: fc.constant("range" as const),
      rows: fc.array(row, { maxLength: 3 }),
      count: natural,
      more: fc.boolean(),
    }),
    fc.record({ type: fc.constant("delete" as const), deleted: natural, previous: fc.array(row, { maxLength: 3 }) }),
    fc.record({ type: fc.constantFrom("compact" as const, "ok" as const) }),
    fc.record({ type: fc.constant("touch" as const), touched: fc.boolean() }),
    fc.record({ type: fc.constant("leaseGrant" as const), id: int64, ttlSeconds: natural }),
    fc.record({ type: fc.constant("leaseRevoke" as const), deleted: natural }),
    fc.record({ type: fc.constant("leaseKeepAlive" as const), ttls: fc.array(natural, { maxLength: 4 }) }),
    fc.record({
      type: fc.constant("leaseTimeToLive" as const),
      ttlSeconds: fc.oneof(fc.constant(-1), natural),
      grantedSeconds: natural,
      keys: fc.array(bytes, { maxLength: 3 }),
    }),
    fc.record({
      type: fc.constant("txn" as const),
      succeeded: fc.boolean(),
      replies: fc.array(tie("reply"), { maxLength: 3 }),
    }),
  ),
}));
const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.record({ ok: fc.constant(true as const), revision: natural, reply }),
  fc.record({
    ok: fc.constant(false as const),
    revision: natural,
    reason: fc.constantFrom("keyEmpty" as const, "compacted" as const, "tooManyLeases" as const),
    compactRevision: fc.oneof(fc.constant(-1), natural),
  }),
);

/** Cut anywhere, an encoding is refused: never half a value, never another error. */
function expectEveryCutRefused(encoded: Uint8Array, decode: (bytes: Uint8Array) => unknown): void {
  for (let length = 0; length < encoded.length; length += Math.max(1, encoded.length >> 6))
    expect(() => decode(encoded.subarray(0, length))).toThrow(CodecError);
  expect(() => decode(new Uint8Array([...encoded, 0]))).toThrow(CodecError);
}

describe("command codec", () => {
  it("gives back every command", () => {
    fc.assert(
      fc.property(command, (value) => {
        const encoded = encodeCommand(value);
        expect(decodeCommand(encoded)).toEqual(value);
        expectEveryCutRefused(encoded, decodeCommand);
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  it("gives back every outcome and member", () => {
    fc.assert(
      fc.property(outcome, member, (value, who) => {
        const encoded = encodeOutcome(value);
        expect(decodeOutcome(encoded)).toEqual(value);
        expectEveryCutRefused(encoded, decodeOutcome);
        expect(decodeMember(encodeMember(who))).toEqual(who);
      }),
      { numRuns: 200, seed: 2 },
    );
  });

  it("throws nothing but CodecError at arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 10 }), (garbage, type) => {
        for (const decode of [decodeCommand, decodeOutcome, decodeMember])
          try {
            decode(new Uint8Array([type, ...garbage]));
          } catch (error) {
            expect(error).toBeInstanceOf(CodecError);
          }
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  it("keeps the bytes of format 1", () => {
    const encoded = encodeCommand({
      type: "put",
      key: new Uint8Array([1, 2]),
      value: new Uint8Array([3]),
      lease: 0n,
      previous: true,
      ignoreValue: false,
      ignoreLease: false,
    });
    expect(Buffer.from(encoded).toString("hex")).toBe("0101" + "0000000000000000" + "020000000102" + "0100000003");
  });

  it("refuses nesting beyond its bound, both ways", () => {
    let nested: Operation = { type: "txn", compares: [], success: [], failure: [] };
    for (let depth = 1; depth < TXN_DEPTH_MAX; depth += 1)
      nested = { type: "txn", compares: [], success: [nested], failure: [] };
    expect(decodeCommand(encodeCommand(nested))).toEqual(nested);
    const tooDeep: Operation = { type: "txn", compares: [], success: [nested], failure: [] };
    expect(() => encodeCommand(tooDeep)).toThrow(`Txn is nested deeper than ${TXN_DEPTH_MAX}`);
    const writer = new ByteWriter();
    for (let depth = 0; depth <= TXN_DEPTH_MAX; depth += 1) writer.u8(4).u32(0).u32(1);
    expect(() => decodeCommand(writer.finish())).toThrow(`Txn is nested deeper than ${TXN_DEPTH_MAX}`);
  });

  it.each([
    ["an unknown command", [77], "Command has type 77, this member knows 1 to 17"],
    ["an unknown flag", [1, 32], "Flags 32 at byte 1, known are 31"],
    ["an unknown code", [2, 0, 9], "Code 9 at byte 2, known are 0 to 4"],
    ["a list longer than its bytes", [4, 255, 255, 255, 255], "List of 4294967295 elements, 0 bytes are left"],
  ])("refuses %s", (_name, content, message) => {
    expect(() => decodeCommand(new Uint8Array(content))).toThrow(message);
  });

  it("refuses numbers it could not give back", () => {
    expect(() => encodeCommand({ type: "compact", revision: 2 ** 53 })).toThrow(
      "9007199254740992 is not a whole number",
    );
    const writer = new ByteWriter().u8(5).u32(0).u32(0x20_0000);
    expect(() => decodeCommand(writer.finish())).toThrow("Number at byte 1 is beyond 2^53");
  });
});
