import { type SnapshotMeta } from "../raft/types.ts";
import { ByteReader, ByteWriter, CodecError } from "./bytes.ts";
import { crc32 } from "./crc.ts";
import { copyBytes, readSnapshotMeta, writeSnapshotMeta } from "./message-fields.ts";
import { fingerprint, PageSum } from "./page-hash.ts";

/**
 * A machine's state as a stream of bytes, for peers and backups:
 *
 *     header   magic (8) │ format version u8 │ body length u32 │ body: group u32, cluster id, index, term,
 *              configuration, machine's meta (u32 length, bytes) │ CRC u32
 *     page     1 (u8) │ page number u53 │ length u32 │ bytes │ CRC u32                       any number of times
 *     trailer  2 (u8) │ number of pages u53 │ their bytes u53 │ hash of all pages u64 │ CRC u32
 *
 * Each CRC continues the one before it, so a record is only right in its place. The stream is cut into chunks anywhere;
 * chunks say nothing about records.
 */
export const SNAPSHOT_VERSION = 1;

/** Bytes in a chunk; the last one is shorter. */
export const SNAPSHOT_CHUNK_BYTES = 256 << 10;
/** A page holds at least one row, and a row's history may be long. Far above what the machine makes. */
export const SNAPSHOT_PAGE_BYTES_MAX = 64 << 20;
/** Longest header. Members, alarms and counters take a few KiB. */
export const SNAPSHOT_HEADER_BYTES_MAX = 16 << 20;

/** What a snapshot is of. The receiver compares group and cluster with its own. */
export interface SnapshotHeader {
  readonly groupId: number;
  /** 16 hex digits. */
  readonly clusterId: string;
  readonly snapshot: SnapshotMeta;
  /** The machine's own words about itself, opaque here. */
  readonly machine: Uint8Array;
}

export interface SnapshotPage {
  readonly number: number;
  readonly bytes: Uint8Array;
}

const MAGIC = new TextEncoder().encode("CONCSNAP");
const PAGE_TAG = 1;
const TRAILER_TAG = 2;
const PREFIX_BYTES = MAGIC.length + 1 + 4;
const CRC_BYTES = 4;
const PAGE_HEAD_BYTES = 1 + 8 + 4;
const TRAILER_BYTES = 1 + 8 + 8 + 8;

/** Pages in, chunks out. */
export class SnapshotEncoder {
  readonly #chunkBytes: number;
  readonly #writer = new ByteWriter();
  readonly #sum = new PageSum();
  #chunk: Uint8Array;
  #filled = 0;
  #ready: Uint8Array[] = [];
  #crc = 0;
  #pages = 0;
  #bytes = 0;

  /** @param options `chunkBytes`: size of a chunk. @default 256 KiB */
  constructor(header: SnapshotHeader, options: { readonly chunkBytes?: number } = {}) {
    this.#chunkBytes = options.chunkBytes ?? SNAPSHOT_CHUNK_BYTES;
    this.#chunk = new Uint8Array(this.#chunkBytes);
    const body = new ByteWriter().u32(header.groupId).id(header.clusterId);
    writeSnapshotMeta(body, header.snapshot);
    body.bytes(header.machine);
    this.#record([this.#writer.raw(MAGIC).u8(SNAPSHOT_VERSION).bytes(body.view()).view()]);
  }

  /** Takes pages in any order. Returns the chunks that are full now, often none. */
  push(pages: readonly SnapshotPage[]): Uint8Array[] {
    for (const { number, bytes } of pages) {
      this.#sum.add(fingerprint(number, 0, bytes));
      this.#pages += 1;
      this.#bytes += bytes.length;
      this.#record([this.#writer.reset().u8(PAGE_TAG).u53(number).u32(bytes.length).view(), bytes]);
    }
    return this.#take();
  }

  /** Ends the stream. Returns at least one chunk; the last of them is the last of the stream. */
  finish(): Uint8Array[] {
    const trailer = this.#writer.reset().u8(TRAILER_TAG).u53(this.#pages).u53(this.#bytes).u64(this.#sum.value);
    this.#record([trailer.view()]);
    if (this.#filled > 0) this.#ready.push(this.#chunk.subarray(0, this.#filled));
    this.#filled = 0;
    return this.#take();
  }

  #record(parts: readonly Uint8Array[]): void {
    for (const part of parts) {
      this.#crc = crc32(part, this.#crc);
      this.#append(part);
    }
    this.#append(this.#writer.reset().u32(this.#crc).view());
  }

  #append(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const part = bytes.subarray(from, from + this.#chunkBytes - this.#filled);
      this.#chunk.set(part, this.#filled);
      this.#filled += part.length;
      from += part.length;
      if (this.#filled < this.#chunkBytes) continue;
      this.#ready.push(this.#chunk);
      this.#chunk = new Uint8Array(this.#chunkBytes);
      this.#filled = 0;
    }
  }

  #take(): Uint8Array[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }
}

/** Chunks in, pages out. A page is handed out when its own checksum held; the whole is only known by `finish`. */
export class SnapshotDecoder {
  readonly #restBytesMax: number;
  readonly #sum = new PageSum();
  #buffer = new Uint8Array(2 * SNAPSHOT_CHUNK_BYTES);
  #start = 0;
  #end = 0;
  #header: SnapshotHeader | undefined;
  #ended = false;
  #failure: CodecError | undefined;
  #crc = 0;
  #pages = 0;
  #bytes = 0;

  /** @param options `restBytesMax`: bytes that may stand behind the end. @default 0 */
  constructor(options: { readonly restBytesMax?: number } = {}) {
    this.#restBytesMax = options.restBytesMax ?? 0;
  }

