import { type MethodDefinition } from "@grpc/proto-loader";
import { frameMessage, PREFIX_BYTES, writePrefix } from "../grpc/framing.ts";
import { type MethodCodec } from "../grpc/method.ts";
import { type KeyValueMessage, type PutRequest, type RangeRequest, type ResponseHeader } from "./messages.ts";

export type Codec = MethodCodec<object, object>;
type Definition = MethodDefinition<object, object>;

/**
 * The codec of a method of rpc.proto. The messages of Put and Range, which clients send by the thousand, have codecs of
 * their own: they do what the generic ones do, in a fraction of the time, and leave to those whatever is unusual in a
 * request.
 */
export function codecOf(definition: Definition): Codec {
  switch (definition.path) {
    case "/etcdserverpb.KV/Put":
      return {
        decode: (bytes) => decodePut(bytes) ?? definition.requestDeserialize(bytes),
        frame: (response) => encode(response as PutMessage, putLength, writePut),
      };
    case "/etcdserverpb.KV/Range":
      return {
        decode: (bytes) => decodeRange(bytes) ?? definition.requestDeserialize(bytes),
        frame: (response) => encode(response as RangeMessage, rangeLength, writeRange),
      };
    default:
      return {
        decode: definition.requestDeserialize,
        frame: (response) => frameMessage(definition.responseSerialize(response)),
      };
  }
}

interface PutMessage {
  readonly header: ResponseHeader;
  readonly prev_kv?: KeyValueMessage;
}

interface RangeMessage {
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValueMessage[];
  readonly more: boolean;
  readonly count: number;
}

// Requests. A field that is not expected, in an unexpected form, or larger than a double counts: undefined.

const EMPTY: Buffer = Buffer.alloc(0);
/** Seven groups of seven bits stay below 2^53. */
const VARINT_BYTES = 7;
/** Lengths and booleans are 32-bit numbers; longer forms are for the generic codec to judge. */
const SHORT_VARINT_BYTES = 4;

function decodePut(bytes: Buffer): PutRequest | undefined {
  const request = { key: EMPTY, value: EMPTY, lease: "0", prev_kv: false, ignore_value: false, ignore_lease: false };
  const input = new Input(bytes);
  while (!input.ended) {
    const tag = input.byte();
    if (tag === 0x0a) request.key = input.bytes();
    else if (tag === 0x12) request.value = input.bytes();
    else if (tag === 0x18) request.lease = input.integer();
    else if (tag === 0x20) request.prev_kv = input.boolean();
    else if (tag === 0x28) request.ignore_value = input.boolean();
    else if (tag === 0x30) request.ignore_lease = input.boolean();
    else return undefined;
  }
  return input.broken ? undefined : request;
}

/** Sorted ranges are rare, and their orders have names: they are left to the generic codec. */
function decodeRange(bytes: Buffer): RangeRequest | undefined {
  const request = {
    key: EMPTY,
    range_end: EMPTY,
    limit: "0",
    revision: "0",
    sort_order: "NONE",
    sort_target: "KEY",
    serializable: false,
    keys_only: false,
    count_only: false,
    min_mod_revision: "0",
    max_mod_revision: "0",
    min_create_revision: "0",
    max_create_revision: "0",
  };
  const input = new Input(bytes);
  while (!input.ended) {
    const tag = input.byte();
    if (tag === 0x0a) request.key = input.bytes();
    else if (tag === 0x12) request.range_end = input.bytes();
    else if (tag === 0x18) request.limit = input.integer();
    else if (tag === 0x20) request.revision = input.integer();
    else if (tag === 0x38) request.serializable = input.boolean();
    else if (tag === 0x40) request.keys_only = input.boolean();
    else if (tag === 0x48) request.count_only = input.boolean();
    else return undefined;
  }
  return input.broken ? undefined : request;
}

/** Never reads beyond its end: it is broken then, and what it gave does not count. */
class Input {
  readonly #bytes: Buffer;
  #at = 0;
  broken = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.broken || this.#at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at];
    this.#at += 1;
    if (byte !== undefined) return byte;
    this.broken = true;
    return 0;
  }

  bytes(): Buffer {
    const length = this.#varint(SHORT_VARINT_BYTES);
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) this.broken = true;
    return this.broken ? EMPTY : this.#bytes.subarray(from, this.#at);
  }

  /** As the generic codec gives 64-bit numbers. */
  integer(): string {
    return String(this.#varint(VARINT_BYTES));
  }

  boolean(): boolean {
    return this.#varint(SHORT_VARINT_BYTES) !== 0;
  }

  #varint(bytesMax: number): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < bytesMax; count += 1) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    this.broken = true;
    return 0;
  }
}

