import { InvariantError, invariant } from "./assert.ts";
import { type Bytes } from "./commands.ts";
import { DigestIndex, hashOf } from "./digest-index.ts";
import { EMPTY } from "./key-range.ts";

/** Bytes of the digest of an idempotency key, and of what is kept of the digest of the request. */
export const KEY_DIGEST_BYTES = 16;
export const REQUEST_DIGEST_BYTES = 8;
/** Records that share a page of the checkpoint, and go together. */
export const SEGMENT_RECORDS = 1024;

/** A write that had an idempotency key, and what became of it. */
export interface WriteRecord {
  readonly key: Bytes;
  readonly request: Bytes;
  /** The store's revision after the write. */
  readonly revision: number;
  /** Cluster time until which a retry is recognised, s. */
  readonly expiresAtSeconds: number;
  /** What the reply said that cannot be read again, see reply-facts.ts. Empty for most. */
  readonly facts: Bytes;
}

/** Records in the order of the log. Once it is full it does not change any more. */
export class RecordSegment {
  readonly number: number;
  readonly #keys = new Uint8Array(SEGMENT_RECORDS * KEY_DIGEST_BYTES);
  readonly #requests = new Uint8Array(SEGMENT_RECORDS * REQUEST_DIGEST_BYTES);
  readonly #revisions = new Float64Array(SEGMENT_RECORDS);
  readonly #expiries = new Uint32Array(SEGMENT_RECORDS);
  readonly #factsEnds = new Uint32Array(SEGMENT_RECORDS);
  #facts: Uint8Array = EMPTY;
  #count = 0;
  #lastExpiry = 0;
  /** Epoch of its last change. */
  stamp: number;

  constructor(number: number, stamp: number) {
    this.number = number;
    this.stamp = stamp;
  }

  get count(): number {
    return this.#count;
  }

  /** When its last record may go, s. */
  get lastExpiry(): number {
    return this.#lastExpiry;
  }

  get factsBytes(): number {
    return this.#count === 0 ? 0 : (this.#factsEnds[this.#count - 1] as number);
  }

