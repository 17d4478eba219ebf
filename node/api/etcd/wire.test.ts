import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { frameMessage, PREFIX_BYTES } from "../grpc/framing.ts";
import { loadEtcdServices } from "./definition.ts";
import { codecOf } from "./wire.ts";

const generic = loadEtcdServices().KV;

function method(name: string) {
  const found = generic[name];
  if (found === undefined) throw new Error(`KV has no ${name}`);
  return found;
}

const bytes = fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each));
const int64 = fc.oneof(fc.constant(0n), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map(String);
const revision = fc.oneof(fc.nat({ max: 300 }), fc.maxSafeNat());

const requests = {
  Put: fc.record(
    {
      key: bytes,
      value: bytes,
      lease: int64,
      prev_kv: fc.boolean(),
      ignore_value: fc.boolean(),
      ignore_lease: fc.boolean(),
    },
    { requiredKeys: [] },
  ),
  Range: fc.record(
    {
      key: bytes,
      range_end: bytes,
      limit: int64,
      revision: int64,
      sort_order: fc.constantFrom("NONE", "ASCEND", "DESCEND"),
      sort_target: fc.constantFrom("KEY", "VERSION", "CREATE", "MOD", "VALUE"),
      serializable: fc.boolean(),
      keys_only: fc.boolean(),
      count_only: fc.boolean(),
      min_mod_revision: int64,
      max_create_revision: int64,
    },
    { requiredKeys: [] },
  ),
};

const header = fc.record({
  cluster_id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  member_id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  revision,
  raft_term: revision,
});
const keyValue = fc.record({
  key: bytes,
  create_revision: revision,
  mod_revision: revision,
  version: revision,
  value: bytes,
  lease: fc.oneof(fc.constant(0), int64),
});
const responses = {
  Put: fc.record({ header, prev_kv: keyValue }, { requiredKeys: ["header"] }),
  Range: fc.record({ header, kvs: fc.array(keyValue, { maxLength: 5 }), more: fc.boolean(), count: revision }),
};

describe.each(["Put", "Range"] as const)("%s", (name) => {
  const theirs = method(name);
  const ours = codecOf(theirs);

  /** What a decoder makes of the bytes, plain enough to compare. */
  const outcome = (decode: (bytes: Buffer) => unknown, input: Buffer): unknown => {
    try {
      return JSON.parse(JSON.stringify(decode(input)));
    } catch {
      return "refused";
    }
  };

  test("requests mean what the generic codec reads in them", () => {
    const sample: fc.Arbitrary<object> = requests[name];
    fc.assert(
      fc.property(sample, (request) => {
        const encoded = theirs.requestSerialize(request);
        expect(outcome(ours.decode, encoded)).toEqual(outcome(theirs.requestDeserialize, encoded));
      }),
    );
  });

  test("so do damaged, repeated and foreign ones", () => {
    const sample: fc.Arbitrary<object> = requests[name];
    const damage = fc.tuple(sample, fc.nat(), fc.uint8Array({ maxLength: 12 }), fc.boolean());
    fc.assert(
      fc.property(damage, ([request, place, inserted, cut]) => {
        const encoded = theirs.requestSerialize(request);
        const at = place % (encoded.length + 1);
        const damaged = Buffer.concat([
          encoded.subarray(0, at),
          inserted,
          cut ? Buffer.alloc(0) : encoded.subarray(at),
        ]);
        expect(outcome(ours.decode, damaged)).toEqual(outcome(theirs.requestDeserialize, damaged));
      }),
      { numRuns: 500 },
    );
  });

  test("a boolean in an over-long form is judged alike", () => {
    const overlong = Buffer.from([0x20, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]);
    expect(outcome(ours.decode, overlong)).toEqual(outcome(theirs.requestDeserialize, overlong));
  });

  test("responses are read by the generic codec as they were meant", () => {
    const sample: fc.Arbitrary<object> = responses[name];
    fc.assert(
      fc.property(sample, (response) => {
        const read = (frame: Buffer): unknown => theirs.responseDeserialize(frame.subarray(PREFIX_BYTES));
        const frame = ours.frame(response);
        expect(frame.readUInt32BE(1)).toBe(frame.length - PREFIX_BYTES);
        expect(read(frame)).toEqual(read(frameMessage(theirs.responseSerialize(response))));
      }),
    );
  });
});
