import { ConcordError } from "../../client/errors.ts";
import { entryBytes } from "../../codec/entry.ts";
import { invariant } from "../../raft/assert.ts";
import { type Entry, type Index } from "../../raft/types.ts";
import { type Disk } from "../disk.ts";
import { type LogState } from "../log-state.ts";
import { type LogGroup, type LogIdentity, type LogStats, type LogStore } from "../log-store.ts";
import { encodeWatermark, GROUPS_OFFSET, MEMBER_NAME_BYTES_MAX, SECTOR_BYTES } from "./format.ts";
import { encodeStartedSeal, groupBytesMax, type GroupEncoder, type GroupType, recordsBytesMax } from "./group.ts";
import { entryBytesLimit, type WalSettings } from "./options.ts";
import { factsOf, followRecord, type LogRecord, type Position } from "./record.ts";
import { type LiveSegment, noteIndexes } from "./recover.ts";
import { type PreparedSegment, SegmentPool } from "./segment-pool.ts";

/** A write to come: goes to the disk in one group, with others or alone. */
interface Unit {
  readonly records: readonly LogRecord[];
  readonly bytes: number;
  /** Only the last unit of an append has it. */
  readonly done: Done | undefined;
}

type Done = (error: Error | undefined) => void;

/** The durable log of one member on a disk. `createLog` and `openLog` make it. */
export class WriteAheadLog implements LogStore {
  readonly #settings: WalSettings;
  readonly #directory: string;
  readonly #encoder: GroupEncoder;
  readonly #pool: SegmentPool;
  /** Oldest first; the last one is `#active`. */
  readonly #live: LiveSegment[];
  #active: PreparedSegment;
  /** Where the next group goes. */
  #offset: number;
  /** Checksum of the last group. */
  #crc: number;
  /** State with everything that was accepted. */
  readonly #accepted: LogState;
  /** State with everything that was given to the disk. */
  readonly #written: LogState;
  /** Index of the checkpoint that is durable, and the highest index that was released. Nothing beyond either is recycled. */
  #durableCheckpoint: Index;
  #released: Index = 0;
  readonly #queue: Unit[] = [];
  /** True from the start of a write, or of the wait for a segment, until it is done. */
  #busy = false;
  /** False while the first group of the active segment is on its way: until then the log needs the segment before it. */
  #begun = true;
  #failure: ConcordError | undefined;
  #closing: Done | undefined;
  #closed = false;
  #syncs = 0;
  #groups = 0;
  #groupsSinceWatermark = 0;

  /** @param state what is durable in `active`, whose groups end at `offset` */
  constructor(
    disk: Disk,
    directory: string,
    settings: WalSettings,
    begun: {
      readonly encoder: GroupEncoder;
      readonly state: LogState;
      readonly active: PreparedSegment;
      readonly offset: number;
      readonly crc: number;
      readonly live: LiveSegment[];
    },
  ) {
    this.#settings = settings;
    this.#directory = directory;
    this.#encoder = begun.encoder;
    this.#active = begun.active;
    this.#offset = begun.offset;
    this.#crc = begun.crc;
    this.#live = begun.live;
    this.#written = begun.state;
    this.#accepted = begun.state.copy();
    this.#durableCheckpoint = begun.state.checkpoint.meta.index;
    this.#pool = new SegmentPool(disk, directory, settings, () => this.#written.identity, begun.active.generation);
  }

  /** Begins to prepare the next segment. */
  start(): void {
    this.#pool.prepare();
  }

  /** Gives up a store that was never started. */
  abandon(): void {
    this.#active.file.close();
  }

