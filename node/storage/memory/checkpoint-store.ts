import { ConcordError } from "../../client/errors.ts";
import { fingerprint, type PageFingerprint, PageSum } from "../../codec/page-hash.ts";
import { invariant } from "../../raft/assert.ts";
import {
  type CheckpointFactory,
  type CheckpointMeta,
  type CheckpointStore,
  type CheckpointWriter,
  type LoadedCheckpoint,
  type Page,
} from "../checkpoint-store.ts";
import { WriterCalls } from "../writer-calls.ts";

/** Runs a function later. The order in which such functions run is the simulator's choice. */
export type Schedule = (run: () => void) => void;

/** Pages handed out in one batch of a load. */
const LOAD_BATCH_PAGES = 16;

/**
 * The checkpoint directories of one member, in memory: they outlive the stores that are opened on them, as files outlive
 * a process. For tests, the simulator and nodes without a disk.
 *
 * A commit that has not completed may or may not survive a crash; everything before a commit never does.
 */
export class MemoryCheckpoints {
  readonly #schedule: Schedule;
  readonly #directories = new Map<string, Directory>();
  #process = new Process();

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  /** The directories as the present process sees them. */
  factory(): CheckpointFactory {
    const process = this.#process;
    return {
      open: (name, done) => this.#later(process, () => this.#open(process, name, done)),
      destroy: (name, done) =>
        this.#later(process, () => {
          if (process.open.has(name)) {
            done(locked(name));
            return;
          }
          this.#directories.delete(name);
          done(undefined);
        }),
      list: () => [...this.#directories.keys()].sort((a, b) => numberOf(a) - numberOf(b)),
    };
  }

  /**
   * Kills the present process: none of its completions comes any more, and its factories and stores do nothing.
   * `keepUnfinishedCommits`: commits that were under way reached the disk, though nobody was told.
   */
  crash(options: { readonly keepUnfinishedCommits: boolean }): void {
    this.#process.alive = false;
    for (const directory of this.#directories.values()) {
      if (options.keepUnfinishedCommits) directory.unfinished?.();
      directory.unfinished = undefined;
    }
    this.#process = new Process();
  }

  /** All directories were moved away; none is open. */
  setAside(): void {
    invariant(this.#process.open.size === 0, "A checkpoint that is open is set aside");
    this.#directories.clear();
  }

  /** Page numbers of the last committed checkpoint, ascending. */
  pages(name: string): number[] {
    return [...this.#directory(name).pages.keys()].sort((a, b) => a - b);
  }

  /** Damages a page: one bit of it changes. */
  flipBit(name: string, page: number, bit: number): void {
    const stored = this.#directory(name).pages.get(page);
    invariant(stored !== undefined && stored.bytes.length > 0, "There is no such page to damage");
    const at = Math.floor(bit / 8) % stored.bytes.length;
    stored.bytes[at] = (stored.bytes[at] ?? 0) ^ (1 << (bit % 8));
  }

  /** Damages the checkpoint: a page is gone. */
  losePage(name: string, page: number): void {
    const lost = this.#directory(name).pages.delete(page);
    invariant(lost, "There is no such page to lose");
  }

  /** Damages the checkpoint: the meta row is gone. */
  loseMeta(name: string): void {
    this.#directory(name).meta = undefined;
  }

  #directory(name: string): Directory {
    const directory = this.#directories.get(name);
    invariant(directory !== undefined, "There is no such checkpoint directory");
    return directory;
  }

  #open(process: Process, name: string, done: Parameters<CheckpointFactory["open"]>[1]): void {
    if (process.open.has(name)) {
      done(locked(name), undefined);
      return;
    }
    let directory = this.#directories.get(name);
    if (directory === undefined) this.#directories.set(name, (directory = new Directory()));
    process.open.add(name);
    const later = (run: () => void): void => this.#later(process, run);
    done(undefined, new MemoryCheckpointStore(directory, later, () => process.open.delete(name)));
  }

  #later(process: Process, run: () => void): void {
    if (process.alive)
      this.#schedule(() => {
        if (process.alive) run();
      });
  }
}

class Process {
  alive = true;
  readonly open = new Set<string>();
}

interface StoredPage extends PageFingerprint {
  readonly bytes: Uint8Array;
}

/** What lies on the "disk". */
class Directory {
  meta: { readonly meta: CheckpointMeta; readonly count: number; readonly hash: bigint } | undefined;
  readonly pages = new Map<number, StoredPage>();
  sum = new PageSum();
  bytes = 0;
  /** Set while a commit is under way: makes it happen. */
  unfinished: (() => void) | undefined;

  replace(number: number, page: StoredPage | undefined): void {
    const old = this.pages.get(number);
    if (old !== undefined) {
      this.sum.subtract(old);
      this.bytes -= old.length;
      this.pages.delete(number);
    }
    if (page === undefined) return;
    this.sum.add(page);
    this.bytes += page.length;
    this.pages.set(number, page);
  }

  clear(): void {
    this.meta = undefined;
    this.pages.clear();
    this.sum = new PageSum();
    this.bytes = 0;
  }

  check(): LoadedCheckpoint {
    if (this.meta === undefined) {
      if (this.pages.size === 0) return { type: "empty" };
      return { type: "damaged", reason: `The meta row is missing, ${this.pages.size} pages are there` };
    }
    const { meta, count, hash } = this.meta;
    const sum = new PageSum();
    for (const [number, { bytes, crc }] of this.pages) {
      const found = fingerprint(number, 0, bytes);
      if (found.crc !== crc) return { type: "damaged", reason: `The checksum of page ${number} does not hold` };
      sum.add(found);
    }
    if (this.pages.size !== count)
      return { type: "damaged", reason: `${this.pages.size} pages are there, the meta row says ${count}` };
    if (sum.value !== hash) return { type: "damaged", reason: "The hash over all pages does not hold" };
    return { type: "loaded", meta: { snapshot: meta.snapshot, machine: new Uint8Array(meta.machine) } };
  }
}

