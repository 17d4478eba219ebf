/** Bytes that do not mean what their format says. The bytes are at fault, never the caller. */
export class CodecError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CodecError";
  }
}

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { fatal: true });
const TWO_32 = 0x1_0000_0000;

/** Writes little-endian fields into one growing buffer. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#grow(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
    return this;
  }

  u16(value: number): this {
    this.#grow(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#grow(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  /** A whole number from 0 to 2^53 − 1, in 8 bytes. */
  u53(value: number): this {
    this.#grow(8);
    this.#view.setUint32(this.#length, value % TWO_32, true);
    this.#view.setUint32(this.#length + 4, Math.floor(value / TWO_32), true);
    this.#length += 8;
    return this;
  }

  u64(value: bigint): this {
    this.#grow(8);
    this.#view.setBigUint64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  i64(value: bigint): this {
    return this.u64(BigInt.asUintN(64, value));
  }

  /** An id of 16 hex digits, or empty, in 8 bytes. */
  id(value: string): this {
    return this.u64(value === "" ? 0n : BigInt(`0x${value}`));
  }

  raw(bytes: Uint8Array): this {
    this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** Length in 4 bytes, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  string(value: string): this {
    return this.bytes(textEncoder.encode(value));
  }

  /** Overwrites 4 bytes written before, for lengths and checksums that are known last. */
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

  #grow(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Reads what a ByteWriter wrote. Every read is checked against the end; lengths are checked before anything is made of them. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

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

  u53(): number {
    const at = this.#take(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high > 0x1f_ffff) throw new CodecError(`Number at byte ${at} is beyond 2^53`);
    return high * TWO_32 + this.#view.getUint32(at, true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  i64(): bigint {
    return BigInt.asIntN(64, this.u64());
  }

  id(): string {
    const value = this.u64();
    return value === 0n ? "" : value.toString(16).padStart(16, "0");
  }

  /** A view, not a copy. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A view, not a copy. `max` guards against lengths that lie. */
  bytes(max = Number.MAX_SAFE_INTEGER): Uint8Array {
    const length = this.u32();
    if (length > max) throw new CodecError(`Field of ${length} bytes, at most ${max} are allowed`);
    return this.raw(length);
  }

  string(max = 65_536): string {
    const bytes = this.bytes(max);
    try {
      return textDecoder.decode(bytes);
    } catch {
      throw new CodecError("Text is not valid UTF-8");
    }
  }

  /** Throws when bytes are left. */
  end(): void {
    if (this.remaining !== 0) throw new CodecError(`${this.remaining} bytes behind the end`);
  }

  #take(length: number): number {
    const at = this.#offset;
    if (at + length > this.#bytes.length)
      throw new CodecError(`Ends at byte ${this.#bytes.length}, wanted ${length} bytes at ${at}`);
    this.#offset = at + length;
    return at;
  }
}
