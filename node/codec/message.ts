import { type Entry, type Message } from "../raft/types.ts";
import { ByteReader, ByteWriter, CodecError } from "./bytes.ts";
import { entryBytes, readEntry, writeEntry } from "./entry.ts";
import {
  copyBytes,
  type MessageFormat,
  readCount,
  readFlag,
  readSnapshotMeta,
  readTag,
  type Tags,
  writeFlag,
  writeSnapshotMeta,
} from "./message-fields.ts";
import { FORWARD_FORMATS, type ForwardMessage } from "./forward.ts";

export { type AdminRequest, type AdminResult, type ForwardMessage, type ForwardResult } from "./forward.ts";

/** Everything that members say to each other: Raft's messages, and requests handed on to the leader. */
export type PeerMessage = Message | ForwardMessage;

/** Version of the payload's format. A payload of another version is refused, never guessed (D20). */
export const MESSAGE_VERSION = 1;

/** Largest piece of a snapshot in one message. Senders cut pieces of about 256 KiB. */
export const SNAPSHOT_PIECE_BYTES_MAX = 4 << 20;

/**
 * Turns a message into the payload of one frame: format version (1 byte), group id (4), message type (1), fields.
 *
 * @returns Chunks that make up the payload when they are sent one after the other. Entries are copied once, into the
 * first chunk. A piece of a snapshot and a forwarded command or outcome is a chunk of its own that shares its memory
 * with the message: it must not change until it is sent.
 */
export function encodeMessage(groupId: number, message: PeerMessage): Uint8Array[] {
  const format: MessageFormat<PeerMessage> = FORMATS[message.type];
  const writer = new ByteWriter(message.type === "appendRequest" ? appendBytes(message) : SMALL_BYTES);
  writer.u8(MESSAGE_VERSION).u32(groupId).u8(format.code);
  format.write(writer, message);
  const tail = format.tail?.(message);
  return tail === undefined ? [writer.view()] : [writer.view(), tail];
}

/**
 * Reads the payload of a frame. What the result holds owns its bytes: the frame may be reused after the call.
 *
 * @throws CodecError on an unknown version or type, a field out of bounds, or bytes behind the end.
 */
export function decodeMessage(bytes: Uint8Array): { readonly groupId: number; readonly message: PeerMessage } {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== MESSAGE_VERSION)
    throw new CodecError(`Message has format version ${version}, wanted ${MESSAGE_VERSION}`);
  const groupId = reader.u32();
  const code = reader.u8();
  const format = FORMAT_BY_CODE[code];
  if (format === undefined) throw new CodecError(`Message has the unknown type ${code}`);
  const message = format.read(reader);
  reader.end();
  return { groupId, message };
}

type RaftFormats = { readonly [T in Message["type"]]: MessageFormat<Extract<Message, { readonly type: T }>> };

const STATUS_TAGS: Tags<Extract<Message, { type: "snapshotResponse" }>["status"]> = {
  next: 1,
  installed: 2,
  refused: 3,
};

