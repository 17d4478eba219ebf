import { type Command } from "../machine/commands.ts";
import { type Idempotency } from "../machine/machine-types.ts";
import { ByteReader, ByteWriter, CodecError } from "./bytes.ts";
import { readCommand, writeCommand } from "./command.ts";
import { readIdempotency, writeIdempotency } from "./idempotency.ts";
import { TRACE_BYTES } from "./trace.ts";

/**
 * The data of a normal log entry: a header, then one command.
 *
 *     u8 format version │ u32 group │ u32 machine version │ u53 cluster time │ u53 wall time │ u16 presence bits
 *     then, each only when its bit is set: actor │ auth revision │ idempotency │ trace │ value flags
 *     then the command
 *
 * An older member must never apply half of what an entry says. So a format version or a presence bit that it does not
 * know makes it refuse the entry, rather than skip a field.
 */
export const ENTRY_FORMAT_VERSION = 1;

/** Longest actor id, in bytes of UTF-8. */
export const ACTOR_BYTES_MAX = 1024;
/** How a value is to be read: codes of the native door, 0 for plain bytes and no encoding. One byte each. */
export interface ValueFlags {
  readonly contentType: number;
  readonly encoding: number;
}

export interface EntryHeader {
  readonly groupId: number;
  /** Version of the state machine in force when the entry was proposed. */
  readonly machineVersion: number;
  /** The leader's two stamps (milliseconds). */
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  readonly actor?: string | undefined;
  /** Revision of the auth state that allowed the command. */
  readonly authRevision?: number | undefined;
  readonly idempotency?: Idempotency | undefined;
  /** Trace id and span id, `TRACE_BYTES` long. */
  readonly trace?: Uint8Array | undefined;
  readonly valueFlags?: ValueFlags | undefined;
}

/** The entry was written by a newer Concord, and this one would misread it. */
export class UnsupportedEntryError extends CodecError {
  constructor(message: string) {
    super(message);
    this.name = "UnsupportedEntryError";
  }
}

const ACTOR = 1;
const AUTH_REVISION = 2;
const IDEMPOTENCY = 4;
const TRACE = 8;
const VALUE_FLAGS = 16;
const KNOWN = ACTOR | AUTH_REVISION | IDEMPOTENCY | TRACE | VALUE_FLAGS;

/** @throws CodecError when a field cannot be written as it is. */
export function encodeEntry(header: EntryHeader, command: Command): Uint8Array {
  const writer = new ByteWriter(192);
  writer
    .u8(ENTRY_FORMAT_VERSION)
    .u32(header.groupId)
    .u32(header.machineVersion)
    .u53(header.clusterTimeMs)
    .u53(header.wallTimeMs)
    .u16(presenceOf(header));
  writeOptional(writer, header);
  writeCommand(writer, command);
  return writer.finish();
}

/**
 * Byte fields of the command are views into `bytes`.
 *
 * @throws UnsupportedEntryError for a newer format. @throws CodecError for bytes that are no entry.
 */
export function decodeEntry(bytes: Uint8Array): { readonly header: EntryHeader; readonly command: Command } {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== ENTRY_FORMAT_VERSION)
    throw new UnsupportedEntryError(`Entry has format version ${version}, this member reads ${ENTRY_FORMAT_VERSION}`);
  const groupId = reader.u32();
  const machineVersion = reader.u32();
  const clusterTimeMs = reader.u53();
  const wallTimeMs = reader.u53();
  const presence = reader.u16();
  if ((presence & ~KNOWN) !== 0)
    throw new UnsupportedEntryError(`Entry has presence bits ${presence}, this member knows ${KNOWN}`);
  const fixed = { groupId, machineVersion, clusterTimeMs, wallTimeMs };
  const header = presence === 0 ? fixed : { ...fixed, ...readOptional(reader, presence) };
  const command = readCommand(reader);
  reader.end();
  return { header, command };
}

function presenceOf(header: EntryHeader): number {
  return (
    (header.actor === undefined ? 0 : ACTOR) |
    (header.authRevision === undefined ? 0 : AUTH_REVISION) |
    (header.idempotency === undefined ? 0 : IDEMPOTENCY) |
    (header.trace === undefined ? 0 : TRACE) |
    (header.valueFlags === undefined ? 0 : VALUE_FLAGS)
  );
}

function writeOptional(writer: ByteWriter, header: EntryHeader): void {
  if (header.actor !== undefined) writer.string(header.actor);
  if (header.authRevision !== undefined) writer.u53(header.authRevision);
  if (header.idempotency !== undefined) writeIdempotency(writer, header.idempotency);
  if (header.trace !== undefined) {
    if (header.trace.length !== TRACE_BYTES)
      throw new CodecError(`Trace context has ${header.trace.length} bytes, wanted ${TRACE_BYTES}`);
    writer.raw(header.trace);
  }
  if (header.valueFlags !== undefined) writer.u8(header.valueFlags.contentType).u8(header.valueFlags.encoding);
}

function readOptional(reader: ByteReader, presence: number): Partial<EntryHeader> {
  const actor = presence & ACTOR ? reader.string(ACTOR_BYTES_MAX) : undefined;
  const authRevision = presence & AUTH_REVISION ? reader.u53() : undefined;
  const idempotency = presence & IDEMPOTENCY ? readIdempotency(reader) : undefined;
  const trace = presence & TRACE ? reader.raw(TRACE_BYTES) : undefined;
  const valueFlags = presence & VALUE_FLAGS ? { contentType: reader.u8(), encoding: reader.u8() } : undefined;
  return {
    ...(actor === undefined ? {} : { actor }),
    ...(authRevision === undefined ? {} : { authRevision }),
    ...(idempotency === undefined ? {} : { idempotency }),
    ...(trace === undefined ? {} : { trace }),
    ...(valueFlags === undefined ? {} : { valueFlags }),
  };
}
