import { type Command } from "../machine/commands.ts";
import { type Idempotency } from "../machine/machine-types.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { readCommand, writeCommand } from "./command.ts";
import { readFlags } from "./command-fields.ts";
import { readIdempotency, writeIdempotency } from "./idempotency.ts";
import { decodeTrace, encodeTrace, TRACE_BYTES } from "./trace.ts";

const IDEMPOTENCY = 1;
const TRACE = 2;

interface Proposed {
  readonly command: Command;
  readonly idempotency?: Idempotency | undefined;
  /** Where it belongs in a trace, in hex digits. */
  readonly trace?: { readonly traceId: string; readonly spanId: string } | undefined;
}

/** What a member forwards: u8 flags │ idempotency, if flagged │ trace context, if flagged │ command */
export function encodeProposal({ command, idempotency, trace }: Proposed): Uint8Array {
  const writer = new ByteWriter(128);
  writer.u8((idempotency === undefined ? 0 : IDEMPOTENCY) | (trace === undefined ? 0 : TRACE));
  if (idempotency !== undefined) writeIdempotency(writer, idempotency);
  if (trace !== undefined) writer.raw(encodeTrace(trace));
  writeCommand(writer, command);
  return writer.finish();
}

/** Byte fields are views into `bytes`. @throws CodecError */
export function decodeProposal(bytes: Uint8Array): Proposed {
  const reader = new ByteReader(bytes);
  const flags = readFlags(reader, IDEMPOTENCY | TRACE);
  const idempotency = flags & IDEMPOTENCY ? readIdempotency(reader) : undefined;
  const trace = flags & TRACE ? decodeTrace(reader.raw(TRACE_BYTES)) : undefined;
  const command = readCommand(reader);
  reader.end();
  return { command, idempotency, ...(trace === undefined ? {} : { trace }) };
}
