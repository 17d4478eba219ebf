import { STATUS, type GrpcStatus } from "./status.ts";

// Length-Prefixed-Message: one byte that tells whether the message is compressed, four of its length (big endian), and
// the message. Messages do not care about the borders of HTTP/2 frames.

export const PREFIX_BYTES = 5;

/** @param frame - whose first PREFIX_BYTES are kept for this. */
export function writePrefix(frame: Buffer): void {
  frame[0] = 0;
  frame.writeUInt32BE(frame.length - PREFIX_BYTES, 1);
}

/** A message with its prefix, uncompressed. */
export function frameMessage(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  frame.set(message, PREFIX_BYTES);
  writePrefix(frame);
  return frame;
}

export type ReadResult =
  | { readonly type: "message"; readonly compressed: boolean; readonly bytes: Buffer }
  /** The stream cannot be read any further. */
  | { readonly type: "refused"; readonly status: GrpcStatus };

/** Puts messages together from the pieces they come in. */
export class MessageReader {
  readonly #bytesMax: number;
  /** Not yet read. Invariant: none is empty, and their lengths add up to #length. */
  #chunks: Buffer[] = [];
  #length = 0;

  /** @param bytesMax - of one message, as it is sent. A longer one is refused as soon as its prefix is here. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether a message has begun that is not whole. */
  get midway(): boolean {
    return this.#length > 0;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** @returns The next message with memory of its own; undefined when it is not whole yet. */
  next(): ReadResult | undefined {
    if (this.#length < PREFIX_BYTES) return undefined;
    const prefix = this.#first(PREFIX_BYTES);
    const flag = prefix[0] ?? 0;
    const length = prefix.readUInt32BE(1);
    if (flag > 1) return refused(STATUS.internal, `grpc: received unexpected payload format ${flag}`);
    if (length > this.#bytesMax) {
      const sizes = `${length} vs. ${this.#bytesMax}`;
      return refused(STATUS.resourceExhausted, `grpc: received message larger than max (${sizes})`);
    }
    const end = PREFIX_BYTES + length;
    if (this.#length < end) return undefined;
    const whole = this.#first(end);
    // A chunk shares the memory of everything that came with it; a request may be kept much longer than that.
    const bytes = Buffer.from(whole.subarray(PREFIX_BYTES, end));
    if (whole.length === end) this.#chunks.shift();
    else this.#chunks[0] = whole.subarray(end);
    this.#length -= end;
    return { type: "message", compressed: flag === 1, bytes };
  }

  /** The first chunk, joined with those behind it when it is shorter than asked for. */
  #first(bytes: number): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= bytes) return first;
    const joined = Buffer.concat(this.#chunks, this.#length);
    this.#chunks = [joined];
    return joined;
  }
}

function refused(code: number, details: string): ReadResult {
  return { type: "refused", status: { code, details } };
}
