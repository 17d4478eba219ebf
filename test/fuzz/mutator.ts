import { type Prng } from "../support/prng.ts";

/** Values at which lengths, counts and flags change their meaning. */
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const CHANGES_MAX = 6;

export interface Mutator {
  readonly random: Prng;
  readonly corpus: readonly Uint8Array[];
  readonly words: readonly Uint8Array[];
  /** Of an input. */
  readonly bytesMax: number;
}

/** Another input, made of one or two that there are. */
export function mutate(mutator: Mutator): Uint8Array {
  const { random, corpus, bytesMax } = mutator;
  let bytes: Buffer = Buffer.from(random.pick(corpus));
  for (let left = random.between(1, CHANGES_MAX); left > 0; left -= 1) bytes = change(bytes, mutator);
  return bytes.subarray(0, bytesMax);
}

function change(bytes: Buffer, { random, corpus, words }: Mutator): Buffer {
  const at = random.below(bytes.length + 1);
  const length = Math.min(bytes.length - at, random.between(1, 16));
  const without = (): Buffer => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
  const withInserted = (part: Uint8Array): Buffer => Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)]);
  switch (random.below(9)) {
    case 0:
      return without();
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return withInserted(random.bytes(random.between(1, 8)));
    case 3:
      // A part of it twice.
      return withInserted(bytes.subarray(at, at + length));
    case 4:
      return words.length === 0 ? bytes : withInserted(random.pick(words));
    case 5: {
      const other = random.pick(corpus);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
    }
    case 6:
      return written(bytes, at, random);
    default: {
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    }
  }
}

/** An edge in place of a field of 1, 2, 4 or 8 bytes, of either order. */
function written(bytes: Buffer, at: number, random: Prng): Buffer {
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(BigInt.asUintN(64, BigInt(random.pick(EDGES)) - BigInt(random.below(2))));
  const part = field.subarray(0, random.pick([1, 2, 4, 8]));
  if (random.chance(0.3)) part.reverse();
  part.copy(bytes, at);
  return bytes;
}
