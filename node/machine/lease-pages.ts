import { type Bytes } from "./commands.ts";
import { bucketOf, type FrozenLeases, type Lease, LEASE_BUCKETS, type Leases } from "./leases.ts";
import { type PageBytes } from "./machine-types.ts";
import { PageReader, type PageWriter } from "./page-bytes.ts";

/**
 * A page of leases, numbered far above those of the tree: one of each bucket.
 *
 *     u8 format version │ u32 leases
 *     a lease: i64 id │ u53 time to live, s │ u53 deadline, cluster time in ms
 */
const LEASE_PAGE_FORMAT_VERSION = 1;
const FIRST_PAGE = 2 ** 40;

export function isLeasePage(number: number): boolean {
  return number >= FIRST_PAGE && number < FIRST_PAGE + LEASE_BUCKETS;
}

/** Pages of frozen leases, one after the other. A bucket that became empty has a page too, to take the place of the old one. */
export class LeasePages {
  readonly #frozen: FrozenLeases;
  readonly #cleanEpoch: number;
  readonly #writer: PageWriter;
  #next = 0;

  /** `cleanEpoch`: changes up to it are in the checkpoint already; −1 for a checkpoint that begins with nothing. */
  constructor(frozen: FrozenLeases, cleanEpoch: number, writer: PageWriter) {
    this.#frozen = frozen;
    this.#cleanEpoch = cleanEpoch;
    this.#writer = writer;
  }

  get isDrained(): boolean {
    return this.#next === LEASE_BUCKETS;
  }

  /** Undefined at the end. */
  next(): PageBytes | undefined {
    while (this.#next < LEASE_BUCKETS) {
      const number = this.#next++;
      const bucket = this.#frozen.buckets[number];
      if (bucket === undefined || bucket.stamp <= this.#cleanEpoch) continue;
      if (bucket.leases.size === 0 && this.#cleanEpoch < 0) continue;
      return { number: FIRST_PAGE + number, bytes: encode(bucket.leases, this.#writer) };
    }
    return undefined;
  }
}

function encode(leases: ReadonlyMap<bigint, Lease>, writer: PageWriter): Uint8Array {
  writer.u8(LEASE_PAGE_FORMAT_VERSION);
  writer.u32(leases.size);
  for (const { id, ttlSeconds, deadlineMs } of leases.values()) {
    writer.i64(id);
    writer.u53(ttlSeconds);
    writer.u53(deadlineMs);
  }
  return writer.take();
}

/** @throws CorruptPageError */
export function loadLeasePage(leases: Leases, number: number, bytes: Bytes): void {
  const reader = new PageReader(bytes, `Page ${number}`);
  const format = reader.u8();
  if (format !== LEASE_PAGE_FORMAT_VERSION)
    reader.fail(`has format version ${format}, this member reads ${LEASE_PAGE_FORMAT_VERSION}`);
  const bucket = number - FIRST_PAGE;
  const read = reader.list(() => ({ id: reader.i64(), ttlSeconds: reader.u53(), deadlineMs: reader.u53() }));
  reader.end();
  for (const { id } of read) if (bucketOf(id) !== bucket) reader.fail(`has lease ${id}, which is of another page`);
  if (new Set(read.map(({ id }) => id)).size !== read.length) reader.fail("has a lease twice");
  leases.load(bucket, read);
}
