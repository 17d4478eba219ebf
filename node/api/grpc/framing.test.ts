import { describe, expect, test } from "vitest";
import { frameMessage, MessageReader } from "./framing.ts";

const BYTES_MAX = 100;
const HELLO = frameMessage(Buffer.from("hello"));
const EMPTY = frameMessage(Buffer.alloc(0));
const WORLD = frameMessage(Buffer.from("world"));

/** What a reader makes of the chunks: texts of messages, codes of refusals. */
function read(chunks: readonly Buffer[]): { readonly found: readonly (string | number)[]; readonly midway: boolean } {
  const reader = new MessageReader(BYTES_MAX);
  const found: (string | number)[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let result = reader.next(); result !== undefined; result = reader.next()) {
      if (result.type === "refused") return { found: [...found, result.status.code], midway: reader.midway };
      found.push((result.compressed ? "compressed " : "") + result.bytes.toString());
    }
  }
  return { found, midway: reader.midway };
}

describe("messages are put together", () => {
  test("whatever frames they come in", () => {
    const bytes = Buffer.concat([HELLO, EMPTY, WORLD]);
    for (let size = 1; size <= bytes.length; size += 1) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      expect(read(chunks), `chunks of ${size}`).toEqual({ found: ["hello", "", "world"], midway: false });
    }
  });

  test("frames without bytes mean nothing", () => {
    expect(read([Buffer.alloc(0), HELLO, Buffer.alloc(0)])).toEqual({ found: ["hello"], midway: false });
  });

  test.each([1, 4, 5, 9])("a message of which only %i bytes came has begun", (count) => {
    expect(read([WORLD, HELLO.subarray(0, count)])).toEqual({ found: ["world"], midway: true });
  });

  test("the flag tells that one is compressed", () => {
    const compressed = Buffer.from(HELLO);
    compressed[0] = 1;
    expect(read([compressed, WORLD]).found).toEqual(["compressed hello", "world"]);
  });

  test("a message has memory of its own, so that it keeps nothing else alive", () => {
    const chunk = Buffer.concat([HELLO, WORLD]);
    const reader = new MessageReader(BYTES_MAX);
    reader.push(chunk);
    const first = reader.next();
    chunk.fill(0);
    expect(first).toMatchObject({ bytes: Buffer.from("hello") });
  });
});

describe("what is refused", () => {
  test("a message over the limit, before its bytes come; one of the limit passes", () => {
    const largest = frameMessage(Buffer.alloc(BYTES_MAX, "x"));
    expect(read([largest]).found).toEqual(["x".repeat(BYTES_MAX)]);
    const larger = frameMessage(Buffer.alloc(BYTES_MAX + 1, "x"));
    expect(read([HELLO, larger.subarray(0, 5)]).found).toEqual(["hello", 8]);
  });

  test("a length of four gibibytes", () => {
    expect(read([Buffer.from([0, 0xff, 0xff, 0xff, 0xff])]).found).toEqual([8]);
  });

  test("a flag that means nothing", () => {
    expect(read([Buffer.from([2, 0, 0, 0, 0])]).found).toEqual([13]);
  });
});
