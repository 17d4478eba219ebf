import { type Bytes } from "./commands.ts";
import { EMPTY } from "./key-range.ts";

/** Longest content type of a value, characters. Its length takes one byte in tables and pages. */
export const CONTENT_TYPE_MAX = 255;

/** Whether a text is printable ASCII within the limit. What it means is the clients' affair. */
export function isContentType(text: string): boolean {
  return text.length <= CONTENT_TYPE_MAX && PRINTABLE.test(text);
}

/** Empty for none. */
export function contentTypeBytes(text: string | undefined): Bytes {
  return text === undefined ? EMPTY : Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export function contentTypeText(bytes: Bytes): string {
  return String.fromCharCode(...bytes);
}

const PRINTABLE = /^[\x20-\x7e]+$/;
