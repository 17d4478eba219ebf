import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { ERROR_TABLE, type ErrorCode } from "../errors.ts";
import { decodeServerMessages, encodeServerMessages } from "./answers.ts";
import { WireError, WireReader, WireWriter } from "./fields.ts";
import { TXN_DEPTH_MAX } from "./operations.ts";
import { decodeClientMessages, encodeClientMessages } from "./requests.ts";
import {
  COMPARE_RESULTS,
  READ_LEVELS,
  SORT_ORDERS,
  SORT_TARGETS,
  WATCH_ENDS,
  type ClientMessage,
  type KeyValue,
  type Operation,
  type ServerMessage,
} from "./types.ts";

const RUNS = { numRuns: 400 };
const bytes = fc.uint8Array({ maxLength: 300 });
const natural = fc.oneof(fc.maxSafeNat(), fc.nat(300));
const int64 = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.constant(0n));
const flag = fc.boolean();
const name = fc.string({ unit: "grapheme", maxLength: 40 });
const hexId = fc.bigInt(0n, 2n ** 64n - 1n).map((value) => (value === 0n ? "" : value.toString(16).padStart(16, "0")));
const keyRange = { key: bytes, rangeEnd: bytes };
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const is = <const T>(value: T) => fc.constant(value);

const put = fc.record(
  {
    type: is("put"),
    key: bytes,
    value: bytes,
    lease: int64,
    previous: flag,
    ignoreValue: flag,
    ignoreLease: flag,
    ttlMs: natural,
    contentType: name,
  },
  { requiredKeys: ["type", "key", "value", "lease", "previous", "ignoreValue", "ignoreLease"] },
);
const range = fc.record({
  type: is("range"),
  ...keyRange,
  limit: natural,
  revision: natural,
  sortTarget: fc.constantFrom(...SORT_TARGETS),
  sortOrder: fc.constantFrom(...SORT_ORDERS),
  keysOnly: flag,
  countOnly: flag,
  minModRevision: natural,
  maxModRevision: natural,
  minCreateRevision: natural,
  maxCreateRevision: natural,
});
const remove = fc.record({ type: is("delete"), ...keyRange, previous: flag });
const touch = fc.record({ type: is("touch"), key: bytes, ttlMs: natural });
const result = fc.constantFrom(...COMPARE_RESULTS);
const compare = fc.oneof(
  fc.record({ ...keyRange, result, target: fc.constantFrom("version", "create", "mod"), operand: natural }),
  fc.record({ ...keyRange, result, target: is("lease"), operand: int64 }),
  fc.record({ ...keyRange, result, target: is("value"), operand: bytes }),
);
const { operation } = fc.letrec<{ operation: Operation }>((tie) => {
  const branch = fc.array(tie("operation"), { maxLength: 3 });
  const txn = fc.record({
    type: is("txn"),
    compares: fc.array(compare, { maxLength: 3 }),
    success: branch,
    failure: branch,
  });
  return { operation: fc.oneof({ maxDepth: 3 }, put, range, remove, touch, txn) };
});

const settings = fc.record(
  {
    level: fc.constantFrom("leader" as const, "eventual" as const),
    minRevision: natural,
    maxStalenessMs: natural,
    idempotencyKey: bytes,
    timeoutMs: natural,
  },
  { requiredKeys: [] },
);
const request = fc.oneof(
  operation,
  fc.record({ type: is("compact"), revision: natural }),
  fc.record({ type: is("history"), key: bytes, fromRevision: natural, toRevision: natural, limit: natural }),
  fc.record({ type: is("leaseGrant"), id: int64, ttlSeconds: natural }),
  fc.record({ type: fc.constantFrom("leaseRevoke", "leaseKeepAlive"), id: int64 }),
  fc.record({ type: is("leaseTimeToLive"), id: int64, keys: flag }),
  fc.record({ type: fc.constantFrom("leases", "status") }),
  fc.record({ type: is("lock"), name, lease: int64, ttlSeconds: natural, waitMs: natural }),
  fc.record({ type: is("unlock"), name, lease: int64 }),
  fc.record({ type: is("writeRevision"), key: bytes }),
);
const watch = fc.record({
  ...keyRange,
  startRevision: natural,
  previous: flag,
  filterPut: flag,
  filterDelete: flag,
  fragment: flag,
});
const clientMessage: fc.Arbitrary<ClientMessage> = fc.oneof(
  fc.record({ type: is("hello"), id: natural, version: natural }),
  fc.record({ type: is("request"), id: natural, request, settings }),
  fc.record({ type: is("watch"), id: natural, watch }),
  fc.record({ type: fc.constantFrom("cancel", "progress"), id: natural }),
);

