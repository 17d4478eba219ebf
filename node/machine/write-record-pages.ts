import { type Bytes } from "./commands.ts";
import { type PageBytes } from "./machine-types.ts";
import { CorruptPageError, PageReader, type PageWriter } from "./page-bytes.ts";
import {
  type FrozenRecords,
  KEY_DIGEST_BYTES,
  RecordSegment,
  REQUEST_DIGEST_BYTES,
  SEGMENT_RECORDS,
  type WriteRecords,
} from "./write-records.ts";

/**
 * A page of write records, numbered far above those of the tree and of leases: one of each segment.
 *
 *     u8 format version │ u32 records
 *     a record: 16 bytes key digest │ 8 bytes request digest │ u53 revision │ u32 expiry, s │ u32 length │ facts
 */
const RECORD_PAGE_FORMAT_VERSION = 1;
const FIRST_PAGE = 2 ** 41;

export function isRecordPage(number: number): boolean {
  return number >= FIRST_PAGE;
}

export function recordPage(segment: number): number {
  return FIRST_PAGE + segment;
}

/** Pages of frozen records, one after the other. */
export class RecordPages {
  readonly #frozen: FrozenRecords;
  readonly #cleanEpoch: number;
  readonly #writer: PageWriter;
  #next = 0;

  /** `cleanEpoch`: changes up to it are in the checkpoint already; −1 for a checkpoint that begins with nothing. */
  constructor(frozen: FrozenRecords, cleanEpoch: number, writer: PageWriter) {
    this.#frozen = frozen;
    this.#cleanEpoch = cleanEpoch;
    this.#writer = writer;
  }

  get isDrained(): boolean {
    return this.#next === this.#frozen.segments.length;
  }

  /** Undefined at the end. */
  next(): PageBytes | undefined {
    while (!this.isDrained) {
      const frozen = this.#frozen.segments[this.#next++];
      if (frozen === undefined || frozen.segment.stamp <= this.#cleanEpoch) continue;
      const { segment, count } = frozen;
      return { number: recordPage(segment.number), bytes: encode(segment, count, this.#writer) };
    }
    return undefined;
  }
}

function encode(segment: RecordSegment, count: number, writer: PageWriter): Uint8Array {
  writer.u8(RECORD_PAGE_FORMAT_VERSION);
  writer.u32(count);
  for (let at = 0; at < count; at += 1) {
    const { key, request, revision, expiresAtSeconds, facts } = segment.record(at);
    writer.raw(key).raw(request).u53(revision).u32(expiresAtSeconds).bytes(facts);
  }
  return writer.take();
}

/** @throws CorruptPageError */
export function decodeRecordPage(number: number, bytes: Bytes): RecordSegment {
  const reader = new PageReader(bytes, `Page ${number}`);
  const format = reader.u8();
  if (format !== RECORD_PAGE_FORMAT_VERSION)
    reader.fail(`has format version ${format}, this member reads ${RECORD_PAGE_FORMAT_VERSION}`);
  const count = reader.u32();
  if (count < 1 || count > SEGMENT_RECORDS) reader.fail(`has ${count} write records, wanted 1 to ${SEGMENT_RECORDS}`);
  const segment = new RecordSegment(number - FIRST_PAGE, 0);
  for (let at = 0; at < count; at += 1) {
    const key = reader.raw(KEY_DIGEST_BYTES);
    const request = reader.raw(REQUEST_DIGEST_BYTES);
    const record = { key, request, revision: reader.u53(), expiresAtSeconds: reader.u32(), facts: reader.bytes() };
    segment.add(record, 0);
  }
  reader.end();
  return segment;
}

/**
 * Takes the segments of a checkpoint, in any order.
 *
 * @throws CorruptPageError when some are missing or one does not fit to the others
 */
export function loadRecords(
  records: WriteRecords,
  segments: RecordSegment[],
  meta: { readonly records: number; readonly nextRecordSegment: number },
): void {
  segments.sort((left, right) => left.number - right.number);
  const first = meta.nextRecordSegment - segments.length;
  for (const [at, segment] of segments.entries()) {
    if (segment.number !== first + at)
      throw new CorruptPageError(`Segment ${first + at} of the write records is not there`);
    if (at < segments.length - 1 && segment.count !== SEGMENT_RECORDS)
      throw new CorruptPageError(`Segment ${segment.number} of the write records is not full`);
  }
  records.load(segments, meta.nextRecordSegment);
  if (records.count !== meta.records)
    throw new CorruptPageError(`Meta tells of ${meta.records} write records, ${records.count} are there`);
}
