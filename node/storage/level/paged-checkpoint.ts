import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { ConcordError } from "../../client/errors.ts";
import { CodecError } from "../../codec/bytes.ts";
import { type CheckpointMeta, type LoadedCheckpoint, type Page } from "../checkpoint-store.ts";
import { Database, DamagedFilesError } from "./database.ts";
import { OpenGuard } from "./guard.ts";
import { type JobQueue } from "./job-queue.ts";
import { PageTable, PageTotals } from "./page-table.ts";
import { PendingWrite } from "./pending-write.ts";
import { META_KEY, metaValue, pageKey, readMetaRow } from "./rows.ts";
import { CheckpointScan, type ObsoleteRow, type Row } from "./scan.ts";
import { Witness } from "./witness.ts";

/** Bounds of one batch: about a millisecond of work for the loop, and little for LevelDB to hold twice. */
const BATCH_BYTES_MAX = 1 << 20;
const BATCH_ROWS_MAX = 1000;
const PAGES_PER_TURN = 1000;

/**
 * A checkpoint in a directory: LevelDB under `db`, the `witness` of the last commit and the `opening` marker of the
 * start-up guard beside it.
 *
 * A write is shadow-paged. 1. Its pages go into rows of their own generation, in as many bounded batches as it takes;
 * nobody sees them. 2. `flush` brings them into synced tables. 3. One synced batch, the meta row, makes the generation
 * visible. 4. The witness remembers it. 5. Rows that do not count any more are deleted in bounded batches. A crash before
 * 3 leaves the last checkpoint and garbage of a higher generation, a crash after it the new one and garbage of lower
 * ones; opening finds both and the next write removes them first.
 *
 * One call at a time: the store above sees to that.
 */
export class PagedCheckpoint {
  readonly #path: string;
  readonly #groupId: number;
  readonly #database: Database;
  readonly #guard: OpenGuard;
  readonly #witness: Witness;
  #table = new PageTable();
  #totals = new PageTotals();
  #generation = 0;
  #obsolete: ObsoleteRow[] = [];
  /** False: the fields above mean nothing before the rows were read. */
  #known = false;
  /** A write failed: nothing can be relied on before LevelDB has opened its files anew. */
  #broken = false;
  #damage: string | undefined;
  #stopped = false;

  constructor(path: string, options: { readonly groupId: number; readonly jobs: JobQueue }) {
    this.#path = path;
    this.#groupId = options.groupId;
    this.#database = new Database(join(path, "db"), options.jobs);
    this.#guard = new OpenGuard(join(path, "opening"));
    this.#witness = new Witness(join(path, "witness"), options.groupId);
  }

  /** Bytes of all visible pages. */
  get bytes(): number {
    return this.#totals.bytes;
  }

  /**
   * Before anything else. Damage is not an error here: reading reports it.
   *
   * @throws ConcordError, see `Database.open`
   */
  async open(): Promise<void> {
    const reason = await this.#guard.enter();
    if (reason !== undefined) {
      this.#damage = this.#describe(reason);
      return;
    }
    try {
      await this.#database.open();
    } catch (error) {
      await this.#guard.leave();
      if (!(error instanceof DamagedFilesError)) throw error;
      this.#damage = this.#describe(error.message);
    }
  }

  /** Reads and verifies all rows and hands out the visible pages. */
  read(onPages: (pages: readonly Page[]) => void): Promise<LoadedCheckpoint> {
    return this.#check(() => this.#scan(onPages));
  }