const row: fc.Arbitrary<KeyValue> = fc.record(
  {
    key: bytes,
    value: bytes,
    createRevision: natural,
    modRevision: natural,
    version: natural,
    lease: int64,
    ttlMs: natural,
    contentType: name,
  },
  { requiredKeys: ["key", "value", "createRevision", "modRevision", "version", "lease"] },
);
const rows = fc.array(row, { maxLength: 3 });
const { operationReply } = fc.letrec((tie) => ({
  operationReply: fc.oneof(
    { maxDepth: 3 },
    fc.record({ type: is("put"), previous: maybe(row) }),
    fc.record({ type: is("range"), rows, count: natural, more: flag }),
    fc.record({ type: is("delete"), deleted: natural, previous: rows }),
    fc.record({ type: is("touch"), touched: flag }),
    fc.record({ type: is("txn"), succeeded: flag, replies: fc.array(tie("operationReply"), { maxLength: 3 }) }),
  ),
}));
const status = fc.record({
  state: name,
  clusterId: hexId,
  memberId: hexId,
  leaderId: hexId,
  memberName: name,
  role: name,
  version: name,
  term: natural,
  compactRevision: natural,
  databaseBytes: natural,
  keys: natural,
  leases: natural,
  alarms: fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 3 }),
});
const notZero = fc.bigInt(1n, 2n ** 63n - 1n);
const reply = fc.oneof(
  operationReply,
  fc.record({ type: is("compact") }),
  fc.record({ type: is("history"), rows, more: flag }),
  fc.record({ type: is("leaseGrant"), id: int64, ttlSeconds: natural }),
  fc.record({ type: fc.constantFrom("leaseRevoke", "unlock"), deleted: natural }),
  fc.record({ type: is("leaseKeepAlive"), ttlSeconds: natural }),
  fc.record({
    type: is("leaseTimeToLive"),
    ttlSeconds: maybe(natural),
    grantedSeconds: natural,
    keys: fc.array(bytes, { maxLength: 3 }),
  }),
  fc.record({ type: is("leases"), ids: fc.array(notZero, { maxLength: 3 }) }),
  fc.record({ type: is("lock"), key: bytes, lease: int64, fencingToken: natural }),
  fc.record({ type: is("writeRevision"), writtenAt: maybe(natural) }),
  fc.record({ type: is("status"), status }),
);
const freshness = fc.record({ level: fc.constantFrom(...READ_LEVELS), term: natural, stalenessMs: maybe(natural) });
const change = fc.record({ type: fc.constantFrom("put", "delete"), row, previous: maybe(row) });
const limits = fc.record({ frameBytesMax: natural, requestsMax: natural, watchesMax: natural });
const serverMessage = fc.oneof(
  fc.record({
    type: is("welcome"),
    id: natural,
    version: natural,
    clusterId: hexId,
    memberId: hexId,
    revision: natural,
    limits,
  }),
  fc.record({ type: is("answer"), id: natural, revision: natural, reply, replayed: flag, freshness: maybe(freshness) }),
  fc.record({
    type: is("error"),
    id: natural,
    code: fc.constantFrom(...(Object.keys(ERROR_TABLE) as ErrorCode[])),
    message: name,
    revision: natural,
    compactRevision: natural,
  }),
  fc.record({ type: fc.constantFrom("watching", "progress"), id: natural, revision: natural }),
  fc.record({
    type: is("changes"),
    id: natural,
    revision: natural,
    fragment: flag,
    changes: fc.array(change, { maxLength: 3 }),
  }),
  fc.record({ type: is("ended"), id: natural, reason: fc.constantFrom(...WATCH_ENDS), nextRevision: natural }),
) as fc.Arbitrary<ServerMessage>;

