/** Bytes of a page or of the meta that do not mean what their format says, or do not fit together. */
export class CorruptPageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CorruptPageError";
  }
}

const TWO_32 = 0x1_0000_0000;
const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { fatal: true });

/** Writes little-endian fields into one growing buffer. The machine imports nothing, so it has its own. */
export class PageWriter {
  #bytes = new Uint8Array(32_768);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  u32(value: number): void {
    this.#grow(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  /** A whole number from −1 to 2^53 − 1; −1 is all ones. */
  u53(value: number): void {
    this.#grow(8);
    const high = Math.floor(value / TWO_32);
    this.#view.setUint32(this.#length, value - high * TWO_32, true);
    this.#view.setInt32(this.#length + 4, high, true);
    this.#length += 8;
  }

  i64(value: bigint): void {
    this.#grow(8);
    this.#view.setBigInt64(this.#length, value, true);
    this.#length += 8;
  }

  /** Room for `length` bytes, to be filled by the caller at once. */
  reserve(length: number): { readonly bytes: Uint8Array; readonly offset: number } {
    this.#grow(length);
    const offset = this.#length;
    this.#length += length;
    return { bytes: this.#bytes, offset };
  }

  string(value: string): void {
    const bytes = textEncoder.encode(value);
    this.u32(bytes.length);
    const room = this.reserve(bytes.length);
    room.bytes.set(bytes, room.offset);
  }

  strings(values: readonly string[]): void {
    this.u32(values.length);
    for (const value of values) this.string(value);
  }

  patchU32(offset: number, value: number): void {
    this.#view.setUint32(offset, value, true);
  }

  /** The bytes so far, copied; the writer is empty again. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return taken;
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

/** Reads what a PageWriter wrote; whatever does not fit is a CorruptPageError. */
export class PageReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** What is read, for messages. */
  readonly #what: string;
  #offset = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u53(): number {
    const at = this.#take(8);
    const value = this.#view.getInt32(at + 4, true) * TWO_32 + this.#view.getUint32(at, true);
    if (value < -1 || value > Number.MAX_SAFE_INTEGER) this.fail(`number at byte ${at} is out of range`);
    return value;
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  /** A view, not a copy. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  string(): string {
    try {
      return textDecoder.decode(this.raw(this.u32()));
    } catch (error) {
      if (error instanceof CorruptPageError) throw error;
      return this.fail("text is not valid UTF-8");
    }
  }

  strings(): string[] {
    return this.list(() => this.string());
  }

  /** A count and as many elements of at least 4 bytes each. */
  list<T>(readOne: () => T): T[] {
    const count = this.u32();
    if (count * 4 > this.#bytes.length - this.#offset) this.fail(`list of ${count} is longer than what is left`);
    return Array.from({ length: count }, readOne);
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) this.fail(`${this.#bytes.length - this.#offset} bytes behind the end`);
  }

  fail(reason: string): never {
    throw new CorruptPageError(`${this.#what}: ${reason}`);
  }

  #take(length: number): number {
    const at = this.#offset;
    if (at + length > this.#bytes.length) this.fail(`ends at byte ${this.#bytes.length}, wanted ${length} at ${at}`);
    this.#offset = at + length;
    return at;
  }
}
