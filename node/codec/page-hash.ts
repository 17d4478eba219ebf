import { crc32 } from "./crc.ts";

const TWO_32 = 0x1_0000_0000;
const LANE_SEEDS = [0x9747_b28c, 0x3c6e_f372] as const;

/** What tells one page from every other: its place, its version there, and its contents. */
export interface PageFingerprint {
  readonly number: number;
  /** Counts the checkpoints that wrote this page; 0 where there is only one. */
  readonly generation: number;
  readonly crc: number;
  /** Bytes. */
  readonly length: number;
}

export function fingerprint(number: number, generation: number, bytes: Uint8Array): PageFingerprint {
  return { number, generation, crc: crc32(bytes), length: bytes.length };
}

/**
 * An order-independent hash of a set of pages: the sum of their mixed fingerprints in two lanes of 32 bits. A page that
 * is missing, stands in twice or comes from another checkpoint changes it; contents are guarded by the checksums.
 */
export class PageSum {
  #low = 0;
  #high = 0;

  add(page: PageFingerprint): void {
    this.#low = (this.#low + mix(LANE_SEEDS[0], page)) | 0;
    this.#high = (this.#high + mix(LANE_SEEDS[1], page)) | 0;
  }

  subtract(page: PageFingerprint): void {
    this.#low = (this.#low - mix(LANE_SEEDS[0], page)) | 0;
    this.#high = (this.#high - mix(LANE_SEEDS[1], page)) | 0;
  }

  get value(): bigint {
    return (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0);
  }

  copy(): PageSum {
    const copy = new PageSum();
    copy.#low = this.#low;
    copy.#high = this.#high;
    return copy;
  }
}

/** MurmurHash3 (x86, 32 bits) over the six words of a fingerprint. */
function mix(seed: number, { number, generation, crc, length }: PageFingerprint): number {
  let hash = mixWord(seed, number | 0);
  hash = mixWord(hash, Math.floor(number / TWO_32));
  hash = mixWord(hash, generation | 0);
  hash = mixWord(hash, Math.floor(generation / TWO_32));
  hash = mixWord(hash, crc);
  hash = mixWord(hash, length);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85eb_ca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2_ae35);
  return hash ^ (hash >>> 16);
}

function mixWord(hash: number, word: number): number {
  let mixed = Math.imul(word, 0xcc9e_2d51);
  mixed = (mixed << 15) | (mixed >>> 17);
  mixed = hash ^ Math.imul(mixed, 0x1b87_3593);
  mixed = (mixed << 13) | (mixed >>> 19);
  return (Math.imul(mixed, 5) + 0xe654_6b64) | 0;
}
