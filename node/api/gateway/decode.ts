import { badRequest } from "../http/exchange.ts";
import { JsonNumber, JsonObject, shown, type JsonValue } from "./json.ts";
import { type Field, type FieldType, type MessageSchema } from "./schema.ts";

/** A message as proto-loader serialises it: only the fields that were given. */
type Message = Record<string, unknown>;

/**
 * A message from its JSON form, as etcd 3.7 reads it: fields by their name in rpc.proto or in camel case, 64-bit numbers
 * as numbers or texts, bytes as base64 of either alphabet, enums by name or number. Null is as good as absent, and fields
 * and enum names that are not known are passed over.
 *
 * @throws ConcordError `CONCORD_INVALID_ARGUMENT` that names the field.
 */
export function decodeMessage(schema: MessageSchema, value: JsonValue, path = ""): Message {
  if (!(value instanceof JsonObject)) throw refused(path === "" ? "The body" : path, "an object", value);
  const message: Message = {};
  const given = new Set<Field>();
  readMembers(schema, value, path, { message, given });
  return message;
}

interface Reading {
  readonly message: Message;
  readonly given: Set<Field>;
}

function readMembers(schema: MessageSchema, object: JsonObject, path: string, reading: Reading): void {
  const { message, given } = reading;
  for (const [name, value] of object.members) {
    const at = path === "" ? name : `${path}.${name}`;
    const field = schema.byName.get(name);
    if (field === undefined) {
      if (name === schema.wrapper && value instanceof JsonObject) readMembers(schema, value, at, reading);
      continue;
    }
    if (given.has(field)) throw badRequest(`${at} is given twice`);
    given.add(field);
    if (value === null) continue;
    if (field.inOneof) refuseSecond(schema, message, at);
    const read = field.repeated ? readItems(field.type, value, at) : readValue(field.type, value, at);
    if (read !== undefined) message[field.name] = read;
  }
}

/** Of a oneof only one field may be set. */
function refuseSecond(schema: MessageSchema, message: Message, at: string): void {
  const first = schema.fields.find(({ inOneof, name }) => inOneof && Object.hasOwn(message, name));
  if (first !== undefined) throw badRequest(`${at} is given together with ${first.name}, of which only one may be`);
}

function readItems(type: FieldType, value: JsonValue, path: string): unknown[] {
  if (!Array.isArray(value)) throw refused(path, "an array", value);
  return (value as readonly JsonValue[])
    .map((item, index) => readValue(type, item, `${path}[${index}]`))
    .filter((item) => item !== undefined);
}

/** @returns Undefined for the name of an enum that is not known. */
function readValue(type: FieldType, value: JsonValue, path: string): unknown {
  switch (type.kind) {
    case "message":
      return decodeMessage(type.schema(), value, path);
    case "bytes":
      return readBytes(value, path);
    case "string":
      if (typeof value === "string") return value;
      throw refused(path, "a string", value);
    case "bool":
      if (typeof value === "boolean") return value;
      throw refused(path, "true or false", value);
    case "enum":
      if (typeof value === "string") return type.numbers.get(value);
      return Number(readInteger(INT32, value, path));
    case "int64":
    case "uint64":
    case "uint32":
      return readInteger(RANGES[type.kind], value, path);
  }
}

interface Range {
  readonly from: bigint;
  readonly to: bigint;
  readonly name: string;
}

const INT32: Range = { from: -(2n ** 31n), to: 2n ** 31n - 1n, name: "the name of a choice, or its number" };
const RANGES: Readonly<Record<"int64" | "uint64" | "uint32", Range>> = {
  int64: { from: -(2n ** 63n), to: 2n ** 63n - 1n, name: "a whole number of 64 bits" },
  uint64: { from: 0n, to: 2n ** 64n - 1n, name: "a whole number of 64 bits that is not negative" },
  uint32: { from: 0n, to: 2n ** 32n - 1n, name: "a whole number of 32 bits that is not negative" },
};

const DECIMAL = /^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;
/** 2^64 has as many. */
const DIGITS_MAX = 20;
/** More than any number of 64 bits takes, with a fraction and an exponent; what looks for zeros at the end must not go far. */
const NUMBER_LENGTH_MAX = 64;

/** Exactly the number that was written, in decimal. */
function readInteger(range: Range, value: JsonValue, path: string): string {
  const integer = integerOf(value instanceof JsonNumber ? value.text : typeof value === "string" ? value : "");
  if (integer === undefined || integer < range.from || integer > range.to) throw refused(path, range.name, value);
  return integer.toString();
}

/** A number may have a fraction or an exponent and still be whole: 1.0, 10e-1, 1e3. */
function integerOf(text: string): bigint | undefined {
  if (text.length > NUMBER_LENGTH_MAX) return undefined;
  const [, sign = "", whole, fraction = "", exponent = "0"] = DECIMAL.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const all = (whole + fraction).replace(/^0+/, "");
  const digits = all.replace(/0+$/, "");
  if (digits === "") return 0n;
  const zeros = Number(exponent) - fraction.length + (all.length - digits.length);
  if (zeros < 0 || digits.length + zeros > DIGITS_MAX) return undefined;
  return BigInt(`${sign}${digits}${"0".repeat(zeros)}`);
}

const STANDARD = /^[A-Za-z0-9+/]*={0,2}$/;
const URL_SAFE = /^[A-Za-z0-9_-]*={0,2}$/;

/** Padded or not; line breaks inside do not count, as some encoders make them. */
function readBytes(value: JsonValue, path: string): Buffer {
  if (typeof value !== "string") throw refused(path, "bytes in base64", value);
  const text = /[\r\n]/.test(value) ? value.replace(/[\r\n]/g, "") : value;
  const padded = text.endsWith("=");
  const rightLength = padded ? text.length % 4 === 0 : text.length % 4 !== 1;
  if (!rightLength || !(STANDARD.test(text) || URL_SAFE.test(text))) throw refused(path, "bytes in base64", value);
  return Buffer.from(text, "base64");
}

function refused(path: string, expected: string, value: JsonValue): Error {
  return badRequest(`${path} is ${shown(value)}, expected ${expected}`);
}