const frameOf = <T>(message: fc.Arbitrary<T>) => fc.array(message, { minLength: 1, maxLength: 5 });

describe("what was written is read again", () => {
  test("messages of a client", () => {
    fc.assert(
      fc.property(frameOf(clientMessage), (messages) => {
        expect(decodeClientMessages(encodeClientMessages(messages))).toEqual(messages);
      }),
      RUNS,
    );
  });

  test("messages of a server", () => {
    fc.assert(
      fc.property(frameOf(serverMessage), (messages) => {
        expect(decodeServerMessages(encodeServerMessages(messages))).toEqual(messages);
      }),
      RUNS,
    );
  });
});

describe("bytes of anybody", () => {
  /** Every content has one form: what can be read is what would be written. */
  const oneForm = (frame: Uint8Array): void => {
    let messages: readonly ClientMessage[];
    try {
      messages = decodeClientMessages(frame);
    } catch (error) {
      expect(error).toBeInstanceOf(WireError);
      return;
    }
    expect(decodeClientMessages(encodeClientMessages(messages))).toEqual(messages);
  };

  test("are read, or refused by one sentence, whatever they are", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), oneForm), { numRuns: 3000 });
  });

  test("that were right before some of them changed", () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const messages = fc.tuple(frameOf(clientMessage), frameOf(serverMessage), damage, fc.nat());
    fc.assert(
      fc.property(messages, ([client, server, changes, cut]) => {
        const spoil = (whole: Uint8Array): Uint8Array => {
          for (const [at, value] of changes) whole[at % whole.length] = value;
          return cut % 3 === 0 ? whole.subarray(0, cut % whole.length) : whole;
        };
        oneForm(spoil(encodeClientMessages(client)));
        try {
          decodeServerMessages(spoil(encodeServerMessages(server)));
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

describe("a frame that is not right", () => {
  test.each<[string, string, string]>([
    ["empty", "", "The frame is empty"],
    ["with half a record", "01", "The frame ends"],
    ["longer than it says", "03 01 05 0101 61", "The frame ends"],
    ["with a field cut off", "03 01 03 010261", "The frame ends"],
    ["with a kind that nobody has", "3f 01 00", "Request of kind 63 is not known here"],
    ["with a field that nobody has", "03 01 02 3000", "Field 48 is not known here"],
    ["with fields out of order", "02 01 06 030161 010162", "Field 1 comes after field 3"],
    ["with a field twice", "03 01 06 010161 010162", "Field 1 is given twice"],
    ["with the field 0", "03 01 02 0000", "Field 0 comes after field 0"],
    ["with a flag that has content", "03 01 06 010161 030101", "Field 3 is a flag, and has content"],
    ["with a number that is too long", "06 01 04 01020001", "The number in field 1 is longer than it need be"],
    ["with a number beyond 2^53", "06 01 09 010720000000000000", "The number in field 1 is beyond 2^53"],
    ["with a number of eight bytes", "06 01 0a 01080000000000000001", "The number in field 1 is beyond 2^53"],
    ["with an id of two bytes", "11 01 04 01020001", "Field 1 is an id, expected 8 bytes"],
    ["with a code that nobody has", "01 01 06 010161 050109", "Field 5 is 9, expected 0 to 4"],
    ["with text that is no UTF-8", "16 01 04 0102c328", "Field 1 is text, and no UTF-8"],
    ["with a request id that is too long", "08 8000 00", "A number at byte 3 is longer than it need be"],
    ["with a request id beyond 2^53", "08 ffffffffffffffff7f 00", "beyond 2^53"],
    ["with an operation that nobody has", "05 01 03 020109", "Operation of kind 9 is not known here"],
  ])("%s", (_what, frame, sentence) => {
    expect(() => decodeClientMessages(hex(frame))).toThrow(WireError);
    expect(() => decodeClientMessages(hex(frame))).toThrow(sentence);
  });

  test("nested deeper than any store takes it", () => {
    const nested = (depth: number): Operation =>
      depth === 0
        ? { type: "txn", compares: [], success: [], failure: [] }
        : { type: "txn", compares: [], success: [nested(depth - 1)], failure: [] };
    const frame = (depth: number): Uint8Array =>
      encodeClientMessages([{ type: "request", id: 1, request: nested(depth), settings: {} }]);
    expect(decodeClientMessages(frame(TXN_DEPTH_MAX - 1))).toHaveLength(1);
    expect(() => decodeClientMessages(frame(TXN_DEPTH_MAX))).toThrow("Txns are nested deeper than 64");
  });

  test("that would unfold to more than a request may have", () => {
    const parts = Array.from({ length: 8193 }, () => ({ type: "touch" as const, key: new Uint8Array(0), ttlMs: 0 }));
    const txn = { type: "txn", compares: [], success: parts, failure: [] } as const;
    const frame = encodeClientMessages([{ type: "request", id: 1, request: txn, settings: {} }]);
    expect(() => decodeClientMessages(frame)).toThrow("more than 8192 operations and compares");
  });
});

describe("what a newer side may say", () => {
  test("a request with a field from 128 on is read without it", () => {
    expect(decodeClientMessages(hex("03 01 06 010161 800162"))).toEqual(decodeClientMessages(hex("03 01 03 010161")));
  });

  test("an answer is read without the fields and the kinds that are not known", () => {
    const known = decodeServerMessages(hex("83 01 06 010105 020101"));
    expect(known).toMatchObject([{ type: "answer", revision: 5, reply: { type: "delete", deleted: 1 } }]);
    expect(decodeServerMessages(hex("83 01 08 010105 020101 7000"))).toEqual(known);
    expect(decodeServerMessages(hex("f0 01 02 0100 83 01 06 010105 020101"))).toEqual(known);
  });

  test("an error with a code that is not known keeps what it says of the outcome", () => {
    const writer = new WireWriter().u8(0xff).varint(1);
    writer.sized((fields) => fields.text(1, "CONCORD_NEW").text(2, "new").flag(6, true));
    expect(decodeServerMessages(writer.finish())).toMatchObject([{ code: "CONCORD_OUTCOME_UNKNOWN", message: "new" }]);
  });
});

test("numbers that have no form on the wire are refused by the writer", () => {
  for (const value of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    expect(() => new WireWriter().present(1, value)).toThrow(WireError);
    expect(() => new WireWriter().varint(value)).toThrow(WireError);
  }
});

test("a long content moves behind its length, whatever the lengths before it were", () => {
  for (const size of [0, 127, 128, 16_383, 16_384, 70_000]) {
    const value = new Uint8Array(size).fill(7);
    const writer = new WireWriter(1).u8(9);
    writer.sized((inner) => inner.nested(1, (innermost) => innermost.presentBytes(2, value)));
    const reader = new WireReader(writer.finish(), { tolerant: false });
    expect(reader.u8()).toBe(9);
    const outer = reader.sized();
    expect(outer.next()).toBe(true);
    const inner = outer.nested();
    expect(inner.next()).toBe(true);
    expect(inner.bytes()).toEqual(value);
    expect(reader.done).toBe(true);
  }
});
