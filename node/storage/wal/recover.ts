import { type Index } from "../../raft/types.ts";
import { type Disk } from "../disk.ts";
import { identityFault } from "../log-state.ts";
import { type LogDamage, type LogIdentity, type RecoveredLog } from "../log-store.ts";
import { segmentGeneration } from "./format.ts";
import { type DecodedGroup } from "./group.ts";
import { type LogFacts, type LogRecord, type Position } from "./record.ts";
import { Replay } from "./replay.ts";
import { failedScan, type ScannedSegment, scanSegment } from "./scan.ts";

/** A segment that the log still consists of. */
export interface LiveSegment {
  readonly name: string;
  readonly generation: number;
  readonly bytes: number;
  /** No entry that is still in force and stands in this segment has a higher index. */
  maxIndex: Index;
}

/** A log as it was found, and all that is needed to go on with it in a fresh segment. */
export interface RecoveredFiles {
  readonly type: "recovered";
  readonly log: RecoveredLog;
  /** Oldest first. The last one may be left out of the log when its only group moves to the fresh segment. */
  readonly live: readonly LiveSegment[];
  /** The last group may never have been synced. Its records go to the fresh segment, which follows `cut`. */
  readonly tail: {
    readonly records: readonly LogRecord[];
    /** State in front of those records. */
    readonly facts: LogFacts;
    readonly cut: Position;
    readonly cutCrc: number;
    /** Where the group stands that is moved. */
    readonly moved: Position & { readonly name: string };
  };
  /** Segments that the log does not need: prepared and never used, or given up by an earlier opening. */
  readonly unused: readonly string[];
  readonly generationMax: number;
}

export type RecoverResult =
  { readonly type: "empty" } | { readonly type: "damaged"; readonly damage: LogDamage } | RecoveredFiles;

/**
 * Reads a log back. Changes nothing on the disk.
 *
 * The newest segment with a group is the tail. Its first group names the place it follows, in an older segment, and so
 * on back to the oldest one. What lies behind such a place was given up when a fresh segment was begun there.
 */
export function recoverLog(disk: Disk, directory: string, groupId: number): RecoverResult {
  const reader = new SegmentReader(disk, directory, groupId);
  if (reader.generations.length === 0) return { type: "empty" };
  try {
    const chain = readChain(reader);
    return replayChain(reader, chain);
  } catch (error) {
    if (error instanceof DamageFound) return { type: "damaged", damage: describe(reader, error) };
    throw error;
  }
}

/** Ends the reading at the first damage. Never leaves this file. */
class DamageFound extends Error {
  readonly segment: string;
  readonly offset: number;

  constructor(segment: string, offset: number, reason: string) {
    super(reason);
    this.segment = segment;
    this.offset = offset;
  }
}

/** Scans segments of one directory, each at most once for a limit. */
class SegmentReader {
  readonly names = new Map<number, string>();
  /** Newest first. */
  readonly generations: readonly number[];
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #groupId: number;

  constructor(disk: Disk, directory: string, groupId: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#groupId = groupId;
    for (const name of disk.list(directory)) {
      const generation = segmentGeneration(name);
      if (generation !== undefined) this.names.set(generation, name);
    }
    this.generations = [...this.names.keys()].sort((a, b) => b - a);
  }