  /** What came behind the end. */
  get rest(): Uint8Array {
    return this.#ended ? this.#buffer.subarray(this.#start, this.#end) : this.#buffer.subarray(0, 0);
  }

  /** Undefined until its last byte has come. */
  get header(): SnapshotHeader | undefined {
    return this.#header;
  }

  /**
   * Takes the next chunk, of any size; it may be reused after the call.
   *
   * @returns Pages that are whole now. They own their bytes.
   * @throws CodecError when the stream is damaged; every later call throws it too.
   */
  push(chunk: Uint8Array): SnapshotPage[] {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#keep(chunk);
      const pages: SnapshotPage[] = [];
      while (this.#advance(pages));
      return pages;
    } catch (error) {
      if (error instanceof CodecError) this.#failure = error;
      throw error;
    }
  }

  /**
   * Call after the last chunk.
   *
   * @throws CodecError when the stream is damaged or its end is missing.
   */
  finish(): SnapshotHeader {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#ended || this.#header === undefined)
      throw new CodecError(`Snapshot ends early, after ${this.#pages} pages and without a trailer`);
    return this.#header;
  }

  #keep(chunk: Uint8Array): void {
    const kept = this.#end - this.#start;
    if (this.#end + chunk.length > this.#buffer.length) {
      const room = kept + chunk.length;
      const buffer = room > this.#buffer.length ? new Uint8Array(2 * room) : this.#buffer;
      buffer.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = buffer;
      this.#start = 0;
      this.#end = kept;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Reads one record if it is whole. False: more bytes are needed. */
  #advance(pages: SnapshotPage[]): boolean {
    const available = this.#buffer.subarray(this.#start, this.#end);
    if (this.#ended) {
      if (available.length > this.#restBytesMax)
        throw new CodecError(`${available.length} bytes behind the end of the snapshot`);
      return false;
    }
    const length = this.#header === undefined ? headerLength(available) : recordLength(available);
    if (length === undefined || available.length < length + CRC_BYTES) return false;
    const record = available.subarray(0, length);
    this.#crc = crc32(record, this.#crc);
    const crc = new ByteReader(available.subarray(length, length + CRC_BYTES)).u32();
    const what = this.#header === undefined ? "header" : `record behind page ${this.#pages}`;
    if (crc !== this.#crc) throw new CodecError(`Snapshot is damaged: checksum of the ${what} does not hold`);
    if (this.#header === undefined) this.#header = readHeader(record);
    else if (record[0] === PAGE_TAG) pages.push(this.#readPage(record));
    else this.#readTrailer(record);
    this.#start += length + CRC_BYTES;
    return true;
  }

  #readPage(record: Uint8Array): SnapshotPage {
    const reader = new ByteReader(record.subarray(1));
    const page = { number: reader.u53(), bytes: copyBytes(reader.bytes()) };
    this.#sum.add(fingerprint(page.number, 0, page.bytes));
    this.#pages += 1;
    this.#bytes += page.bytes.length;
    return page;
  }

  #readTrailer(record: Uint8Array): void {
    const reader = new ByteReader(record.subarray(1));
    const [pages, bytes, hash] = [reader.u53(), reader.u53(), reader.u64()];
    if (pages !== this.#pages || bytes !== this.#bytes)
      throw new CodecError(
        `Snapshot has ${this.#pages} pages of ${this.#bytes} bytes, its trailer says ${pages} of ${bytes}`,
      );
    if (hash !== this.#sum.value) throw new CodecError("Snapshot is damaged: hash over all pages does not hold");
    this.#ended = true;
  }
}

/** Length of the header before its checksum, or undefined when too little of it has come. */
function headerLength(bytes: Uint8Array): number | undefined {
  const seen = Math.min(bytes.length, MAGIC.length);
  for (let i = 0; i < seen; i += 1) if (bytes[i] !== MAGIC[i]) throw new CodecError("Not a snapshot of Concord");
  const version = bytes[MAGIC.length];
  if (version !== undefined && version !== SNAPSHOT_VERSION)
    throw new CodecError(`Snapshot has format version ${version}, wanted ${SNAPSHOT_VERSION}`);
  if (bytes.length < PREFIX_BYTES) return undefined;
  const body = new ByteReader(bytes.subarray(MAGIC.length + 1)).u32();
  if (body > SNAPSHOT_HEADER_BYTES_MAX)
    throw new CodecError(`Snapshot header of ${body} bytes, at most ${SNAPSHOT_HEADER_BYTES_MAX} are allowed`);
  return PREFIX_BYTES + body;
}

/** Length of a page or of the trailer before its checksum, or undefined when too little of it has come. */
function recordLength(bytes: Uint8Array): number | undefined {
  const tag = bytes[0];
  if (tag === undefined) return undefined;
  if (tag === TRAILER_TAG) return TRAILER_BYTES;
  if (tag !== PAGE_TAG) throw new CodecError(`Snapshot is damaged: unknown record ${tag}`);
  if (bytes.length < PAGE_HEAD_BYTES) return undefined;
  const length = new ByteReader(bytes.subarray(1 + 8)).u32();
  if (length > SNAPSHOT_PAGE_BYTES_MAX)
    throw new CodecError(`Page of ${length} bytes, at most ${SNAPSHOT_PAGE_BYTES_MAX} are allowed`);
  return PAGE_HEAD_BYTES + length;
}

function readHeader(record: Uint8Array): SnapshotHeader {
  const reader = new ByteReader(record.subarray(PREFIX_BYTES));
  const groupId = reader.u32();
  const clusterId = reader.id();
  const snapshot = readSnapshotMeta(reader);
  const machine = copyBytes(reader.bytes());
  reader.end();
  return { groupId, clusterId, snapshot, machine };
}