const RAFT_FORMATS: RaftFormats = {
  appendRequest: {
    code: 1,
    write(writer, { term, previousIndex, previousTerm, commit, entries }) {
      writer.u53(term).u53(previousIndex).u53(previousTerm).u53(commit).u32(entries.length);
      for (const entry of entries) writeEntry(writer, entry);
    },
    read: readAppendRequest,
  },
  appendResponse: {
    code: 2,
    write(writer, { term, index, refused, hintIndex, hintTerm, needSnapshot }) {
      writer.u53(term).u53(index);
      writeFlag(writer, refused);
      writer.u53(hintIndex).u53(hintTerm);
      writeFlag(writer, needSnapshot);
    },
    read: (reader) => ({
      type: "appendResponse",
      term: reader.u53(),
      index: reader.u53(),
      refused: readFlag(reader),
      hintIndex: reader.u53(),
      hintTerm: reader.u53(),
      needSnapshot: readFlag(reader),
    }),
  },
  heartbeat: {
    code: 3,
    write: (writer, { term, commit, round }) => void writer.u53(term).u53(commit).u53(round),
    read: (reader) => ({ type: "heartbeat", term: reader.u53(), commit: reader.u53(), round: reader.u53() }),
  },
  heartbeatResponse: {
    code: 4,
    write(writer, { term, round, needSnapshot }) {
      writer.u53(term).u53(round);
      writeFlag(writer, needSnapshot);
    },
    read: (reader) => ({
      type: "heartbeatResponse",
      term: reader.u53(),
      round: reader.u53(),
      needSnapshot: readFlag(reader),
    }),
  },
  voteRequest: {
    code: 5,
    write(writer, { term, preVote, lastIndex, lastTerm, transfer, known }) {
      writer.u53(term);
      writeFlag(writer, preVote);
      writer.u53(lastIndex).u53(lastTerm);
      writeFlag(writer, transfer);
      writer.u53(known.index).u53(known.term);
    },
    read: (reader) => ({
      type: "voteRequest",
      term: reader.u53(),
      preVote: readFlag(reader),
      lastIndex: reader.u53(),
      lastTerm: reader.u53(),
      transfer: readFlag(reader),
      known: { index: reader.u53(), term: reader.u53() },
    }),
  },
  voteResponse: {
    code: 6,
    write(writer, { term, preVote, granted, known }) {
      writer.u53(term);
      writeFlag(writer, preVote);
      writeFlag(writer, granted);
      writer.u53(known.index).u53(known.term);
    },
    read: (reader) => ({
      type: "voteResponse",
      term: reader.u53(),
      preVote: readFlag(reader),
      granted: readFlag(reader),
      known: { index: reader.u53(), term: reader.u53() },
    }),
  },
  timeoutNow: {
    code: 7,
    write: (writer, { term }) => void writer.u53(term),
    read: (reader) => ({ type: "timeoutNow", term: reader.u53() }),
  },
  readIndexRequest: {
    code: 8,
    write: (writer, { term, context }) => void writer.u53(term).u53(context),
    read: (reader) => ({ type: "readIndexRequest", term: reader.u53(), context: reader.u53() }),
  },
  readIndexResponse: {
    code: 9,
    write: (writer, { term, context, index }) => void writer.u53(term).u53(context).u53(index),
    read: (reader) => ({
      type: "readIndexResponse",
      term: reader.u53(),
      context: reader.u53(),
      index: reader.u53(),
    }),
  },
  snapshotChunk: {
    code: 10,
    write(writer, { term, transfer, meta, sequence, last, data }) {
      writer.u53(term).u53(transfer);
      writeSnapshotMeta(writer, meta);
      writer.u53(sequence);
      writeFlag(writer, last);
      writer.u32(data.length);
    },
    tail: ({ data }) => data,
    read: (reader) => ({
      type: "snapshotChunk",
      term: reader.u53(),
      transfer: reader.u53(),
      meta: readSnapshotMeta(reader),
      sequence: reader.u53(),
      last: readFlag(reader),
      data: copyBytes(reader.bytes(SNAPSHOT_PIECE_BYTES_MAX)),
    }),
  },
  snapshotResponse: {
    code: 11,
    write: (writer, { term, transfer, status, sequence }) =>
      void writer.u53(term).u53(transfer).u8(STATUS_TAGS[status]).u53(sequence),
    read: (reader) => ({
      type: "snapshotResponse",
      term: reader.u53(),
      transfer: reader.u53(),
      status: readTag(reader, STATUS_TAGS, "status of a snapshot transfer"),
      sequence: reader.u53(),
    }),
  },
};

// Each format meets only messages of its own type; TypeScript cannot follow a lookup by discriminant (issue 30581).
const FORMATS = { ...RAFT_FORMATS, ...FORWARD_FORMATS } as unknown as Readonly<
  Record<PeerMessage["type"], MessageFormat<PeerMessage>>
>;

const FORMAT_BY_CODE = byCode(Object.values(FORMATS));

function byCode(formats: readonly MessageFormat<PeerMessage>[]): readonly (MessageFormat<PeerMessage> | undefined)[] {
  const table: (MessageFormat<PeerMessage> | undefined)[] = [];
  for (const format of formats) {
    if (table[format.code] !== undefined) throw new Error(`Two messages have the number ${format.code}`);
    table[format.code] = format;
  }
  return table;
}

/** An entry without data (see `entry.ts`). */
const ENTRY_BYTES_MIN = 21;

/** Room for the fields of any message but its entries and its tail. */
const SMALL_BYTES = 256;

function appendBytes(message: Extract<Message, { type: "appendRequest" }>): number {
  let bytes = SMALL_BYTES;
  for (const entry of message.entries) bytes += entryBytes(entry);
  return bytes;
}

type AppendRequest = Extract<Message, { readonly type: "appendRequest" }>;

/** The frame's memory is used again after the call, so all entries are copied at once; each is a view of that copy. */
function readAppendRequest(reader: ByteReader): AppendRequest {
  const term = reader.u53();
  const previousIndex = reader.u53();
  const previousTerm = reader.u53();
  const commit = reader.u53();
  const count = readCount(reader, ENTRY_BYTES_MIN);
  const own = new ByteReader(copyBytes(reader.raw(reader.remaining)));
  const entries: Entry[] = [];
  for (let i = 0; i < count; i += 1) {
    const entry = readEntry(own);
    const index = previousIndex + 1 + i;
    if (entry.index !== index) throw new CodecError(`Entry ${entry.index} stands at the place of entry ${index}`);
    if (entry.term > term) throw new CodecError(`Entry ${entry.index} is of term ${entry.term}, its leader of ${term}`);
    entries.push(entry);
  }
  own.end();
  return { type: "appendRequest", term, previousIndex, previousTerm, commit, entries };
}