  scan(generation: number, until?: number): ScannedSegment | undefined {
    const name = this.names.get(generation);
    if (name === undefined) return undefined;
    let bytes: Uint8Array;
    try {
      bytes = this.#disk.readFile(`${this.#directory}/${name}`);
    } catch (error) {
      // A device that cannot give the bytes back has lost them. Every other error (no permission, no descriptors) is
      // not about the data.
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
      return failedScan(name, generation, "Segment cannot be read: input/output error");
    }
    const limits = until === undefined ? { groupId: this.#groupId } : { groupId: this.#groupId, until };
    return scanSegment(name, generation, bytes, limits);
  }
}

interface Chain {
  /** Oldest first, the tail last. */
  readonly segments: readonly ScannedSegment[];
}

function readChain(reader: SegmentReader): Chain {
  const newer: ScannedSegment[] = [];
  let tail: ScannedSegment | undefined;
  for (const generation of reader.generations) {
    const segment = reader.scan(generation);
    if (segment === undefined) continue;
    refuseDamage(segment);
    if (startOf(segment) !== undefined) {
      tail = segment;
      break;
    }
    newer.push(segment);
  }
  if (tail === undefined) {
    const oldest = newer.at(-1);
    throw new DamageFound(oldest?.name ?? "", 0, "No segment of the log has a group: the segments that had are gone");
  }
  for (const segment of [tail, ...newer]) checkSeal(segment, newer);
  const segments = [tail];
  for (let segment = tail; ;) {
    const start = startOf(segment);
    if (start === undefined) throw new DamageFound(segment.name, 0, "Segment has no first group");
    const older = readPredecessor(reader, segment, start.previous);
    if (older === undefined) break;
    segments.unshift(older);
    segment = older;
  }
  for (const segment of [...segments, ...newer]) checkIdentity(segment, tail);
  return { segments };
}

/** The segment that `segment` follows, read up to the place it names. Undefined when it was recycled, or never was. */
function readPredecessor(reader: SegmentReader, segment: ScannedSegment, at: Position): ScannedSegment | undefined {
  if (at.generation === 0) return undefined;
  if (at.generation >= segment.generation)
    throw new DamageFound(segment.name, 0, `Segment claims to follow generation ${at.generation}`);
  const older = reader.scan(at.generation, at.offset);
  if (older === undefined) return undefined;
  refuseDamage(older);
  const last = older.groups.at(-1);
  if (last?.end !== at.offset || last.crc !== segment.groups[0]?.previousCrc)
    throw new DamageFound(
      older.name,
      older.end.offset,
      `Segment was durable up to offset ${at.offset}, "${segment.name}" follows it there`,
    );
  return older;
}

function refuseDamage(segment: ScannedSegment): void {
  if (segment.end.type === "damaged") throw new DamageFound(segment.name, segment.end.offset, segment.end.reason);
}

/** A sealed segment names the one in which the log goes on: that one has to exist. */
function checkSeal(segment: ScannedSegment, newer: readonly ScannedSegment[]): void {
  const { end } = segment;
  if (end.type !== "sealed") return;
  const next = newer.find((candidate) => candidate.generation === end.next);
  if (next === undefined) throw new DamageFound(segment.name, end.offset, `Segment ${end.next} that follows is gone`);
  // A segment without a start is in front of the tail here, so the group that was durable in the next one is gone.
  if (end.started)
    throw new DamageFound(next.name, next.end.offset, "First group of the segment was durable and is gone");
}

/** Files of another member or another cluster, copied in. */
function checkIdentity(segment: ScannedSegment, tail: ScannedSegment): void {
  const identity = segment.header?.identity;
  const wanted = startOf(tail)?.facts.identity;
  if (identity === undefined || wanted === undefined) return;
  // A header may be older than the cluster id, or, in front of the tail's first group, a prepared one may be newer.
  const fault =
    identity.clusterId === "" || wanted.clusterId === ""
      ? identityFault({ ...wanted, clusterId: "" }, identity)
      : identityFault(wanted, identity);
  if (fault !== undefined) throw new DamageFound(segment.name, 0, `Segment is from elsewhere: ${fault}`);
}

function startOf(segment: ScannedSegment): (LogRecord & { readonly type: "start" }) | undefined {
  const record = segment.groups[0]?.records[0];
  return record?.type === "start" ? record : undefined;
}

function replayChain(reader: SegmentReader, chain: Chain): RecoveredFiles {
  const tail = chain.segments.at(-1);
  const oldest = chain.segments[0];
  const start = oldest === undefined ? undefined : startOf(oldest);
  const moved = tail?.groups.at(-1);
  if (tail === undefined || start === undefined || moved === undefined)
    throw new DamageFound(tail?.name ?? "", 0, "Log has no first group");
  const replay = new Replay(start);
  const live: LiveSegment[] = [];
  let facts: LogFacts = start.facts;
  for (const segment of chain.segments) {
    live.push({ name: segment.name, generation: segment.generation, bytes: segment.header?.bytes ?? 0, maxIndex: 0 });
    for (const group of segment.groups) {
      if (group === moved) facts = factsOf(replay);
      replayGroup(replay, segment, group, live);
    }
  }
  const { checkpoint, identity, hardState } = replay.state;
  if (checkpoint.meta.index < replay.base)
    throw new DamageFound(
      oldest?.name ?? "",
      0,
      `Log begins behind entry ${replay.base}, the checkpoint ends at entry ${checkpoint.meta.index}`,
    );
  const torn = tail.end.type === "torn" ? tail : undefined;
  const used = new Set(live.map((segment) => segment.name));
  return {
    type: "recovered",
    log: {
      identity,
      hardState,
      checkpoint,
      entries: replay.entries,
      tail: torn === undefined ? { type: "clean" } : { type: "torn", segment: torn.name, offset: torn.end.offset },
    },
    live,
    tail: {
      ...cutOf(tail, moved),
      facts,
      moved: { name: tail.name, generation: tail.generation, offset: moved.offset },
    },
    unused: [...reader.names.values()].filter((name) => !used.has(name)),
    generationMax: reader.generations[0] ?? 0,
  };
}

function replayGroup(replay: Replay, segment: ScannedSegment, group: DecodedGroup, live: readonly LiveSegment[]): void {
  for (const record of group.records) {
    const fault = replay.apply(record);
    if (fault !== undefined) throw new DamageFound(segment.name, group.offset, fault);
    noteIndexes(live, record);
  }
}

/** Keeps `maxIndex` of the segments up to date. `record` went to the last of them. */
export function noteIndexes(live: readonly LiveSegment[], record: LogRecord): void {
  if (record.type === "checkpoint" && record.reset) capIndexes(live, record.checkpoint.meta.index);
  const first = record.type === "entries" ? record.entries[0] : undefined;
  const last = record.type === "entries" ? record.entries.at(-1) : undefined;
  const segment = live.at(-1);
  if (first === undefined || last === undefined || segment === undefined) return;
  capIndexes(live, first.index - 1);
  segment.maxIndex = Math.max(segment.maxIndex, last.index);
}

function capIndexes(live: readonly LiveSegment[], index: Index): void {
  for (const segment of live) segment.maxIndex = Math.min(segment.maxIndex, index);
}

function factsOf(replay: Replay): LogFacts {
  const { identity, hardState, checkpoint, lastIndex } = replay.state;
  return { identity, hardState, checkpoint, lastIndex };
}

/** Where the log is cut so that the group `moved` can be written again, and the records to write. */
function cutOf(tail: ScannedSegment, moved: DecodedGroup): { records: LogRecord[]; cut: Position; cutCrc: number } {
  const records = moved.records.filter((record) => record.type !== "seal" && record.type !== "start");
  const start = moved.type === "start" ? startOf(tail) : undefined;
  const cut = start?.previous ?? { generation: tail.generation, offset: moved.offset };
  return { records, cut, cutCrc: moved.previousCrc };
}

/** Adds what else can be said about a damaged log: whose it is, and how far it is whole in front of the damage. */
function describe(reader: SegmentReader, found: DamageFound): LogDamage {
  let identity: LogIdentity | undefined;
  let lastGoodIndex = 0;
  for (const generation of reader.generations.toReversed()) {
    const segment = reader.scan(generation);
    if (segment === undefined) continue;
    const reached = segment.name === found.segment;
    if (!reached || found.offset > 0)
      identity = startOf(segment)?.facts.identity ?? identity ?? segment.header?.identity;
    for (const group of segment.groups) {
      if (reached && group.offset >= found.offset) break;
      for (const record of group.records) {
        if (record.type === "identity") identity = record.identity;
        if (record.type === "entries") lastGoodIndex = record.entries.at(-1)?.index ?? lastGoodIndex;
      }
    }
    if (reached) break;
  }
  return { segment: found.segment, offset: found.offset, reason: found.message, identity, lastGoodIndex };
}