// Responses: measured first, then written into one buffer. Zeros and empty fields are left out, as proto3 has it.

function encode<T>(response: T, length: (response: T) => number, write: (output: Output, response: T) => void): Buffer {
  const output = new Output(length(response));
  write(output, response);
  return output.finish();
}

function putLength({ header, prev_kv: previous }: PutMessage): number {
  return embeddedLength(headerLength(header)) + (previous === undefined ? 0 : embeddedLength(keyValueLength(previous)));
}

function writePut(output: Output, { header, prev_kv: previous }: PutMessage): void {
  writeHeader(output, header);
  if (previous !== undefined) writeKeyValue(output, previous);
}

function rangeLength({ header, kvs, more, count }: RangeMessage): number {
  let length = embeddedLength(headerLength(header));
  for (const row of kvs) length += embeddedLength(keyValueLength(row));
  return length + (more ? 2 : 0) + integerLength(count);
}

function writeRange(output: Output, { header, kvs, more, count }: RangeMessage): void {
  writeHeader(output, header);
  for (const row of kvs) writeKeyValue(output, row);
  if (more) output.integer(0x18, 1);
  output.integer(0x20, count);
}

function headerLength({ cluster_id: cluster, member_id: member, revision, raft_term: term }: ResponseHeader): number {
  return idBytes(cluster).length + idBytes(member).length + 2 + integerLength(revision) + integerLength(term);
}

function writeHeader(output: Output, header: ResponseHeader): void {
  output.embedded(0x0a, headerLength(header));
  output.raw(0x08, idBytes(header.cluster_id));
  output.raw(0x10, idBytes(header.member_id));
  output.integer(0x18, header.revision);
  output.integer(0x20, header.raft_term);
}

function keyValueLength(row: KeyValueMessage): number {
  return (
    bytesLength(row.key) +
    integerLength(row.create_revision) +
    integerLength(row.mod_revision) +
    integerLength(row.version) +
    bytesLength(row.value) +
    (isZero(row.lease) ? 0 : 1 + idBytes(String(row.lease)).length)
  );
}

function writeKeyValue(output: Output, row: KeyValueMessage): void {
  output.embedded(0x12, keyValueLength(row));
  output.bytes(0x0a, row.key);
  output.integer(0x10, row.create_revision);
  output.integer(0x18, row.mod_revision);
  output.integer(0x20, row.version);
  output.bytes(0x2a, row.value);
  if (!isZero(row.lease)) output.raw(0x30, idBytes(String(row.lease)));
}

const isZero = (lease: string | number): boolean => lease === 0 || lease === "0";

/** With the tag, which is one byte for every field here. */
const integerLength = (value: number): number => (value === 0 ? 0 : 1 + varintLength(value));
const bytesLength = (value: Uint8Array): number => (value.length === 0 ? 0 : embeddedLength(value.length));
const embeddedLength = (length: number): number => 1 + varintLength(length) + length;

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}

const IDS_MAX = 256;
const ids = new Map<string, Buffer>();

/** The varint of a decimal 64-bit number. Answers carry the same few over and over. */
function idBytes(decimal: string): Buffer {
  const known = ids.get(decimal);
  if (known !== undefined) return known;
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(decimal));
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  const encoded = Buffer.of(...bytes, Number(rest));
  if (ids.size >= IDS_MAX) ids.clear();
  ids.set(decimal, encoded);
  return encoded;
}

class Output {
  readonly #buffer: Buffer;
  #at = PREFIX_BYTES;

  /** @param length - of the message, without its prefix */
  constructor(length: number) {
    this.#buffer = Buffer.allocUnsafe(PREFIX_BYTES + length);
    writePrefix(this.#buffer);
  }

  integer(tag: number, value: number): void {
    if (value === 0) return;
    this.#buffer[this.#at++] = tag;
    this.#varint(value);
  }

  bytes(tag: number, value: Uint8Array): void {
    if (value.length === 0) return;
    this.embedded(tag, value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  /** The tag and length of a message that is written next. */
  embedded(tag: number, length: number): void {
    this.#buffer[this.#at++] = tag;
    this.#varint(length);
  }

  raw(tag: number, value: Buffer): void {
    this.#buffer[this.#at++] = tag;
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  /** The memory is not cleared before: a length that was measured wrong must not let any of it out. */
  finish(): Buffer {
    if (this.#at === this.#buffer.length) return this.#buffer;
    throw new Error(`A message of ${this.#buffer.length} bytes was written as ${this.#at}`);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
    this.#buffer[this.#at++] = rest;
  }
}
