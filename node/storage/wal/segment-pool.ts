import { invariant } from "../../raft/assert.ts";
import { type Disk, type DiskFile } from "../disk.ts";
import { type LogIdentity } from "../log-store.ts";
import { encodeSegmentHeader, GROUPS_OFFSET, segmentName } from "./format.ts";
import { type WalSettings } from "./options.ts";

/** A segment that is ready to take its first group: zero-filled, with its header, under its final name, all durable. */
export interface PreparedSegment {
  readonly name: string;
  readonly generation: number;
  readonly bytes: number;
  readonly file: DiskFile;
}

type Taken = (error: Error | undefined, segment: PreparedSegment | undefined) => void;
type Done = (error: Error | undefined) => void;
type Job = (done: Done) => void;

/** Name of a file on its way to become a segment. Whatever has it when a log is opened is removed. */
export const PREPARING_NAME = "preparing.tmp";

/**
 * Prepares segments ahead of need and takes released ones back. All of it off the hot path: one small step at a time,
 * each a completion of the disk.
 *
 * The order of the steps is what a crash cannot break: a released segment loses its name, durably, before its bytes
 * change; zeros and header are durable before a file gets the name of a segment.
 */
export class SegmentPool {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #settings: WalSettings;
  readonly #identity: () => LogIdentity;
  #generation: number;
  #nextBytes: number;
  #ready: PreparedSegment | undefined;
  #wanted = false;
  #taker: Taken | undefined;
  #recyclable: string | undefined;
  readonly #rewrites: { readonly name: string; readonly bytes: Uint8Array; readonly position: number }[] = [];
  readonly #removable: string[] = [];
  #running = false;
  #closed: (() => void) | undefined;

  /**
   * @param identity whose segments these are, asked anew for each
   * @param generation the highest one in use
   */
  constructor(disk: Disk, directory: string, settings: WalSettings, identity: () => LogIdentity, generation: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#settings = settings;
    this.#identity = identity;
    this.#generation = generation;
    this.#nextBytes = Math.min(2 * settings.firstSegmentBytes, settings.segmentBytes);
  }

