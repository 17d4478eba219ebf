import { describe, expect, test } from "vitest";
import { ConcordError } from "../../client/errors.ts";
import { decodeMessage } from "./decode.ts";
import { encodeMessage } from "./encode.ts";
import { JSON_NESTING_MAX, parseJson } from "./json.ts";
import { gatewayRoutes } from "./routes.ts";
import { messageSchema } from "./schema.ts";

const read = (message: string, json: string): unknown =>
  decodeMessage(messageSchema(`etcdserverpb.${message}`), parseJson(json));
const write = (message: string, value: object): string =>
  encodeMessage(messageSchema(`etcdserverpb.${message}`), value).toString();

function refusal(message: string, json: string): string {
  try {
    read(message, json);
  } catch (error) {
    if (ConcordError.is(error) && error.code === "CONCORD_INVALID_ARGUMENT") return error.message;
    throw error;
  }
  throw new Error(`${json} was read`);
}

describe("reading", () => {
  test("fields have their name in rpc.proto, or the same in camel case", () => {
    const expected = { key: Buffer.from("foo"), range_end: Buffer.from("fop"), keys_only: true };
    expect(read("RangeRequest", '{"key":"Zm9v","range_end":"Zm9w","keys_only":true}')).toEqual(expected);
    expect(read("RangeRequest", '{"key":"Zm9v","rangeEnd":"Zm9w","keysOnly":true}')).toEqual(expected);
    expect(read("LeaseGrantRequest", '{"TTL":5,"ttl":6}')).toEqual({ TTL: "5" });
  });

  test.each([
    ["5", "5"],
    ['"5"', "5"],
    ["9007199254740993", "9007199254740993"],
    ['"9223372036854775807"', "9223372036854775807"],
    ["-9223372036854775808", "-9223372036854775808"],
    ["1.0", "1"],
    ["1e3", "1000"],
    ["10e-1", "1"],
    ["1.5e1", "15"],
    ["-0", "0"],
    ["0e999", "0"],
  ])("the 64-bit number %s is exactly %s", (json, text) => {
    expect(read("LeaseGrantRequest", `{"ID":${json}}`)).toEqual({ ID: text });
  });

  test.each([
    '"9223372036854775808"',
    "-9223372036854775809",
    "1.5",
    "1e-1",
    "1e99999999999999999999",
    '""',
    '" 1"',
    '"01"',
    '"+1"',
    '"0x10"',
    '"NaN"',
    "true",
    "{}",
    "[1]",
    `1${"0".repeat(100_000)}1`,
  ])("%s is no 64-bit number", (json) => {
    expect(refusal("LeaseGrantRequest", `{"ID":${json}}`)).toMatch(/^ID is .*, expected a whole number of 64 bits$/);
  });

  test("uint64 has no sign", () => {
    expect(read("MemberRemoveRequest", '{"ID":"18446744073709551615"}')).toEqual({ ID: "18446744073709551615" });
    expect(refusal("MemberRemoveRequest", '{"ID":-1}')).toContain("not negative");
  });

  test.each([
    ["Zg==", "f"],
    ["Zg", "f"],
    ["Zm9v", "foo"],
    ["Zm\\n9v\\r\\n", "foo"],
    ["_-8=", "\xff\xef"],
    ["/+8", "\xff\xef"],
    ["", ""],
  ])("base64 %j", (text, bytes) => {
    expect(read("PutRequest", `{"key":"${text}"}`)).toEqual({ key: Buffer.from(bytes, "latin1") });
  });

  test.each(["Zg=", "Z", "Zm9v!", "_+8=", "====", "Zg==Zg==", "Zm 9v", "é"])("%j is no base64", (text) => {
    expect(refusal("PutRequest", `{"key":"${text}"}`)).toContain("expected bytes in base64");
  });

  test("enums by name or number; names that are not known are passed over, as etcd does", () => {
    const order = (json: string): unknown => read("RangeRequest", `{"sort_order":${json}}`);
    expect(order('"DESCEND"')).toEqual({ sort_order: 2 });
    expect(order("2")).toEqual({ sort_order: 2 });
    expect(order("77")).toEqual({ sort_order: 77 });
    expect(order('"descend"')).toEqual({});
    expect(refusal("RangeRequest", '{"sort_order":1.5}')).toMatch(/^sort_order is 1.5/);
    expect(refusal("RangeRequest", '{"sort_order":2147483648}')).toMatch(/^sort_order is/);
    expect(read("WatchCreateRequest", '{"filters":["NOPUT","NOTHING",1]}')).toEqual({ filters: [0, 1] });
    expect(read("AlarmRequest", '{"alarm":"NOSPACE","action":"ACTIVATE"}')).toEqual({ alarm: 1, action: 1 });
  });

  test("null is absent, unknown fields are passed over, and names of a prototype are unknown fields", () => {
    expect(read("RangeRequest", '{"key":null,"sort_order":null,"limit":null}')).toEqual({});
    expect(read("RangeRequest", '{"x":{"y":[1,{}]},"x":2}')).toEqual({});
    const message = read("RangeRequest", '{"__proto__":{"key":"Zm9v","polluted":1},"constructor":1,"toString":2}');
    expect(message).toEqual({});
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("a field given twice, under any of its names, is refused", () => {
    expect(refusal("RangeRequest", '{"key":"Zm9v","key":"Zm9w"}')).toBe("key is given twice");
    expect(refusal("RangeRequest", '{"rangeEnd":"Zm9w","range_end":null}')).toBe("range_end is given twice");
  });

  test("of a oneof there is one, and an empty one counts", () => {
    const two = '{"success":[{"request_put":{"key":"Zm9v"},"requestRange":{}}]}';
    expect(refusal("TxnRequest", two)).toBe(
      "success[0].requestRange is given together with request_put, of which only one may be",
    );
    expect(read("RequestOp", '{"request_put":null,"request_range":{}}')).toEqual({ request_range: {} });
    expect(read("Compare", '{"target":"VALUE","value":""}')).toEqual({ target: 3, value: Buffer.alloc(0) });
  });

  test("the form of Go's structs, with an object around the chosen field", () => {
    const txn = `{"compare":[{"target":1,"key":"Zm9v","TargetUnion":{"create_revision":3}}],
      "success":[{"Request":{"request_put":{"key":"Zm9v"}}}]}`;
    expect(read("TxnRequest", txn)).toEqual({
      compare: [{ target: 1, key: Buffer.from("foo"), create_revision: "3" }],
      success: [{ request_put: { key: Buffer.from("foo") } }],
    });
    expect(read("WatchRequest", '{"RequestUnion":{"cancel_request":{"watch_id":1}}}')).toEqual({
      cancel_request: { watch_id: "1" },
    });
    expect(read("RequestOp", '{"Request":null}')).toEqual({});
    expect(refusal("RequestOp", '{"request_put":{},"Request":{"request_range":{}}}')).toContain("only one");
  });

  test.each([
    ["null", "The body is null, expected an object"],
    ["[]", "The body is an array, expected an object"],
    ['{"success":{}}', "success is an object, expected an array"],
    ['{"success":[null]}', "success[0] is null, expected an object"],
    [
      '{"success":[{"request_put":{"prev_kv":"true"}}]}',
      'success[0].request_put.prev_kv is "true", expected true or false',
    ],
    ['{"compare":[{"key":1}]}', "compare[0].key is 1, expected bytes in base64"],
  ])("%s: the sentence names the field", (json, sentence) => {
    expect(refusal("TxnRequest", json)).toBe(sentence);
  });

  test.each([
    "{",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{a:1}",
    "[1,]",
    "01",
    "1.",
    "+1",
    "tru",
    '"',
    '"\\"',
    '"\n"',
    '"\\x"',
    "{}{}",
    "",
    "NaN",
  ])("%j is no JSON", (json) => {
    expect(refusal("TxnRequest", json)).toMatch(/^The body is not valid JSON/);
  });

  test("half a surrogate pair is refused, a whole one is not", () => {
    expect(refusal("DowngradeRequest", '{"version":"\\ud800"}')).toContain("surrogate");
    expect(read("DowngradeRequest", '{"version":"\\ud83d\\ude00"}')).toEqual({ version: "😀" });
  });

  test("nesting has a limit", () => {
    const nested = (levels: number): string => `{"x":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
    expect(read("TxnRequest", nested(JSON_NESTING_MAX))).toEqual({});
    expect(refusal("TxnRequest", nested(JSON_NESTING_MAX + 1))).toContain("nested too deep");
    expect(refusal("TxnRequest", `{"x":${"[".repeat(1_000_000)}`)).toContain("nested too deep");
  });
});

describe("writing", () => {
  test("64-bit numbers are texts, bytes base64, enums names, and zeros are left out", () => {
    const header = { cluster_id: "18446744073709551615", member_id: "0", revision: 7, raft_term: 0 };
    const row = {
      key: Buffer.from("k"),
      create_revision: 0,
      mod_revision: 7,
      version: 0,
      value: Buffer.alloc(0),
      lease: "0",
    };
    expect(
      write("WatchResponse", {
        header,
        watch_id: "0",
        created: false,
        events: [
          { type: 0, kv: row },
          { type: 1, kv: row },
        ],
      }),
    ).toBe(
      '{"header":{"cluster_id":"18446744073709551615","revision":"7"},"events":[' +
        '{"kv":{"key":"aw==","mod_revision":"7"}},{"type":"DELETE","kv":{"key":"aw==","mod_revision":"7"}}]}',
    );
    expect(write("HashKVResponse", { hash: 4_294_967_295, compact_revision: -1 })).toBe(
      '{"hash":4294967295,"compact_revision":"-1"}',
    );
    expect(write("AlarmResponse", { alarms: [{ memberID: "1", alarm: "NOSPACE" }, { alarm: 9 }] })).toBe(
      '{"alarms":[{"memberID":"1","alarm":"NOSPACE"},{"alarm":9}]}',
    );
  });

  test("an empty message that is there is written; texts are escaped", () => {
    expect(write("TxnResponse", { header: {}, responses: [{ response_put: {} }, {}] })).toBe(
      '{"header":{},"responses":[{"response_put":{}},{}]}',
    );
    expect(write("WatchResponse", { cancel_reason: 'a"\n\u2028' })).toBe('{"cancel_reason":"a\\"\\n\u2028"}');
  });

  test("bytes in the middle of a buffer, and answers longer than one piece", () => {
    const value = Buffer.from("xxvalue").subarray(2);
    const kvs = Array.from({ length: 5000 }, () => ({ key: new Uint8Array([1, 2, 3]), value }));
    const parsed = JSON.parse(write("RangeResponse", { kvs, count: 5000 })) as { kvs: object[]; count: string };
    expect(parsed.count).toBe("5000");
    expect(parsed.kvs).toEqual(kvs.map(() => ({ key: "AQID", value: "dmFsdWU=" })));
  });
});

test("what was read is what gRPC would have sent, for every method", () => {
  const routes = gatewayRoutes();
  expect(routes.size).toBe(35);
  for (const { request, serialize } of routes.values()) {
    expect(serialize(decodeMessage(request, parseJson("{}")))).toHaveLength(0);
  }
  const { request, serialize } = routes.get("/v3/lease/grant")!;
  const bytes = serialize(decodeMessage(request, parseJson('{"ID":"-1","TTL":"300"}')));
  expect(bytes.toString("hex")).toBe("08ac0210ffffffffffffffffff01");
});