  /** Reads and verifies all rows from the tables, where the last write's rows are moved first. */
  readBack(): Promise<LoadedCheckpoint> {
    return this.#check(async () => {
      await this.#database.flush();
      return this.#scan(() => undefined);
    });
  }

  /** Starts a write, after the garbage of former ones was removed. */
  async begin(): Promise<PendingWrite> {
    if (this.#broken && this.#damage === undefined) await this.#attempt(() => this.#reopen());
    if (!this.#known) await this.read(() => undefined);
    if (this.#damage !== undefined)
      throw new ConcordError("CONCORD_STORAGE_DAMAGED", `${this.#damage}; clear it before writing`);
    await this.#attempt(() => this.#removeObsolete());
    return new PendingWrite(this.#groupId, this.#generation + 1, this.#table, this.#totals);
  }

  put(write: PendingWrite, pages: readonly Page[]): Promise<void> {
    return this.#attempt(() => this.#writeRows(pages, (page) => write.put(page)));
  }

  remove(write: PendingWrite, numbers: readonly number[]): Promise<void> {
    return this.#attempt(() => this.#writeRows(numbers, (number) => write.remove(number)));
  }

  commit(write: PendingWrite, meta: CheckpointMeta): Promise<void> {
    return this.#attempt(async () => {
      const { generation } = write;
      const value = metaValue(this.#groupId, write.metaRow(meta));
      await this.#database.flush();
      await this.#database.write((batch) => void batch.put(META_KEY, value), { sync: true });
      await this.#witness.write({ generation, index: meta.snapshot.index });
      this.#generation = generation;
      this.#totals = write.totals;
    });
  }

  /**
   * After a commit: brings the table up to date and deletes what does not count any more. May fail: then the next write
   * reads the rows again.
   */
  async settle(write: PendingWrite): Promise<void> {
    const work = async (): Promise<void> => {
      let pages = 0;
      for (const rows of write.apply()) {
        this.#obsolete.push(...rows);
        pages += 1;
        if (pages % PAGES_PER_TURN === 0) await setImmediate();
        if (this.#stopped) return;
      }
      await this.#removeObsolete();
    };
    await this.#attempt(work).catch(() => undefined);
  }

  /** Gives a write up. What cannot be deleted now is found again when the rows are read. */
  async discard(write: PendingWrite): Promise<void> {
    if (this.#broken || this.#stopped) return;
    for (const row of write.rows()) this.#obsolete.push(row);
    await this.#attempt(() => this.#removeObsolete()).catch(() => undefined);
  }

  /** Removes everything, damage included. */
  clear(): Promise<void> {
    return this.#attempt(async () => {
      this.#broken = true;
      await this.#database.destroy();
      await this.#witness.remove();
      await this.#guard.forget();
      await this.#database.open();
      this.#table = new PageTable();
      this.#totals = new PageTotals();
      this.#generation = 0;
      this.#obsolete = [];
      this.#damage = undefined;
      this.#known = true;
      this.#broken = false;
    });
  }

  /** Clean-up that is under way ends at its next batch. */
  stop(): void {
    this.#stopped = true;
  }

  async close(): Promise<void> {
    await this.#database.close();
    await this.#guard.leave();
  }

  async #check(read: () => Promise<LoadedCheckpoint>): Promise<LoadedCheckpoint> {
    if (this.#damage !== undefined) return { type: "damaged", reason: this.#damage };
    try {
      if (this.#broken) await this.#reopen();
      return await read();
    } catch (error) {
      if (!(error instanceof CodecError || error instanceof DamagedFilesError || ConcordError.is(error))) throw error;
      const reason = this.#describe(error.message);
      // A machine that has no room or no rights just now says nothing about the files.
      if (!ConcordError.is(error)) this.#damage = reason;
      return { type: "damaged", reason };
    } finally {
      await this.#guard.leave();
    }
  }

  async #scan(onPages: (pages: readonly Page[]) => void): Promise<LoadedCheckpoint> {
    const witnessed = await this.#witness.read();
    const value = await this.#database.get(META_KEY);
    const row = value === undefined ? undefined : readMetaRow(this.#groupId, value);
    const generation = row?.generation ?? 0;
    if (witnessed !== undefined && generation < witnessed.generation)
      throw new CodecError(
        `Generation ${witnessed.generation} (index ${witnessed.index}) was committed, generation ${generation} was found`,
      );
    if (this.#known && generation !== this.#generation)
      throw new CodecError(`Generation ${this.#generation} was committed, generation ${generation} was found`);
    const table = new PageTable();
    const scan = new CheckpointScan(this.#groupId, row, table);
    await this.#database.scan((rows) => {
      const pages = scan.rows(rows);
      if (pages.length > 0) onPages(pages);
    });
    const last = scan.end();
    if (last.length > 0) onPages(last);
    this.#table = table;
    this.#totals = scan.totals;
    this.#generation = generation;
    this.#obsolete = scan.obsolete;
    this.#known = true;
    return row === undefined ? { type: "empty" } : { type: "loaded", meta: row.meta };
  }

  async #reopen(): Promise<void> {
    await this.#database.close();
    await this.#database.open();
    this.#known = false;
    this.#broken = false;
  }

  async #writeRows<T>(items: readonly T[], rowOf: (item: T) => Row | undefined): Promise<void> {
    for (let next = 0; next < items.length;) {
      const fill = (batch: { put(key: Uint8Array, value: Uint8Array): unknown }): void => {
        let bytes = 0;
        for (let rows = 0; next < items.length && rows < BATCH_ROWS_MAX && bytes < BATCH_BYTES_MAX; rows += 1) {
          const row = rowOf(items[next++] as T);
          if (row === undefined) continue;
          batch.put(row[0], row[1]);
          bytes += row[1].length;
        }
      };
      await this.#database.write(fill, { sync: false });
    }
  }

  /** All rows of one page go in one batch: a mark that a page is gone must not go before what it hides. */
  async #removeObsolete(): Promise<void> {
    const rows = this.#obsolete;
    while (rows.length > 0 && !this.#stopped) {
      let start = Math.max(0, rows.length - BATCH_ROWS_MAX);
      while (start > 0 && rows[start]?.number === rows[start - 1]?.number) start -= 1;
      const fill = (batch: { del(key: Uint8Array): unknown }): void => {
        for (const { number, generation } of rows.slice(start)) batch.del(pageKey(number, generation));
      };
      await this.#database.write(fill, { sync: false });
      rows.length = start;
    }
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#broken = true;
      if (ConcordError.is(error)) throw error;
      const text = `Cannot write ${this.#describe(error instanceof Error ? error.message : String(error))}`;
      throw new ConcordError("CONCORD_STORAGE_FAILED", text, { cause: error });
    }
  }

  #describe(reason: string): string {
    return `Checkpoint "${this.#path}": ${reason}`;
  }
}
