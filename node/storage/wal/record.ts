import { type ByteReader, type ByteWriter, CodecError } from "../../codec/bytes.ts";
import { entryBytes, readEntry, writeEntry } from "../../codec/entry.ts";
import { type Configuration, type Entry, type HardState, type Index } from "../../raft/types.ts";
import { type LogState } from "../log-state.ts";
import { type CheckpointPointer, type LogIdentity } from "../log-store.ts";
import { MEMBER_NAME_BYTES_MAX, readIdentity, writeIdentity } from "./format.ts";

/** Where the log goes on from: behind the group that ends at `offset` of the segment `generation`. */
export interface Position {
  readonly generation: number;
  readonly offset: number;
}

/** All that is known at one place of the log, without the entries. */
export interface LogFacts {
  readonly identity: LogIdentity;
  readonly hardState: HardState;
  readonly checkpoint: CheckpointPointer;
  /** Index of the last entry, 0 for none. */
  readonly lastIndex: Index;
}

/** What a group is made of, in the order in which it takes effect. */
export type LogRecord =
  /** First in every segment: what was known before it, and the place it follows. `previous.generation` 0: the log begins here. */
  | { readonly type: "start"; readonly previous: Position; readonly facts: LogFacts }
  | { readonly type: "identity"; readonly identity: LogIdentity }
  | { readonly type: "hardState"; readonly hardState: HardState }
  | { readonly type: "checkpoint"; readonly checkpoint: CheckpointPointer; readonly reset: boolean }
  | { readonly type: "entries"; readonly entries: readonly Entry[] }
  /** Last in a segment: the log goes on in `next`, which exists. `started`: its first group is durable too. */
  | { readonly type: "seal"; readonly next: number; readonly started: boolean };

const START = 1;
const IDENTITY = 2;
const HARD_STATE = 3;
const CHECKPOINT = 4;
const ENTRIES = 5;
const SEAL = 6;

const DIRECTORY_NAME_BYTES_MAX = 255;
/** Voters and learners together. Far above every sensible cluster; a length beyond it is a lie. */
const MEMBERS_MAX = 1024;

export function writeRecord(writer: ByteWriter, record: LogRecord): void {
  switch (record.type) {
    case "start":
      writer.u8(START).u53(record.previous.generation).u53(record.previous.offset);
      writeIdentity(writer, record.facts.identity);
      writeHardState(writer, record.facts.hardState);
      writeCheckpoint(writer, record.facts.checkpoint);
      writer.u53(record.facts.lastIndex);
      return;
    case "identity":
      writer.u8(IDENTITY);
      writeIdentity(writer, record.identity);
      return;
    case "hardState":
      writer.u8(HARD_STATE);
      writeHardState(writer, record.hardState);
      return;
    case "checkpoint":
      writer.u8(CHECKPOINT).u8(record.reset ? 1 : 0);
      writeCheckpoint(writer, record.checkpoint);
      return;
    case "entries":
      writer.u8(ENTRIES).u32(record.entries.length);
      for (const entry of record.entries) writeEntry(writer, entry);
      return;
    case "seal":
      writer
        .u8(SEAL)
        .u53(record.next)
        .u8(record.started ? 1 : 0);
  }
}

/** Upper bound of the byte form of a record, cheap to know. */
export function recordBytesMax(record: LogRecord): number {
  switch (record.type) {
    case "start":
      return 64 + identityBytes(record.facts.identity) + checkpointBytes(record.facts.checkpoint);
    case "identity":
      return 1 + identityBytes(record.identity);
    case "hardState":
      return 25;
    case "checkpoint":
      return 2 + checkpointBytes(record.checkpoint);
    case "entries":
      return record.entries.reduce((bytes, entry) => bytes + entryBytes(entry), 5);
    case "seal":
      return 10;
  }
}

/** @throws CodecError when the bytes are no records of this version */
export function readRecords(reader: ByteReader): LogRecord[] {
  const records: LogRecord[] = [];
  while (reader.remaining > 0) records.push(readRecord(reader));
  return records;
}

function readRecord(reader: ByteReader): LogRecord {
  const at = reader.offset;
  const type = reader.u8();
  switch (type) {
    case START: {
      const previous = { generation: reader.u53(), offset: reader.u53() };
      const identity = readIdentity(reader);
      const hardState = readHardState(reader);
      const checkpoint = readCheckpoint(reader);
      return { type: "start", previous, facts: { identity, hardState, checkpoint, lastIndex: reader.u53() } };
    }
    case IDENTITY:
      return { type: "identity", identity: readIdentity(reader) };
    case HARD_STATE:
      return { type: "hardState", hardState: readHardState(reader) };
    case CHECKPOINT: {
      const reset = reader.u8() === 1;
      return { type: "checkpoint", reset, checkpoint: readCheckpoint(reader) };
    }
    case ENTRIES:
      return { type: "entries", entries: readEntries(reader) };
    case SEAL:
      return { type: "seal", next: reader.u53(), started: reader.u8() === 1 };
    default:
      throw new CodecError(`Unknown record type ${type} at byte ${at}`);
  }
}

/** Lets the state follow a record that is being written. */
export function followRecord(state: LogState, record: LogRecord): void {
  if (record.type === "identity") state.identity = record.identity;
  else if (record.type === "hardState") state.hardState = record.hardState;
  else if (record.type === "checkpoint") state.setCheckpoint(record.checkpoint, record.reset);
  else if (record.type === "entries") state.addEntries(record.entries);
}

export function factsOf(state: LogState): LogFacts {
  const { identity, hardState, checkpoint, lastIndex } = state;
  return { identity, hardState, checkpoint, lastIndex };
}

function readEntries(reader: ByteReader): Entry[] {
  const count = reader.u32();
  const entries: Entry[] = [];
  for (let at = 0; at < count; at += 1) entries.push(readEntry(reader));
  return entries;
}

function writeHardState(writer: ByteWriter, hardState: HardState): void {
  writer.u53(hardState.term).id(hardState.vote).u53(hardState.commit);
}

function readHardState(reader: ByteReader): HardState {
  return { term: reader.u53(), vote: reader.id(), commit: reader.u53() };
}

function writeCheckpoint(writer: ByteWriter, checkpoint: CheckpointPointer): void {
  const { index, term, configuration } = checkpoint.meta;
  writer.u53(index).u53(term).u16(configuration.voters.length).u16(configuration.learners.length);
  for (const member of [...configuration.voters, ...configuration.learners]) writer.id(member);
  writer.string(checkpoint.directory);
}

function readCheckpoint(reader: ByteReader): CheckpointPointer {
  const index = reader.u53();
  const term = reader.u53();
  const configuration = readConfiguration(reader);
  return { meta: { index, term, configuration }, directory: reader.string(DIRECTORY_NAME_BYTES_MAX) };
}

function readConfiguration(reader: ByteReader): Configuration {
  const voters = reader.u16();
  const learners = reader.u16();
  if (voters + learners > MEMBERS_MAX)
    throw new CodecError(`Configuration of ${voters + learners} members, at most ${MEMBERS_MAX} are allowed`);
  const ids = (count: number): string[] => Array.from({ length: count }, () => reader.id());
  return { voters: ids(voters), learners: ids(learners) };
}

function identityBytes(identity: LogIdentity): number {
  return 24 + Math.min(3 * identity.memberName.length, MEMBER_NAME_BYTES_MAX);
}

function checkpointBytes(checkpoint: CheckpointPointer): number {
  const { voters, learners } = checkpoint.meta.configuration;
  return 24 + 8 * (voters.length + learners.length) + 3 * checkpoint.directory.length;
}
