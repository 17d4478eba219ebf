import { CodecError } from "../../codec/bytes.ts";
import { type Page } from "../checkpoint-store.ts";
import { type PageTable, PageTotals } from "./page-table.ts";
import { META_KEY, type MetaRow, readMetaRow, readPageKey, readPageRow } from "./rows.ts";

/** A row that does not count any more: of an earlier generation, or of a write that never became visible. */
export interface ObsoleteRow {
  readonly number: number;
  readonly generation: number;
}

export type Row = readonly [key: Uint8Array, value: Uint8Array];

interface Candidate {
  readonly number: number;
  readonly generation: number;
  readonly row: Row;
}

/**
 * Reads all rows of a checkpoint in key order and finds out whether they are the whole, unharmed checkpoint that the
 * meta row names. Anything else throws a CodecError that says what is wrong and where.
 */
export class CheckpointScan {
  readonly obsolete: ObsoleteRow[] = [];
  readonly totals = new PageTotals();
  readonly #groupId: number;
  readonly #meta: MetaRow | undefined;
  readonly #table: PageTable | undefined;
  #metaSeen = false;
  #candidate: Candidate | undefined;
  #last: ObsoleteRow = { number: -1, generation: -1 };
  #highestGeneration = 0;

  /**
   * @param meta the meta row, read beforehand
   * @param table filled with the visible pages, when given
   */
  constructor(groupId: number, meta: MetaRow | undefined, table: PageTable | undefined) {
    this.#groupId = groupId;
    this.#meta = meta;
    this.#table = table;
  }

  /** Takes the next rows. Returns the visible pages among them (the last one comes with the next call); they own their bytes. */
  rows(rows: readonly Row[]): Page[] {
    const pages: Page[] = [];
    for (const row of rows) this.#row(row, pages);
    return pages;
  }

  /** After the last row. */
  end(): Page[] {
    const pages: Page[] = [];
    this.#decide(pages);
    const { count, bytes, hash } = this.totals;
    if (this.#meta === undefined) {
      // Rows of the first generation alone are what a process leaves that dies in its first write.
      if (this.#metaSeen || this.#highestGeneration > 1)
        throw new CodecError(`The meta row is missing, rows up to generation ${this.#highestGeneration} are there`);
      return pages;
    }
    if (!this.#metaSeen) throw new CodecError("The meta row was found alone and is missing among all rows");
    if (count !== this.#meta.pageCount || bytes !== this.#meta.pageBytes)
      throw new CodecError(
        `${count} pages of ${bytes} bytes are there, the meta row says ${this.#meta.pageCount} of ${this.#meta.pageBytes}`,
      );
    if (hash !== this.#meta.hash) throw new CodecError("The hash over all pages does not hold");
    return pages;
  }

  #row(row: Row, pages: Page[]): void {
    const [key, value] = row;
    if (key.length === META_KEY.length && key[0] === META_KEY[0]) {
      this.#checkMeta(value);
      return;
    }
    const place = readPageKey(key);
    if (place === undefined) throw new CodecError(`Row with the unknown key ${Buffer.from(key).toString("hex")}`);
    const { number, generation } = place;
    if (number < this.#last.number || (number === this.#last.number && generation <= this.#last.generation))
      throw new CodecError(`Page ${number} of generation ${generation} stands out of order`);
    this.#last = place;
    this.#highestGeneration = Math.max(this.#highestGeneration, generation);
    if (this.#candidate !== undefined && this.#candidate.number !== number) this.#decide(pages);
    if (generation > (this.#meta?.generation ?? 0)) {
      this.obsolete.push(place);
      return;
    }
    if (this.#candidate !== undefined) this.obsolete.push(placeOf(this.#candidate));
    this.#candidate = { number, generation, row };
  }

  /** All rows of the candidate's page up to the meta row's generation were seen: it is the one that counts. */
  #decide(pages: Page[]): void {
    if (this.#candidate === undefined) return;
    const [key, value] = this.#candidate.row;
    const { number, generation, removed, crc, bytes } = readPageRow(this.#groupId, key, value);
    this.#candidate = undefined;
    if (removed) {
      this.obsolete.push({ number, generation });
      return;
    }
    const fingerprint = { number, generation, crc, length: bytes.length };
    this.totals.add(fingerprint);
    this.#table?.set(fingerprint);
    pages.push({ number, bytes });
  }

  #checkMeta(value: Uint8Array): void {
    const { generation } = readMetaRow(this.#groupId, value);
    if (generation !== this.#meta?.generation)
      throw new CodecError(`The meta row was read as generation ${this.#meta?.generation ?? 0} and as ${generation}`);
    this.#metaSeen = true;
  }
}

function placeOf({ number, generation }: Candidate): ObsoleteRow {
  return { number, generation };
}
