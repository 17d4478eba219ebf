import { type ConfigurationChange, type Entry } from "../raft/types.ts";
import { type ByteReader, type ByteWriter, CodecError } from "./bytes.ts";

/**
 * The one byte form of a Raft entry, in the log on disk and in AppendEntries on the wire:
 *
 *     type u8 · term u53 · index u53 · [change u8 · member id] · data (u32 length, bytes)
 *
 * The brackets exist for configuration entries only. The form has no version of its own: the group of the log or the
 * frame around it carries one.
 */
export function writeEntry(writer: ByteWriter, entry: Entry): void {
  writer
    .u8(entry.type === "normal" ? TYPE_NORMAL : TYPE_CONFIGURATION)
    .u53(entry.term)
    .u53(entry.index);
  if (entry.type === "configuration") writer.u8(CHANGE_TYPES.indexOf(entry.change.type)).id(entry.change.member);
  writer.bytes(entry.data);
}

/**
 * Reads what `writeEntry` wrote. `data` is a view of the reader's bytes: copy it where those bytes are reused.
 *
 * @throws CodecError when the bytes are no entry
 */
export function readEntry(reader: ByteReader): Entry {
  const at = reader.offset;
  const type = reader.u8();
  if (type !== TYPE_NORMAL && type !== TYPE_CONFIGURATION)
    throw new CodecError(`Unknown entry type ${type} at byte ${at}`);
  const term = reader.u53();
  const index = reader.u53();
  if (index === 0 || term === 0)
    throw new CodecError(`Entry at byte ${at} has index ${index} and term ${term}, both count from 1`);
  if (type === TYPE_NORMAL) return { type: "normal", index, term, data: reader.bytes() };
  const change = readChange(reader);
  return { type: "configuration", index, term, data: reader.bytes(), change };
}

/** Length of the byte form, in bytes. */
export function entryBytes(entry: Entry): number {
  return (entry.type === "normal" ? 21 : 30) + entry.data.length;
}

const TYPE_NORMAL = 1;
const TYPE_CONFIGURATION = 2;
/** The position is the code: append only. */
const CHANGE_TYPES: readonly ConfigurationChange["type"][] = ["addLearner", "promote", "remove"];

function readChange(reader: ByteReader): ConfigurationChange {
  const code = reader.u8();
  const type = CHANGE_TYPES[code];
  if (type === undefined) throw new CodecError(`Unknown configuration change ${code}`);
  return { type, member: reader.id() };
}
