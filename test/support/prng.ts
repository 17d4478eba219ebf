/**
 * A seeded source of randomness for simulations and fuzzers: xoshiro128** (Blackman and Vigna, 2018), period 2^128 − 1.
 * Equal seeds give equal sequences on every machine.
 */
export class Prng {
  readonly #seed: string;
  readonly #state: Uint32Array;

  /** @param seed a number or a text; every difference counts */
  constructor(seed: number | string) {
    this.#seed = String(seed);
    this.#state = seedState(this.#seed);
  }

  /** What to print when a run fails: `new Prng(seed)` starts the same sequence. */
  get seed(): string {
    return this.#seed;
  }

  /** An integer in [0, 2^32). */
  next(): number {
    const s = this.#state as unknown as [number, number, number, number];
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  /** A number in [0, 1) with 53 random bits. */
  float(): number {
    return ((this.next() >>> 5) * 0x400_0000 + (this.next() >>> 6)) / 2 ** 53;
  }

  /** An integer in [0, bound), every one equally likely. `bound` is from 1 to 2^32. */
  below(bound: number): number {
    if (!Number.isInteger(bound) || bound < 1 || bound > 2 ** 32)
      throw new RangeError(`Bound is ${bound}, wanted an integer from 1 to 2^32`);
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const value = this.next();
      if (value < limit) return value % bound;
    }
  }

  /** An integer in [low, high], both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with this probability. 0 is never, 1 is always. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One element of a list that is not empty. */
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  /** The same elements in random order, in a new list. */
  shuffle<T>(list: readonly T[]): T[] {
    const shuffled = [...list];
    for (let end = shuffled.length - 1; end > 0; end -= 1) {
      const other = this.below(end + 1);
      const kept = shuffled[end] as T;
      shuffled[end] = shuffled[other] as T;
      shuffled[other] = kept;
    }
    return shuffled;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.next() >>> 24);
  }

  /**
   * An independent source that depends on this one's seed and the label alone, not on how much was drawn: a new consumer
   * of randomness does not change what the others see. The same label gives the same source again.
   */
  fork(label: string): Prng {
    return new Prng(`${this.#seed}/${label}`);
  }
}

/** Fills the state from the hash of the text (FNV-1a, then the finaliser of MurmurHash3 over a Weyl sequence). */
function seedState(seed: string): Uint32Array {
  let hash = 0x811c9dc5;
  let second = 0x9747b28c;
  for (let at = 0; at < seed.length; at += 1) {
    hash = Math.imul(hash ^ seed.charCodeAt(at), 0x01000193);
    second = Math.imul(rotateLeft(second, 5) ^ seed.charCodeAt(at), 0x5bd1e995);
  }
  const state = new Uint32Array(4);
  for (let word = 0; word < 4; word += 1) {
    hash = (hash + 0x9e3779b9) | 0;
    state[word] = mix(hash ^ mix(second + word));
  }
  // The all-zero state is the one from which xoshiro never leaves.
  if (state.every((word) => word === 0)) state[0] = 1;
  return state;
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
