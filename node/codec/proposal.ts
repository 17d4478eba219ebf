import { type Command } from "../machine/commands.ts";
import { type Idempotency } from "../machine/machine-types.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { readCommand, writeCommand } from "./command.ts";
import { readFlags } from "./command-fields.ts";
import { readIdempotency, writeIdempotency } from "./idempotency.ts";

const IDEMPOTENCY = 1;

interface Proposed {
  readonly command: Command;
  readonly idempotency?: Idempotency | undefined;
}

/** What a member forwards: u8 flags │ idempotency, if flagged │ command */
export function encodeProposal({ command, idempotency }: Proposed): Uint8Array {
  const writer = new ByteWriter(128);
  writer.u8(idempotency === undefined ? 0 : IDEMPOTENCY);
  if (idempotency !== undefined) writeIdempotency(writer, idempotency);
  writeCommand(writer, command);
  return writer.finish();
}

/** Byte fields are views into `bytes`. @throws CodecError */
export function decodeProposal(bytes: Uint8Array): Proposed {
  const reader = new ByteReader(bytes);
  const idempotency = readFlags(reader, IDEMPOTENCY) === 0 ? undefined : readIdempotency(reader);
  const command = readCommand(reader);
  reader.end();
  return { command, idempotency };
}
