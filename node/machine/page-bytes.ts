import { FieldReader, FieldWriter } from "./fields.ts";

/** Bytes of a page or of the meta that do not mean what their format says, or do not fit together. */
export class CorruptPageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CorruptPageError";
  }
}

/** Twice a usual page. */
const CAPACITY_BYTES = 32_768;

/** Writes the fields of pages and of the meta. */
export class PageWriter extends FieldWriter {
  constructor() {
    super(CAPACITY_BYTES);
  }

  strings(values: readonly string[]): void {
    this.u32(values.length);
    for (const value of values) this.string(value);
  }

  /** The bytes so far, copied; the writer is empty again. */
  take(): Uint8Array {
    const taken = this.finish();
    this.reset();
    return taken;
  }
}

/** Reads what a PageWriter wrote; whatever does not fit is a CorruptPageError. */
export class PageReader extends FieldReader {
  /** What is read, for messages. */
  readonly #what: string;

  constructor(bytes: Uint8Array, what: string) {
    super(bytes);
    this.#what = what;
  }

  strings(): string[] {
    return this.list(() => this.string());
  }

  /** A count and as many elements of at least 4 bytes each. */
  list<T>(readOne: () => T): T[] {
    const count = this.u32();
    if (count * 4 > this.remaining) this.fail(`list of ${count} is longer than what is left`);
    return Array.from({ length: count }, readOne);
  }

  override fail(reason: string): never {
    throw new CorruptPageError(`${this.#what}: ${reason}`);
  }
}