  append(group: LogGroup, done: Done): void {
    invariant(!this.#closed && this.#closing === undefined, "Log is open");
    if (this.#failure !== undefined) {
      refuse(done, this.#failure);
      return;
    }
    if (group.identity !== undefined) checkName(group.identity);
    this.#accepted.check(group);
    const units = this.#units(group, done);
    this.#accepted.apply(group);
    this.#queue.push(...units);
    this.#flush();
  }

  release(index: Index): void {
    this.#released = Math.max(this.#released, index);
    this.#recycle();
  }

  /** Gives a recovered segment that the log does not need to the pool. */
  discard(name: string): void {
    this.#pool.give(name, 0);
  }

  stats(): LogStats {
    const bytes = this.#live.reduce((sum, segment) => sum + segment.bytes, this.#pool.bytes);
    return { segments: this.#live.length + this.#pool.count, bytes, syncs: this.#syncs, groups: this.#groups };
  }

  close(done: Done): void {
    invariant(this.#closing === undefined && !this.#closed, "A log is closed once");
    this.#closing = done;
    if (!this.#busy) this.#finish();
  }

  /** Cuts an append into units that fit a group. Only what is larger than a group is cut, between entries. */
  #units(group: LogGroup, done: Done): Unit[] {
    const head: LogRecord[] = [];
    const { identity, hardState, checkpoint, entries = [], resetLog = false } = group;
    if (identity !== undefined) head.push({ type: "identity", identity });
    // In this order: what a checkpoint brings is there when the hard state says that it is committed.
    if (checkpoint !== undefined) head.push({ type: "checkpoint", checkpoint, reset: resetLog });
    if (hardState !== undefined) head.push({ type: "hardState", hardState });
    const pieces: Entry[][] = [[]];
    let bytes = recordsBytesMax(head);
    for (const entry of entries) {
      const size = entryBytes(entry);
      invariant(size <= entryBytesLimit(this.#settings.firstSegmentBytes), "Entry fits into a segment");
      if (bytes + size > this.#settings.groupBytes && pieces.at(-1)?.length !== 0) {
        pieces.push([]);
        bytes = 0;
      }
      bytes += size;
      pieces.at(-1)?.push(entry);
    }
    return pieces.map((piece, at) => {
      const records = at === 0 ? head : [];
      if (piece.length > 0) records.push({ type: "entries", entries: piece });
      return makeUnit(records, at === pieces.length - 1 ? done : undefined);
    });
  }

  /** Writes the next group when no write is under way: the one place where a write begins. */
  #flush(): void {
    const first = this.#queue[0];
    if (this.#busy || this.#failure !== undefined || first === undefined) return;
    this.#busy = true;
    if (!this.#fits(first.bytes)) {
      this.#pool.take((error, segment) => {
        if (error !== undefined || segment === undefined) this.#fail(error);
        else this.#seal(segment);
      });
      return;
    }
    const { records, dones } = this.#nextUnits(first.bytes);
    this.#writeGroup("data", records, (error) => this.#completed(error, dones));
  }

  /** Room for these records, and behind them for the seal. */
  #fits(recordBytes: number): boolean {
    return this.#offset + groupBytesMax(recordBytes) + SECTOR_BYTES <= this.#active.bytes;
  }

  /** Takes the units that share the next group off the queue. The first one is known to fit. */
  #nextUnits(firstBytes: number): { records: LogRecord[]; dones: Done[] } {
    const records: LogRecord[] = [];
    const dones: Done[] = [];
    let bytes = 0;
    let taken = 0;
    for (const unit of this.#queue) {
      const together = bytes + unit.bytes;
      if (taken > 0 && (together > Math.max(this.#settings.groupBytes, firstBytes) || !this.#fits(together))) break;
      bytes = together;
      taken += 1;
      records.push(...unit.records);
      if (unit.done !== undefined) dones.push(unit.done);
    }
    this.#queue.splice(0, taken);
    return { records, dones };
  }

  /** Ends the active segment, durably, before the log goes on in the next one. */
  #seal(next: PreparedSegment): void {
    const { generation, name } = this.#active;
    const end = { generation, offset: this.#offset, crc: this.#crc };
    const seal: LogRecord = { type: "seal", next: next.generation, started: false };
    this.#writeGroup("seal", [seal], (error) => {
      if (error !== undefined) {
        next.file.close();
        this.#fail(error);
        return;
      }
      this.#beginSegment(next, end, name);
    });
  }

  /**
   * The first group of a segment holds the state before it and the records that did not fit the last one. It follows the
   * last group in front of the seal: the seal itself is written again once the new segment has begun.
   */
  #beginSegment(next: PreparedSegment, end: Position & { readonly crc: number }, sealed: string): void {
    const previous = { generation: end.generation, offset: end.offset };
    const start: LogRecord = { type: "start", previous, facts: factsOf(this.#written) };
    this.#crc = end.crc;
    this.#active.file.close();
    this.#active = next;
    this.#offset = GROUPS_OFFSET;
    this.#groupsSinceWatermark = 0;
    this.#begun = false;
    const { name, generation, bytes } = next;
    this.#live.push({ name, generation, bytes, maxIndex: 0 });
    const startBytes = recordsBytesMax([start]);
    const first = this.#queue[0]?.bytes ?? 0;
    invariant(this.#fits(startBytes + first), "A unit fits into an empty segment");
    this.#queue.unshift({ records: [start], bytes: startBytes, done: undefined });
    const { records, dones } = this.#nextUnits(startBytes + first);
    this.#writeGroup("start", records, (error) => {
      if (error === undefined) this.#markBegun(sealed, end, next.generation);
      this.#completed(error, dones);
    });
  }

  /** Off the hot path: the loss of everything in the new segment would not be noticed otherwise. */
  #markBegun(sealed: string, end: Position & { readonly crc: number }, next: number): void {
    const bytes = encodeStartedSeal(this.#settings.groupId, end, next);
    this.#pool.rewrite(sealed, bytes, end.offset);
  }

  #writeGroup(type: GroupType, records: readonly LogRecord[], done: Done): void {
    const { file, generation } = this.#active;
    for (const record of records) {
      followRecord(this.#written, record);
      noteIndexes(this.#live, record);
    }
    const place = { groupId: this.#settings.groupId, generation, offset: this.#offset, previousCrc: this.#crc };
    const { bytes, crc } = this.#encoder.encode(place, type, this.#written.hardState.term, records);
    const checkpoint = this.#written.checkpoint.meta.index;
    try {
      this.#maybeWriteWatermark(type);
    } catch (error) {
      // The caller of `append` learns of a failure from its completion alone.
      queueMicrotask(() => done(error as Error));
      return;
    }
    const durable = this.#settings.onWriting();
    file.writeAndSync([bytes], this.#offset, (error) => {
      if (error === undefined) {
        durable();
        this.#syncs += 1;
        this.#groups += 1;
        this.#durableCheckpoint = checkpoint;
      }
      done(error);
    });
    this.#offset += bytes.length;
    this.#crc = crc;
  }

  /** Everything before the group that is about to be written is durable. The sync of that group carries the watermark. */
  #maybeWriteWatermark(type: GroupType): void {
    this.#groupsSinceWatermark += 1;
    if (type === "start" || this.#groupsSinceWatermark < this.#settings.watermarkGroups) return;
    this.#groupsSinceWatermark = 0;
    const watermark = { offset: this.#offset, crc: this.#crc };
    this.#active.file.writeSync(encodeWatermark(this.#active.generation, watermark), SECTOR_BYTES);
  }

  #completed(error: Error | undefined, dones: readonly Done[]): void {
    if (error !== undefined) {
      this.#fail(error, dones);
      return;
    }
    this.#busy = false;
    this.#begun = true;
    // The disk gets its next group first; what the completions append joins the one after it.
    this.#flush();
    const idle = this.#queue.length === 0 && this.#closing !== undefined;
    for (const done of dones) done(undefined);
    this.#recycle();
    if (idle) this.#finish();
  }

  /** Gives segments at the old end to the pool once all their entries are in the durable checkpoint and released. */
  #recycle(): void {
    const limit = Math.min(this.#released, this.#durableCheckpoint);
    for (;;) {
      const oldest = this.#live[0];
      if (oldest === undefined || oldest.maxIndex > limit) return;
      if (this.#live.length <= (this.#begun ? 1 : 2)) return;
      this.#live.shift();
      this.#pool.give(oldest.name, oldest.bytes);
    }
  }

  /** Final: what the kernel does with pages after a failed sync is not known, so nothing is ever tried again. */
  #fail(cause: Error | undefined, dones: readonly Done[] = []): void {
    const failure = storageFailed(`Cannot write to the log "${this.#directory}"`, cause);
    this.#failure = failure;
    const waiting = this.#queue.splice(0).flatMap((unit) => (unit.done === undefined ? [] : [unit.done]));
    this.#busy = false;
    for (const done of [...dones, ...waiting]) done(failure);
    if (this.#closing !== undefined) this.#finish();
  }

  #finish(): void {
    const closing = this.#closing;
    if (this.#closed || closing === undefined) return;
    this.#closed = true;
    const end = (error: Error | undefined): void =>
      this.#pool.close(() => {
        this.#active.file.close();
        closing(this.#failure ?? error);
      });
    if (this.#failure !== undefined) {
      end(undefined);
      return;
    }
    const watermark = { offset: this.#offset, crc: this.#crc };
    const sector = encodeWatermark(this.#active.generation, watermark);
    this.#active.file.writeAndSync([sector], SECTOR_BYTES, (error) =>
      end(error === undefined ? undefined : storageFailed(`Cannot close the log "${this.#directory}"`, error)),
    );
  }
}

function makeUnit(records: readonly LogRecord[], done: Done | undefined): Unit {
  return { records, bytes: recordsBytesMax(records), done };
}

/** @throws InvariantError when the name does not fit into a segment header */
export function checkName(identity: LogIdentity): void {
  const bytes = new TextEncoder().encode(identity.memberName).length;
  invariant(bytes <= MEMBER_NAME_BYTES_MAX, () => `Member name has ${bytes} bytes, at most ${MEMBER_NAME_BYTES_MAX}`);
}

/** The one error of a log whose disk failed. */
export function storageFailed(what: string, cause: Error | undefined): ConcordError {
  return new ConcordError("CONCORD_STORAGE_FAILED", `${what}: ${cause?.message ?? "no reason given"}`, { cause });
}

/** Completions never run inside the call that asked for them. */
function refuse(done: Done, error: Error): void {
  queueMicrotask(() => done(error));
}