  /** Files beyond the segments in use. */
  get count(): number {
    return (this.#ready === undefined ? 0 : 1) + (this.#recyclable === undefined ? 0 : 1) + this.#removable.length;
  }

  get bytes(): number {
    return (this.#ready?.bytes ?? 0) + (this.#recyclable === undefined ? 0 : this.#settings.segmentBytes);
  }

  /** Sees to it that a segment will be ready. */
  prepare(): void {
    this.#wanted = true;
    this.#run();
  }

  /** Hands over a prepared segment, at once where one is ready. An error says that none could be made when it was needed. */
  take(taken: Taken): void {
    invariant(this.#taker === undefined, "One segment is taken at a time");
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready !== undefined) {
      taken(undefined, ready);
      this.prepare();
      return;
    }
    this.#taker = taken;
    this.prepare();
  }

  /** Replaces bytes of a segment that the log has left. Comes before the segment can be recycled. */
  rewrite(name: string, bytes: Uint8Array, position: number): void {
    this.#rewrites.push({ name, bytes, position });
    this.#run();
  }

  /** Takes back a segment that the log no longer needs. */
  give(name: string, bytes: number): void {
    if (bytes === this.#settings.segmentBytes && this.#recyclable === undefined) this.#recyclable = name;
    else this.#removable.push(name);
    this.#run();
  }

  /** Stops after the step that is under way. What is half prepared stays behind and is removed by the next opening. */
  close(done: () => void): void {
    this.#closed = () => {
      this.#ready?.file.close();
      this.#ready = undefined;
      done();
    };
    if (!this.#running) this.#closed();
  }

  /** Starts the next job when none is running. Failures of removals are not reported: the next opening tries again. */
  #run(): void {
    if (this.#running || this.#closed !== undefined) return;
    const rewrite = this.#rewrites.shift();
    if (rewrite !== undefined) {
      this.#start((done) => this.#rewrite(rewrite.name, rewrite.bytes, rewrite.position, done));
      return;
    }
    if (this.#wanted && this.#ready === undefined) {
      this.#wanted = false;
      this.#start((done) => this.#makeSegment(done));
      return;
    }
    const name = this.#removable.shift();
    if (name !== undefined)
      this.#start((done) => this.#disk.removeAndSync(`${this.#directory}/${name}`, () => done(undefined)));
  }

  #start(job: Job): void {
    this.#running = true;
    const asked = this.#taker !== undefined;
    job((error) => {
      this.#running = false;
      if (this.#closed !== undefined) {
        this.#closed();
        return;
      }
      const taker = this.#taker;
      // A failure from before the segment was needed does not count: what failed in the background is tried once more.
      if (taker !== undefined && (asked || error === undefined) && (error !== undefined || this.#ready !== undefined)) {
        this.#taker = undefined;
        const ready = this.#ready;
        this.#ready = undefined;
        this.#wanted = error === undefined;
        taker(error, ready);
      }
      this.#run();
    });
  }

  /** A failure is not reported: the seal only adds a check. The log itself meets a failing disk soon enough. */
  #rewrite(name: string, bytes: Uint8Array, position: number, done: Done): void {
    let file: DiskFile;
    try {
      file = this.#disk.open(`${this.#directory}/${name}`);
    } catch {
      done(undefined);
      return;
    }
    file.writeAndSync([bytes], position, () => {
      file.close();
      done(undefined);
    });
  }

  #makeSegment(done: Done): void {
    const preparing = `${this.#directory}/${PREPARING_NAME}`;
    const recycled = this.#recyclable;
    this.#recyclable = undefined;
    if (recycled === undefined) {
      this.#fill(preparing, this.#nextBytes, done);
      return;
    }
    this.#disk.renameAndSync(`${this.#directory}/${recycled}`, preparing, (error) => {
      if (error !== undefined) done(error);
      else this.#fill(preparing, this.#settings.segmentBytes, done);
    });
  }

  /** Writes zeros slice by slice, then the header, then gives the file its name. */
  #fill(preparing: string, bytes: number, done: Done): void {
    let file: DiskFile;
    try {
      file = this.#disk.open(preparing);
    } catch (error) {
      done(error as Error);
      return;
    }
    const generation = this.#generation + 1;
    const zeros = new Uint8Array(Math.min(this.#settings.zeroSliceBytes, bytes));
    const finish = (error: Error | undefined): void => {
      if (error !== undefined) this.#giveUp(file, preparing, error, done);
      else this.#name(file, preparing, { generation, bytes }, done);
    };
    const next = (position: number): void => {
      if (position >= bytes) {
        const header = encodeSegmentHeader({ generation, bytes, identity: this.#identity() });
        file.writeAndSync([header], 0, finish);
        return;
      }
      file.writeAndSync([zeros.subarray(0, bytes - position)], position, (error) => {
        if (error !== undefined || this.#closed !== undefined) finish(error ?? new Error("Log is closed"));
        else next(position + zeros.length);
      });
    };
    // The sector of an old header goes first with the rest: the file has no name that counts.
    next(0);
  }

  #name(file: DiskFile, preparing: string, made: { generation: number; bytes: number }, done: Done): void {
    const name = segmentName(made.generation);
    this.#disk.renameAndSync(preparing, `${this.#directory}/${name}`, (error) => {
      // The name may have become durable all the same, so the generation is used up.
      this.#generation = made.generation;
      this.#nextBytes = Math.min(2 * made.bytes, this.#settings.segmentBytes);
      if (error === undefined) this.#ready = { name, file, ...made };
      else file.close();
      done(error);
    });
  }

  /** A file whose write or sync failed is never written again. */
  #giveUp(file: DiskFile, preparing: string, error: Error, done: Done): void {
    file.close();
    this.#disk.removeAndSync(preparing, () => done(error));
  }
}

/**
 * Makes a segment with its first group at once. For creating and opening a log: when it returns, both are durable.
 *
 * @param encodeGroup encodes the first group, to stand at the given offset
 */
export function createSegment(
  disk: Disk,
  directory: string,
  settings: WalSettings,
  made: {
    readonly generation: number;
    readonly bytes: number;
    readonly identity: LogIdentity;
    readonly group: Uint8Array;
  },
): PreparedSegment {
  const preparing = `${directory}/${PREPARING_NAME}`;
  const { generation, bytes, identity } = made;
  const name = segmentName(generation);
  const file = disk.open(preparing);
  try {
    const zeros = new Uint8Array(Math.min(settings.zeroSliceBytes, bytes));
    for (let position = 0; position < bytes; position += zeros.length)
      file.writeSync(zeros.subarray(0, bytes - position), position);
    file.writeSync(encodeSegmentHeader({ generation, bytes, identity }), 0);
    file.writeSync(made.group, GROUPS_OFFSET);
    file.syncSync();
    disk.renameDurably(preparing, `${directory}/${name}`);
  } catch (error) {
    file.close();
    throw error;
  }
  return { name, generation, bytes, file };
}
