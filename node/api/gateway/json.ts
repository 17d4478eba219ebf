import { badRequest, printable } from "../http/exchange.ts";

/**
 * JSON as it was written: numbers keep their digits, which a double would lose beyond 2^53, and the names of an object
 * stay a list, so that one given twice is seen and none of them can be a name with a meaning of its own (`__proto__`).
 */
export type JsonValue = null | boolean | string | JsonNumber | JsonArray | JsonObject;

export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type JsonArray = readonly JsonValue[];

export class JsonObject {
  readonly members: readonly (readonly [name: string, value: JsonValue])[];

  constructor(members: readonly (readonly [name: string, value: JsonValue])[]) {
    this.members = members;
  }
}

/** Brackets in brackets. A txn nested as deep as the etcd door reads it, 32 levels, has three a level. */
export const JSON_NESTING_MAX = 128;

/** @throws ConcordError `CONCORD_INVALID_ARGUMENT` for a text that is not one JSON value. */
export function parseJson(text: string): JsonValue {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

/** How a value is shown in a refusal. */
export function shown(value: JsonValue): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return `"${printable(value)}"`;
  if (value instanceof JsonNumber) return printable(value.text);
  return value instanceof JsonObject ? "an object" : "an array";
}

const WHITE_SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
/** With the flag `u` a pair of them is one character, which this is not. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const LITERAL = /true|false|null/y;

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): JsonValue {
    this.#skipWhiteSpace();
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(deeper(depth));
      case "[":
        return this.#array(deeper(depth));
      case '"':
        return this.#string();
      default:
        return this.#scalar();
    }
  }

  /** Nothing but white space may be left. */
  end(): void {
    this.#skipWhiteSpace();
    if (this.#at < this.#text.length) throw this.#unexpected("the end");
  }

  #object(depth: number): JsonObject {
    const members: [string, JsonValue][] = [];
    this.#at += 1;
    if (this.#takes("}")) return new JsonObject(members);
    do {
      this.#skipWhiteSpace();
      if (this.#text[this.#at] !== '"') throw this.#unexpected("a name in quotes");
      const name = this.#string();
      if (!this.#takes(":")) throw this.#unexpected("a colon");
      members.push([name, this.value(depth)]);
    } while (this.#takes(","));
    if (!this.#takes("}")) throw this.#unexpected("a comma or }");
    return new JsonObject(members);
  }

  #array(depth: number): JsonArray {
    const items: JsonValue[] = [];
    this.#at += 1;
    if (this.#takes("]")) return items;
    do items.push(this.value(depth));
    while (this.#takes(","));
    if (!this.#takes("]")) throw this.#unexpected("a comma or ]");
    return items;
  }

  /** Strings are most of what comes, and long: their end is looked for, and what is inside is left to the engine. */
  #string(): string {
    const from = this.#at;
    let to = from;
    do {
      to = this.#text.indexOf('"', to + 1);
      if (to < 0) throw badRequest("The body is not valid JSON: a string does not end");
    } while (this.#isEscaped(to, from));
    this.#at = to + 1;
    const literal = this.#text.slice(from, this.#at);
    let text: string;
    try {
      text = JSON.parse(literal) as string;
    } catch {
      throw badRequest(
        `The body is not valid JSON: the string at ${from} has a character or escape that it must not have`,
      );
    }
    if (LONE_SURROGATE.test(text)) throw badRequest(`The body has half a surrogate pair in the string at ${from}`);
    return text;
  }

  #isEscaped(at: number, from: number): boolean {
    let backslashes = 0;
    while (at - backslashes - 1 > from && this.#text[at - backslashes - 1] === "\\") backslashes += 1;
    return backslashes % 2 === 1;
  }

  #scalar(): JsonValue {
    const number = this.#match(NUMBER);
    if (number !== undefined) return new JsonNumber(number);
    const literal = this.#match(LITERAL);
    if (literal === undefined) throw this.#unexpected("a value");
    return literal === "null" ? null : literal === "true";
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #takes(character: string): boolean {
    this.#skipWhiteSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #skipWhiteSpace(): void {
    this.#match(WHITE_SPACE);
  }

  #unexpected(expected: string): Error {
    const found = this.#text[this.#at];
    const what = found === undefined ? "it ends" : `"${printable(found)}" is`;
    return badRequest(`The body is not valid JSON: ${what} at ${this.#at} where ${expected} was expected`);
  }
}

function deeper(depth: number): number {
  if (depth < JSON_NESTING_MAX) return depth + 1;
  throw badRequest(`The body is nested too deep, at most ${JSON_NESTING_MAX} levels are allowed`);
}
