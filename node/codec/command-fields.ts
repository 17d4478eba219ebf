import { type ByteReader, type ByteWriter, CodecError } from "./bytes.ts";

/** Deeper txns are refused by the machine (see its limits); this only keeps the codec's stack bounded. */
export const TXN_DEPTH_MAX = 64;

const TWO_32 = 0x1_0000_0000;

/** Every element takes at least one byte, so a count beyond what is left is a lie, found before anything is allocated. */
export function readList<T>(reader: ByteReader, readOne: (reader: ByteReader) => T, max = reader.remaining): T[] {
  const count = reader.u32();
  if (count > max || count > reader.remaining)
    throw new CodecError(
      `List of ${count} elements, ${reader.remaining} bytes are left and at most ${max} are allowed`,
    );
  const list: T[] = [];
  for (let i = 0; i < count; i += 1) list.push(readOne(reader));
  return list;
}

/** A whole number between −(2^53 − 1) and 2^53 − 1, as 64-bit two's complement. Clients may send negative ones. */
export function writeInteger(writer: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value)) throw new CodecError(`${value} is not a whole number below 2^53`);
  const high = Math.floor(value / TWO_32);
  writer.u32(value - high * TWO_32).u32(high >>> 0);
}

export function readInteger(reader: ByteReader): number {
  const low = reader.u32();
  const value = (reader.u32() | 0) * TWO_32 + low;
  if (!Number.isSafeInteger(value)) throw new CodecError(`Number at byte ${reader.offset - 8} is beyond 2^53`);
  return value;
}

/** One byte of flags; an unknown one may mean anything, so it is refused. */
export function readFlags(reader: ByteReader, known: number): number {
  const flags = reader.u8();
  if ((flags & ~known) !== 0) throw new CodecError(`Flags ${flags} at byte ${reader.offset - 1}, known are ${known}`);
  return flags;
}

/** One byte that is a place in `codes`. */
export function readCode<T>(reader: ByteReader, codes: readonly T[]): T {
  const code = reader.u8();
  const value = codes[code];
  if (value === undefined)
    throw new CodecError(`Code ${code} at byte ${reader.offset - 1}, known are 0 to ${codes.length - 1}`);
  return value;
}
