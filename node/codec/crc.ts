import { crc32 as zlibCrc32 } from "node:zlib";

/**
 * CRC-32 (polynomial of ISO 3309 and zlib) of stored bytes. `previous` continues the checksum of the bytes before, so that
 * `crc32(b, crc32(a))` equals the checksum of `a` followed by `b`.
 *
 * @returns an unsigned 32-bit number
 */
export function crc32(bytes: Uint8Array, previous = 0): number {
  return zlibCrc32(bytes, previous);
}
