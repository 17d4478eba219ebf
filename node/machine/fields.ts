const TWO_32 = 0x1_0000_0000;
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { fatal: true });

/** Writes little-endian fields into one growing buffer: what pages, messages and log records are made of. */
export class FieldWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#view.setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view.setUint32(at, value, true);
    return this;
  }

  /** A whole number from −1 to 2^53 − 1, in 8 bytes; −1 is all ones. */
  u53(value: number): this {
    const at = this.#grow(8);
    const high = Math.floor(value / TWO_32);
    this.#view.setUint32(at, value - high * TWO_32, true);
    this.#view.setInt32(at + 4, high, true);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }

  i64(value: bigint): this {
    const at = this.#grow(8);
    this.#view.setBigInt64(at, value, true);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** Length in 4 bytes, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  string(value: string): this {
    return this.bytes(textEncoder.encode(value));
  }

  /** Room for `length` bytes, to be filled by the caller at once. */
  reserve(length: number): { readonly bytes: Uint8Array; readonly offset: number } {
    const offset = this.#grow(length);
    return { bytes: this.#bytes, offset };
  }

  /** Overwrites 4 bytes written before, for counts, lengths and checksums that are known last. */
  patchU32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  /** The bytes so far, without a copy: valid until the next write or `reset`. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The bytes so far, copied. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  reset(): this {
    this.#length = 0;
    return this;
  }

  /** Makes room behind what is written; buffer and view may be others afterwards. @returns where it begins */
  #grow(more: number): number {
    const at = this.#length;
    const needed = at + more;
    this.#length = needed;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

/**
 * Reads what a FieldWriter wrote. Every read is checked against the end, and lengths before anything is made of them;
 * what does not fit goes to `fail`, which throws the error of the format.
 */
export abstract class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** `reason` begins in lower case and has no full stop. */
  abstract fail(reason: string): never;

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** A whole number from `min` (0 or −1) to 2^53 − 1. */
  u53(min: 0 | -1 = 0): number {
    const at = this.#take(8);
    const value = this.#view.getInt32(at + 4, true) * TWO_32 + this.#view.getUint32(at, true);
    if (value < min || value > Number.MAX_SAFE_INTEGER)
      this.fail(`number at byte ${at} is out of range, wanted ${min} to 2^53 - 1`);
    return value;
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  /** A view, not a copy. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** Length in 4 bytes, then the bytes: a view, not a copy. `max` guards against lengths that lie. */
  bytes(max = Number.MAX_SAFE_INTEGER): Uint8Array {
    const length = this.u32();
    if (length > max) this.fail(`field of ${length} bytes, at most ${max} are allowed`);
    return this.raw(length);
  }

  string(max?: number): string {
    const bytes = this.bytes(max);
    try {
      return textDecoder.decode(bytes);
    } catch {
      return this.fail("text is not valid UTF-8");
    }
  }

  /** Nothing may be left. */
  end(): void {
    if (this.remaining !== 0) this.fail(`${this.remaining} bytes behind the end`);
  }

  #take(length: number): number {
    const at = this.#offset;
    if (at + length > this.#bytes.length)
      this.fail(`ends at byte ${this.#bytes.length}, wanted ${length} bytes at ${at}`);
    this.#offset = at + length;
    return at;
  }
}
