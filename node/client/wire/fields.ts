/**
 * The smallest parts of a session's frames, as node/api/ws/PROTOCOL.md describes them: numbers, and fields that carry
 * their own length, so that a reader steps over what it does not know.
 */

/** Bytes that do not mean what their format says. The bytes are at fault, never the caller. */
export class WireError extends Error {
  /** The bytes may be right for a newer reader: it knows a field, or a kind of request, that this one does not. */
  readonly unknown: boolean;

  constructor(message: string, options: { readonly unknown?: boolean } = {}) {
    super(message);
    this.name = "WireError";
    this.unknown = options.unknown ?? false;
  }
}

/** Below it a field changes what a request means, from it on it may be left out of account. */
export const IGNORABLE_TAG = 128;

const VARINT_BYTES_MAX = 8;
const NUMBER_BYTES_MAX = 7;
const ID_BYTES = 8;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Writes records and fields into one growing piece of memory. */
export class WireWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
    return this;
  }

  /** Seven bits a byte, the lowest first; the top bit says that another byte follows. */
  varint(value: number): this {
    this.#reserve(VARINT_BYTES_MAX);
    let rest = checkNumber(value);
    while (rest >= 0x80) {
      this.#bytes[this.#length] = (rest % 0x80) | 0x80;
      this.#length += 1;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length] = rest;
    this.#length += 1;
    return this;
  }

  /** A number that is there, 0 too. */
  present(tag: number, value: number): this {
    let size = 0;
    for (let rest = checkNumber(value); rest > 0; rest = Math.floor(rest / 0x100)) size += 1;
    this.#head(tag, size);
    let rest = value;
    for (let at = this.#length + size - 1; at >= this.#length; at -= 1) {
      this.#bytes[at] = rest % 0x100;
      rest = Math.floor(rest / 0x100);
    }
    this.#length += size;
    return this;
  }

  /** A number whose 0 is the same as none. */
  number(tag: number, value: number): this {
    return value === 0 ? this : this.present(tag, value);
  }

  optional(tag: number, value: number | undefined): this {
    return value === undefined ? this : this.present(tag, value);
  }

  flag(tag: number, value: boolean): this {
    return value ? this.#head(tag, 0) : this;
  }

  /** A place in `codes`; the first one is the same as none. */
  code<T>(tag: number, value: T, codes: readonly T[]): this {
    const code = codes.indexOf(value);
    if (code < 0) throw new WireError(`${String(value)} is none of ${codes.join(", ")}`);
    return this.number(tag, code);
  }

  /** 64 bits; 0 is the same as none. */
  id(tag: number, value: bigint): this {
    if (value === 0n) return this;
    this.#head(tag, ID_BYTES);
    this.#view.setBigInt64(this.#length, value);
    this.#length += ID_BYTES;
    return this;
  }

  /** Bytes that are there, none of them too. */
  presentBytes(tag: number, value: Uint8Array): this {
    this.#head(tag, value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** Bytes of which none are the same as no field. */
  bytes(tag: number, value: Uint8Array): this {
    return value.length === 0 ? this : this.presentBytes(tag, value);
  }

  text(tag: number, value: string): this {
    return this.bytes(tag, encoder.encode(value));
  }

  /** Text that is there, an empty one too. */
  optionalText(tag: number, value: string | undefined): this {
    return value === undefined ? this : this.presentBytes(tag, encoder.encode(value));
  }

  /** A field whose content `write` writes. */
  nested(tag: number, write: (writer: WireWriter) => void): this {
    return this.u8(tag).sized(write);
  }

  /** What `write` writes, with its length before it. */
  sized(write: (writer: WireWriter) => void): this {
    this.#reserve(1);
    const at = this.#length;
    this.#length += 1;
    write(this);
    const size = this.#length - at - 1;
    let extra = 0;
    for (let rest = size; rest >= 0x80; rest = Math.floor(rest / 0x80)) extra += 1;
    // One byte was left for the length. What needs more moves what was written aside; nearly everything is short.
    this.#reserve(extra + VARINT_BYTES_MAX);
    if (extra > 0) this.#bytes.copyWithin(at + 1 + extra, at + 1, this.#length);
    this.#length = at;
    this.varint(size);
    this.#length += size;
    return this;
  }

  /** Adds what another writer wrote. */
  append(other: WireWriter): this {
    this.#reserve(other.#length);
    this.#bytes.set(other.#bytes.subarray(0, other.#length), this.#length);
    this.#length += other.#length;
    return this;
  }

  /** Everything that was written. The writer is not used again. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #head(tag: number, size: number): this {
    this.u8(tag).varint(size).#reserve(size);
    return this;
  }

  #reserve(size: number): void {
    const needed = this.#length + size;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/**
 * Reads what a WireWriter wrote; whatever does not fit is a WireError. Tags ascend, and a tag comes twice only where it
 * is a list: so every content has one form, and a field cannot be given two meanings.
 */
export class WireReader {
  readonly #bytes: Uint8Array;
  /** Skips fields that it does not know, whatever their tags: whoever reads answers has nothing to refuse. */
  readonly #tolerant: boolean;
  readonly #end: number;
  #offset: number;
  #fieldEnd: number;
  #tag = 0;
  #again = false;

  constructor(bytes: Uint8Array, options: { readonly tolerant: boolean }, offset = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#tolerant = options.tolerant;
    this.#offset = offset;
    this.#fieldEnd = offset;
    this.#end = end;
  }

  get done(): boolean {
    return this.#offset >= this.#end;
  }

  get tag(): number {
    return this.#tag;
  }

  u8(): number {
    if (this.#offset >= this.#end) throw this.#short();
    const value = this.#bytes[this.#offset] as number;
    this.#offset += 1;
    this.#fieldEnd = this.#offset;
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let read = 0; read < VARINT_BYTES_MAX; read += 1) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && read > 0) throw new WireError(`A number at byte ${this.#offset} is longer than it need be`);
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new WireError(`A number at byte ${this.#offset} is beyond 2^53`);
  }

  /** The next part with its length before it, as a reader of its own. */
  sized(): WireReader {
    const size = this.varint();
    if (size > this.#end - this.#offset) throw this.#short();
    const start = this.#offset;
    this.#offset += size;
    this.#fieldEnd = this.#offset;
    return new WireReader(this.#bytes, { tolerant: this.#tolerant }, start, this.#offset);
  }

  /** Goes to the next field; false behind the last one. A field whose content was not read is passed over. */
  next(): boolean {
    this.#offset = this.#fieldEnd;
    if (this.done) return false;
    const tag = this.u8();
    if (tag < this.#tag || tag === 0) throw new WireError(`Field ${tag} comes after field ${this.#tag}`);
    this.#again = tag === this.#tag;
    this.#tag = tag;
    const size = this.varint();
    if (size > this.#end - this.#offset) throw this.#short();
    this.#fieldEnd = this.#offset + size;
    return true;
  }

  /** For a field that this reader does not know. */
  unknown(): void {
    if (this.#tolerant || this.#tag >= IGNORABLE_TAG) return;
    throw new WireError(`Field ${this.#tag} is not known here`, { unknown: true });
  }

  number(): number {
    this.#once();
    return this.eachNumber();
  }

  eachNumber(): number {
    const size = this.#fieldEnd - this.#offset;
    if (size > NUMBER_BYTES_MAX) throw new WireError(`The number in field ${this.#tag} is beyond 2^53`);
    if (size > 0 && this.#bytes[this.#offset] === 0)
      throw new WireError(`The number in field ${this.#tag} is longer than it need be`);
    let value = 0;
    for (let at = this.#offset; at < this.#fieldEnd; at += 1) value = value * 0x100 + (this.#bytes[at] as number);
    if (value > Number.MAX_SAFE_INTEGER) throw new WireError(`The number in field ${this.#tag} is beyond 2^53`);
    return value;
  }

  flag(): true {
    this.#once();
    if (this.#fieldEnd > this.#offset) throw new WireError(`Field ${this.#tag} is a flag, and has content`);
    return true;
  }

  code<T>(codes: readonly T[]): T {
    const code = this.number();
    const value = codes[code];
    if (value === undefined)
      throw new WireError(`Field ${this.#tag} is ${code}, expected 0 to ${codes.length - 1}`, { unknown: true });
    return value;
  }

  id(): bigint {
    this.#once();
    return this.eachId();
  }

  eachId(): bigint {
    if (this.#fieldEnd - this.#offset !== ID_BYTES)
      throw new WireError(`Field ${this.#tag} is an id, expected 8 bytes`);
    let value = 0n;
    for (let at = this.#offset; at < this.#fieldEnd; at += 1) value = (value << 8n) | BigInt(this.#bytes[at] as number);
    return BigInt.asIntN(64, value);
  }

  /** A view of the frame, which it keeps in memory: copy what stays for long. */
  bytes(): Uint8Array {
    this.#once();
    return this.eachBytes();
  }

  eachBytes(): Uint8Array {
    return this.#bytes.subarray(this.#offset, this.#fieldEnd);
  }

  text(): string {
    try {
      return decoder.decode(this.bytes());
    } catch (error) {
      if (error instanceof WireError) throw error;
      throw new WireError(`Field ${this.#tag} is text, and no UTF-8`);
    }
  }

  /** The content of this field, as a reader of its own. */
  nested(): WireReader {
    this.#once();
    return this.each();
  }

  each(): WireReader {
    return new WireReader(this.#bytes, { tolerant: this.#tolerant }, this.#offset, this.#fieldEnd);
  }

  #once(): void {
    if (this.#again) throw new WireError(`Field ${this.#tag} is given twice`);
  }

  #short(): WireError {
    return new WireError(`The frame ends within field ${this.#tag} or its length`);
  }
}

function checkNumber(value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new WireError(`${value} is not a whole number from 0 to 2^53 - 1`);
}
