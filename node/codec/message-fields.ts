import { type Configuration, type MemberId, type SnapshotMeta } from "../raft/types.ts";
import { type ByteReader, type ByteWriter, CodecError } from "./bytes.ts";

/** How one type of message is written and read. */
export interface MessageFormat<M> {
  /** Stands on the wire. Never given to another type. */
  readonly code: number;
  write(writer: ByteWriter, message: M): void;
  /** What follows the written bytes as a chunk of its own; `write` wrote its length. */
  tail?(message: M): Uint8Array | undefined;
  read(reader: ByteReader): M;
}

/** Most members of one configuration, learners included. Far above the seven voters that make sense. */
export const MEMBERS_MAX = 256;

/** A copy that owns its bytes. Not `slice`: a Buffer's shares its memory, and frames often are Buffers. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** A yes or no, in one byte. */
export function writeFlag(writer: ByteWriter, value: boolean): void {
  writer.u8(value ? 1 : 0);
}

/** Anything but 0 and 1 is refused: a later version may give other values a meaning. */
export function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new CodecError(`Flag is ${value}, wanted 0 or 1`);
  return value === 1;
}

/** Numbers on the wire for the words of a union. A word's number never changes and is never given to another. */
export type Tags<W extends string> = Readonly<Record<W, number>>;

/** Reads a word by its number in `tags`; `what` names the field for the error. */
export function readTag<W extends string>(reader: ByteReader, tags: Tags<W>, what: string): W {
  const value = reader.u8();
  for (const word in tags) if (tags[word] === value) return word;
  throw new CodecError(`Unknown ${what} ${value}`);
}

/** An id that must be there. */
export function readId(reader: ByteReader): MemberId {
  const id = reader.id();
  if (id === "") throw new CodecError("Member id is missing");
  return id;
}

/** A count of things of at least `bytesMin` bytes each, checked against what is left before room is made for them. */
export function readCount(reader: ByteReader, bytesMin: number, max = Number.MAX_SAFE_INTEGER): number {
  const count = reader.u32();
  if (count > max) throw new CodecError(`List of ${count}, at most ${max} are allowed`);
  if (count * bytesMin > reader.remaining)
    throw new CodecError(`List of ${count} does not fit into ${reader.remaining} bytes`);
  return count;
}

export function writeStrings(writer: ByteWriter, values: readonly string[]): void {
  writer.u32(values.length);
  for (const value of values) writer.string(value);
}

export function readStrings(reader: ByteReader, limits: { readonly count: number; readonly bytes: number }): string[] {
  return Array.from({ length: readCount(reader, 4, limits.count) }, () => reader.string(limits.bytes));
}

/** Index, term and configuration: the name of a state of the machine. */
export function writeSnapshotMeta(writer: ByteWriter, meta: SnapshotMeta): void {
  writer.u53(meta.index).u53(meta.term);
  for (const ids of [meta.configuration.voters, meta.configuration.learners]) {
    writer.u32(ids.length);
    for (const id of ids) writer.id(id);
  }
}

export function readSnapshotMeta(reader: ByteReader): SnapshotMeta {
  const index = reader.u53();
  const term = reader.u53();
  const configuration: Configuration = { voters: readIds(reader), learners: readIds(reader) };
  const all = [...configuration.voters, ...configuration.learners];
  if (new Set(all).size !== all.length) throw new CodecError("Configuration names a member twice");
  return { index, term, configuration };
}

function readIds(reader: ByteReader): MemberId[] {
  return Array.from({ length: readCount(reader, 8, MEMBERS_MAX) }, () => readId(reader));
}
