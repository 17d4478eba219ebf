import { isUtf8 } from "node:buffer";
import { ConcordError } from "../../client/errors.ts";
import { badRequest } from "../http/exchange.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING: ReadonlySet<number> = new Set([0x7b, 0x5b]);
const CLOSING: ReadonlySet<number> = new Set([0x7d, 0x5d]);
const WHITE_SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * Cuts a stream of bytes into the JSON objects in it, which follow each other with or without white space between them.
 * Whether each is valid is for the parser to say: this only finds where it ends.
 */
export class JsonSplitter {
  readonly #bytesMax: number;
  /** Of the object that has begun. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** @param bytesMax - of one object */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether an object has begun and not ended. */
  get midway(): boolean {
    return this.#depth > 0;
  }

  /**
   * @returns The objects that end in this chunk.
   * @throws ConcordError when something else than an object begins, or one is too large.
   */
  *push(chunk: Buffer): Generator<string> {
    let from = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (this.#depth === 0) {
        if (WHITE_SPACE.has(byte)) continue;
        if (byte !== 0x7b) throw badRequest("The body is not as expected: JSON objects, one behind the other");
        from = at;
      }
      this.#step(byte);
      if (this.#depth > 0) continue;
      this.#keep(chunk.subarray(from, at + 1));
      yield this.#take();
    }
    if (this.#depth > 0) this.#keep(chunk.subarray(from));
  }

  #step(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (this.#inString) {
      if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
    } else if (byte === QUOTE) this.#inString = true;
    else if (OPENING.has(byte)) this.#depth += 1;
    else if (CLOSING.has(byte)) this.#depth -= 1;
  }

  #keep(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#bytesMax) throw new ConcordError("CONCORD_REQUEST_TOO_LARGE");
    this.#pieces.push(piece);
  }

  #take(): string {
    const bytes = Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [];
    this.#bytes = 0;
    return utf8Text(bytes);
  }
}

/** @throws ConcordError `CONCORD_INVALID_ARGUMENT` for bytes that are no UTF-8. */
export function utf8Text(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw badRequest("The body is not valid UTF-8");
  return bytes.toString("utf8");
}
