/**
 * Makes small byte arrays cheaply: they share buffers of 8 KiB, because a buffer of its own costs more than everything
 * else a read does. One that is kept keeps its 8 KiB alive.
 */
export class ByteArena {
  #buffer = new ArrayBuffer(ARENA_BYTES);
  #used = 0;

  /** `length` zeroes that nobody else has. */
  allocate(length: number): Uint8Array {
    if (length > SHARED_BYTES_MAX) return new Uint8Array(length);
    if (this.#used + length > ARENA_BYTES) {
      this.#buffer = new ArrayBuffer(ARENA_BYTES);
      this.#used = 0;
    }
    const bytes = new Uint8Array(this.#buffer, this.#used, length);
    this.#used += length;
    return bytes;
  }
}

const ARENA_BYTES = 8192;
const SHARED_BYTES_MAX = ARENA_BYTES / 2;
