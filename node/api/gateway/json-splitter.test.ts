import { expect, test } from "vitest";
import { JsonSplitter } from "./json-splitter.ts";

function split(text: string, chunkBytes: number, bytesMax = 1000): string[] {
  const splitter = new JsonSplitter(bytesMax);
  const bytes = Buffer.from(text);
  const found: string[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes)
    found.push(...splitter.push(bytes.subarray(at, at + chunkBytes)));
  expect(splitter.midway).toBe(false);
  return found;
}

test.each([1, 2, 3, 7, 1000])("objects are found whatever the chunks (%d bytes)", (chunkBytes) => {
  const objects = ["{}", '{"a":"}{"}', '{"b":"\\"}\\\\"}', '{"é":[{"x":[]}]}'];
  expect(split(objects.join(""), chunkBytes)).toEqual(objects);
  expect(split(` \n${objects.join("\r\n\t ")}\n`, chunkBytes)).toEqual(objects);
});

test("an object that has not ended is kept", () => {
  const splitter = new JsonSplitter(1000);
  expect([...splitter.push(Buffer.from('{"a":'))]).toEqual([]);
  expect(splitter.midway).toBe(true);
  expect([...splitter.push(Buffer.from("1} "))]).toEqual(['{"a":1}']);
  expect(splitter.midway).toBe(false);
});

test.each(["x", "[]", "}", ",", '"{"', "null"])("%s is no object", (text) => {
  expect(() => split(`{} ${text}`, 100)).toThrow("JSON objects");
});

test("an object may be as large as the limit, and bytes must be UTF-8", () => {
  expect(split('{"a":1}{"b":2}', 3, 7)).toHaveLength(2);
  expect(() => split('{"a":10}', 3, 7)).toThrow("request is too large");
  const splitter = new JsonSplitter(1000);
  expect(() => [...splitter.push(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]))]).toThrow("UTF-8");
});
