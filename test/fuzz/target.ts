import { ConcordError } from "../../node/client/errors.ts";
import { WireError } from "../../node/client/wire/fields.ts";
import { CodecError } from "../../node/codec/bytes.ts";
import { CorruptPageError } from "../../node/machine/page-bytes.ts";

/** A decoder of bytes from outside. */
export interface FuzzTarget {
  readonly name: string;
  /** Valid ones, to begin with. */
  readonly seeds: readonly Uint8Array[];
  /** Parts that inputs are put together from, besides bytes. */
  readonly words?: readonly string[];
  /** Throws what is no refusal. */
  readonly run: (bytes: Uint8Array) => void;
}

/** Runs a decoder. That the bytes are at fault is a good answer; anything else that is thrown is a defect. */
export function refusing<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    const atFault = [CodecError, CorruptPageError, WireError].some((refusal) => error instanceof refusal);
    if (atFault || ConcordError.is(error)) return undefined;
    throw error;
  }
}
