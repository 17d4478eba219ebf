/**
 * Frames on a connection between members: a header of 16 bytes, then the payload.
 *
 *     0  length of the payload (u32, little-endian like all fields)
 *     4  format version (u8)
 *     5  kind (u8)
 *     6  zero (u16)
 *     8  group id (u32)
 *    12  CRC-32 of the payload (u32)
 */
import { crc32 } from "node:zlib";
import { CodecError } from "../../codec/bytes.ts";

export const FRAME_VERSION = 1;
export const FRAME_HEADER_BYTES = 16;

/** What a frame is for. A ping has no payload, and a pong answers it: each side sends its own pings. */
export const FRAME_KINDS = { message: 0, hello: 1, answer: 2, ping: 3, pong: 4 } as const;

export type FrameKind = keyof typeof FRAME_KINDS;

const KIND_BY_CODE = new Map(Object.entries(FRAME_KINDS).map(([kind, code]) => [code as number, kind as FrameKind]));

/** Bytes of the payload that `chunks` make up. */
export function payloadLength(chunks: readonly Uint8Array[]): number {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  return length;
}

/** The header of the frame whose payload is `chunks`. */
export function frameHeader(kind: FrameKind, groupId: number, chunks: readonly Uint8Array[]): Buffer {
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  let crc = 0;
  for (const chunk of chunks) crc = crc32(chunk, crc);
  header.writeUInt32LE(payloadLength(chunks), 0);
  header.writeUInt8(FRAME_VERSION, 4);
  header.writeUInt8(FRAME_KINDS[kind], 5);
  header.writeUInt16LE(0, 6);
  header.writeUInt32LE(groupId, 8);
  header.writeUInt32LE(crc, 12);
  return header;
}

interface Header {
  readonly kind: FrameKind;
  readonly length: number;
  readonly crc: number;
}

/**
 * Cuts the bytes of a connection into frames. A frame that lies within one piece is handed on without a copy; of a
 * larger one only the bytes that came are held, so that a length alone costs nothing.
 */
export class FrameDecoder {
  readonly #groupId: number;
  readonly #onFrame: (kind: FrameKind, payload: Uint8Array) => void;
  #bytesMax: number;
  #pieces: Uint8Array[] = [];
  #held = 0;
  #header: Header | undefined;

  /** @param bytesMax Largest payload accepted; see `bytesMax`. */
  constructor(groupId: number, bytesMax: number, onFrame: (kind: FrameKind, payload: Uint8Array) => void) {
    this.#groupId = groupId;
    this.#bytesMax = bytesMax;
    this.#onFrame = onFrame;
  }

  /** Raised once the peer is known. Holds from the next header on. */
  set bytesMax(value: number) {
    this.#bytesMax = value;
  }

  /**
   * Takes the next bytes and hands on the frames that they complete.
   *
   * @throws CodecError when they are no frames of this version and group, or a checksum does not fit. The decoder is of
   * no use afterwards.
   */
  push(bytes: Uint8Array): void {
    let rest = bytes;
    for (;;) {
      const wanted = this.#header === undefined ? FRAME_HEADER_BYTES : this.#header.length;
      if (this.#held + rest.length < wanted) break;
      const needed = wanted - this.#held;
      const whole = this.#take(rest.subarray(0, needed));
      rest = rest.subarray(needed);
      this.#advance(whole);
    }
    if (rest.length === 0) return;
    this.#pieces.push(rest);
    this.#held += rest.length;
  }

  #advance(whole: Uint8Array): void {
    const header = this.#header;
    if (header === undefined) {
      this.#header = this.#readHeader(whole);
      return;
    }
    this.#header = undefined;
    const crc = crc32(whole);
    if (crc !== header.crc) throw new CodecError(`Frame has checksum ${crc}, its header says ${header.crc}`);
    this.#onFrame(header.kind, whole);
  }

  #take(last: Uint8Array): Uint8Array {
    if (this.#held === 0) return last;
    const whole = Buffer.concat([...this.#pieces, last]);
    this.#pieces = [];
    this.#held = 0;
    return whole;
  }

  #readHeader(bytes: Uint8Array): Header {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const version = view.getUint8(4);
    if (version !== FRAME_VERSION) throw new CodecError(`Frame has format version ${version}, wanted ${FRAME_VERSION}`);
    const code = view.getUint8(5);
    const kind = KIND_BY_CODE.get(code);
    if (kind === undefined || view.getUint16(6, true) !== 0) throw new CodecError(`Frame has the unknown kind ${code}`);
    const length = view.getUint32(0, true);
    if (length > this.#bytesMax)
      throw new CodecError(`Frame of ${length} bytes, at most ${this.#bytesMax} are allowed`);
    const groupId = view.getUint32(8, true);
    if (groupId !== this.#groupId) throw new CodecError(`Frame is of group ${groupId}, wanted ${this.#groupId}`);
    return { kind, length, crc: view.getUint32(12, true) };
  }
}