  add(record: WriteRecord, stamp: number): void {
    invariant(this.#count < SEGMENT_RECORDS, "A full segment of records is written");
    const at = this.#count;
    this.#keys.set(record.key, at * KEY_DIGEST_BYTES);
    this.#requests.set(record.request, at * REQUEST_DIGEST_BYTES);
    this.#revisions[at] = record.revision;
    this.#expiries[at] = record.expiresAtSeconds;
    this.#lastExpiry = Math.max(this.#lastExpiry, record.expiresAtSeconds);
    const begin = this.#factsBegin(at);
    const end = begin + record.facts.length;
    if (end > this.#facts.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#facts.length));
      larger.set(this.#facts.subarray(0, begin));
      this.#facts = larger;
    }
    this.#facts.set(record.facts, begin);
    this.#factsEnds[at] = end;
    this.#count += 1;
    this.stamp = stamp;
  }

  /** Views, not copies. */
  record(at: number): WriteRecord {
    invariant(at < this.#count, "A record is read that was never written");
    return {
      key: this.#keys.subarray(at * KEY_DIGEST_BYTES, (at + 1) * KEY_DIGEST_BYTES),
      request: this.#requests.subarray(at * REQUEST_DIGEST_BYTES, (at + 1) * REQUEST_DIGEST_BYTES),
      revision: this.#revisions[at] as number,
      expiresAtSeconds: this.#expiries[at] as number,
      facts: this.#facts.subarray(this.#factsBegin(at), this.#factsEnds[at]),
    };
  }

  hasKey(at: number, key: Bytes): boolean {
    const offset = at * KEY_DIGEST_BYTES;
    for (let i = 0; i < KEY_DIGEST_BYTES; i += 1) if (this.#keys[offset + i] !== key[i]) return false;
    return true;
  }

  hashAt(at: number): number {
    return hashOf(this.#keys, at * KEY_DIGEST_BYTES);
  }

  #factsBegin(at: number): number {
    return at === 0 ? 0 : (this.#factsEnds[at - 1] as number);
  }
}

/** A record in its segment, and its place in the index at the load that is usual. */
const RECORD_BYTES = KEY_DIGEST_BYTES + REQUEST_DIGEST_BYTES + 8 + 4 + 4 + 8;
/** Positions are counted round: far fewer records than this are there at once. */
const POSITIONS = 0xffff_ffff;

/** The records of one moment. */
export interface FrozenRecords {
  /** Changes up to this epoch are in it. */
  readonly epoch: number;
  /** Each with how many records it had: segments grow at their end only. */
  readonly segments: readonly { readonly segment: RecordSegment; readonly count: number }[];
  /** Segments that are gone since the last checkpoint. */
  readonly removed: readonly number[];
}

/**
 * What became of the writes that had an idempotency key, for as long as a retry of theirs is recognised (D7). Records
 * come in the order of the log and go in it, a segment at a time when the last of its records has expired; none goes
 * early.
 */
export class WriteRecords {
  #segments: RecordSegment[] = [];
  #nextSegment = 0;
  #count = 0;
  #factsBytes = 0;
  #epoch = 1;
  #removed: { readonly segment: number; readonly epoch: number }[] = [];
  readonly #index = new DigestIndex({
    hasDigest: (place, key) => {
      const { segment, at } = this.#recordAt(place);
      return segment.hasKey(at, key);
    },
    hashAt: (place) => {
      const { segment, at } = this.#recordAt(place);
      return segment.hashAt(at);
    },
  });

  /** Records in memory, some of them expired. */
  get count(): number {
    return this.#count;
  }

  /** What they count for: by their number and content alone, so that it is the same on all members. */
  get bytes(): number {
    return this.#count * RECORD_BYTES + this.#factsBytes;
  }

  /** Number of the next segment: it is in the checkpoint, as a number is never used twice. */
  get nextSegment(): number {
    return this.#nextSegment;
  }

  /** The record of a key that has not expired. */
  find(key: Bytes, nowSeconds: number): WriteRecord | undefined {
    const place = this.#index.find(key);
    if (place < 0) return undefined;
    const { segment, at } = this.#recordAt(place);
    const record = segment.record(at);
    return record.expiresAtSeconds > nowSeconds ? record : undefined;
  }

  /** The key has no record, or one that has expired. */
  add(record: WriteRecord): void {
    let segment = this.#segments.at(-1);
    if (segment === undefined || segment.count === SEGMENT_RECORDS) {
      segment = new RecordSegment(this.#nextSegment, this.#epoch);
      this.#nextSegment += 1;
      this.#segments.push(segment);
    }
    this.#point(record.key, placeOf(segment, segment.count));
    segment.add(record, this.#epoch);
    this.#factsBytes += record.facts.length;
    this.#count += 1;
  }

  /** Frees at most one segment whose records have all expired: as much as is written in its time. */
  expire(nowSeconds: number): void {
    const segment = this.#segments[0];
    if (segment === undefined || segment.lastExpiry > nowSeconds) return;
    for (let at = 0; at < segment.count; at += 1) this.#index.remove(segment.record(at).key, placeOf(segment, at));
    this.#segments.shift();
    this.#removed.push({ segment: segment.number, epoch: this.#epoch });
    this.#factsBytes -= segment.factsBytes;
    this.#count -= segment.count;
  }

  /** Costs as much as there are segments. */
  freeze(): FrozenRecords {
    const frozen = {
      epoch: this.#epoch,
      segments: this.#segments.map((segment) => ({ segment, count: segment.count })),
      removed: this.#removed.map(({ segment }) => segment),
    };
    this.#epoch += 1;
    return frozen;
  }

  /** The checkpoint no longer has the segments that went up to this epoch. */
  forgetRemoved(epoch: number): void {
    this.#removed = this.#removed.filter((removed) => removed.epoch > epoch);
  }

  /** Takes the segments of a checkpoint, in their order. */
  load(segments: readonly RecordSegment[], nextSegment: number): void {
    invariant(this.#segments.length === 0, "Records are loaded twice");
    this.#segments = [...segments];
    this.#nextSegment = nextSegment;
    for (const segment of segments) {
      this.#count += segment.count;
      this.#factsBytes += segment.factsBytes;
      for (let at = 0; at < segment.count; at += 1) this.#point(segment.record(at).key, placeOf(segment, at));
    }
  }

  /** The newest record of a key is the one that counts. */
  #point(key: Bytes, place: number): void {
    const former = this.#index.find(key);
    if (former >= 0) this.#index.remove(key, former);
    this.#index.add(key, place);
  }

  #recordAt(place: number): { readonly segment: RecordSegment; readonly at: number } {
    const first = (this.#segments[0]?.number ?? 0) * SEGMENT_RECORDS;
    const offset = (place - (first % POSITIONS) + POSITIONS) % POSITIONS;
    const segment = this.#segments[Math.floor(offset / SEGMENT_RECORDS)];
    if (segment === undefined) throw new InvariantError("The index names a record that is gone");
    return { segment, at: offset % SEGMENT_RECORDS };
  }
}

function placeOf(segment: RecordSegment, at: number): number {
  return (segment.number * SEGMENT_RECORDS + at) % POSITIONS;
}