type Done = (error: Error | undefined) => void;

class MemoryCheckpointStore implements CheckpointStore {
  readonly #directory: Directory;
  readonly #later: Schedule;
  readonly #release: () => void;
  /** The first one runs. A scheduler may run what it holds in any order, but a store does one thing after the other. */
  readonly #jobs: ((finish: () => void) => void)[] = [];
  #writer: WriterCalls | undefined;
  #checked: LoadedCheckpoint | undefined;
  #closed = false;

  constructor(directory: Directory, later: Schedule, release: () => void) {
    this.#directory = directory;
    this.#later = later;
    this.#release = release;
  }

  load(onPages: (pages: readonly Page[]) => void, done: (result: LoadedCheckpoint) => void): void {
    this.#mustBeIdle();
    this.#enqueue((finish) => {
      const pages = [...this.#directory.pages];
      const next = (from: number): void => {
        const batch = pages.slice(from, from + LOAD_BATCH_PAGES);
        if (batch.length === 0) {
          finish();
          done(this.#check());
          return;
        }
        onPages(batch.map(([number, { bytes }]) => ({ number, bytes: new Uint8Array(bytes) })));
        this.#later(() => next(from + batch.length));
      };
      next(0);
    });
  }

  verify(done: (result: LoadedCheckpoint) => void): void {
    this.#mustBeIdle();
    this.#enqueue((finish) => {
      finish();
      done(this.#check());
    });
  }

  begin(): CheckpointWriter {
    this.#mustBeIdle();
    const calls = new WriterCalls();
    this.#writer = calls;
    const changes = new Map<number, StoredPage | undefined>();
    return {
      put: (pages, done) => {
        calls.enter("put");
        const copies = pages.map(({ number, bytes }) => ({
          ...fingerprint(number, 0, bytes),
          bytes: new Uint8Array(bytes),
        }));
        this.#write(calls, done, () => copies.forEach((page) => changes.set(page.number, page)));
      },
      remove: (numbers, done) => {
        calls.enter("remove");
        const copies = [...numbers];
        this.#write(calls, done, () => copies.forEach((number) => changes.set(number, undefined)));
      },
      commit: (meta, done) => {
        calls.enter("commit");
        this.#commit(calls, changes, meta, done);
      },
      abort: () => {
        if (calls.end()) this.#writer = undefined;
      },
    };
  }

  clear(done: Done): void {
    this.#mustBeIdle();
    this.#enqueue((finish) => {
      this.#directory.clear();
      this.#checked = undefined;
      finish();
      done(undefined);
    });
  }

  bytes(): number {
    return this.#checked === undefined ? 0 : this.#directory.bytes;
  }

  close(done: Done): void {
    const first = !this.#closed;
    this.#closed = true;
    this.#enqueue((finish) => {
      if (first) this.#release();
      finish();
      done(undefined);
    });
  }

  #write(calls: WriterCalls, done: Done, work: () => void): void {
    const closed = this.#closed;
    this.#enqueue((finish) => {
      const error = closed ? stopped() : this.#writeError();
      if (error === undefined) work();
      calls.leave();
      finish();
      done(error);
    });
  }

  #commit(
    calls: WriterCalls,
    changes: ReadonlyMap<number, StoredPage | undefined>,
    { snapshot, machine }: CheckpointMeta,
    done: Done,
  ): void {
    const directory = this.#directory;
    const meta = { snapshot, machine: new Uint8Array(machine) };
    const closed = this.#closed;
    // A crash may come between the write and its completion.
    directory.unfinished = (): void => {
      if (closed) return;
      for (const [number, page] of changes) directory.replace(number, page);
      directory.meta = { meta, count: directory.pages.size, hash: directory.sum.value };
    };
    this.#enqueue((finish) => {
      const error = closed ? stopped() : this.#writeError();
      if (error === undefined) directory.unfinished?.();
      directory.unfinished = undefined;
      calls.leave();
      if (error === undefined && calls.end()) this.#writer = undefined;
      finish();
      done(error);
    });
  }

  #enqueue(job: (finish: () => void) => void): void {
    this.#jobs.push(job);
    if (this.#jobs.length === 1) this.#runFirst();
  }

  #runFirst(): void {
    this.#later(() =>
      this.#jobs[0]?.(() => {
        this.#jobs.shift();
        if (this.#jobs.length > 0) this.#runFirst();
      }),
    );
  }

  #check(): LoadedCheckpoint {
    this.#checked = this.#directory.check();
    return this.#checked;
  }

  #mustBeIdle(): void {
    invariant(!this.#closed, "Checkpoint store was used after close");
    invariant(this.#writer === undefined, "Checkpoint store was used while a writer is open");
  }

  #writeError(): Error | undefined {
    const { type } = this.#checked ?? this.#check();
    if (type !== "damaged") return undefined;
    return new ConcordError("CONCORD_STORAGE_DAMAGED", "The checkpoint is damaged; clear it before writing");
  }
}

function numberOf(directory: string): number {
  return Number(/\d+$/.exec(directory)?.[0] ?? 0);
}

function stopped(): ConcordError {
  return new ConcordError("CONCORD_STOPPED", "The checkpoint store was closed");
}

function locked(name: string): ConcordError {
  return new ConcordError("CONCORD_DATA_DIR_LOCKED", `Checkpoint "${name}" is open`);
}
