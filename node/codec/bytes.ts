import { FieldReader, FieldWriter } from "../machine/fields.ts";

/** Bytes that do not mean what their format says. The bytes are at fault, never the caller. */
export class CodecError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CodecError";
  }
}

/** Longest text that is read without a limit of its own, bytes. */
const STRING_BYTES_MAX = 65_536;

/** Writes the fields of messages and records. */
export class ByteWriter extends FieldWriter {
  constructor(capacity = 256) {
    super(capacity);
  }

  /** An id of 16 hex digits, or empty, in 8 bytes. */
  id(value: string): this {
    return this.u64(value === "" ? 0n : BigInt(`0x${value}`));
  }
}

/** Reads what a ByteWriter wrote; whatever does not fit is a CodecError. */
export class ByteReader extends FieldReader {
  id(): string {
    const value = this.u64();
    return value === 0n ? "" : value.toString(16).padStart(16, "0");
  }

  override string(max = STRING_BYTES_MAX): string {
    return super.string(max);
  }

  override fail(reason: string): never {
    throw new CodecError(reason.charAt(0).toUpperCase() + reason.slice(1));
  }
}
