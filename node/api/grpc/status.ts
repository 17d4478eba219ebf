/** google.rpc.Code, as far as this layer itself answers with it. */
export const STATUS = {
  ok: 0,
  cancelled: 1,
  deadlineExceeded: 4,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
} as const;

/** How a call ended. */
export interface GrpcStatus {
  /** google.rpc.Code */
  readonly code: number;
  /** For people; clients get it whatever characters it has. */
  readonly details: string;
}

/** Of a call whose client set a time limit that is over. */
export const DEADLINE_EXCEEDED: GrpcStatus = { code: STATUS.deadlineExceeded, details: "Deadline exceeded" };

/** A client that gets more headers than it allows drops the whole answer. */
const DETAILS_CHARACTERS_MAX = 2048;
const PLAIN = /^[\x20-\x24\x26-\x7e]*$/;

/** The header `grpc-message`: UTF-8, with everything but printable ASCII, and the percent sign itself, percent-encoded. */
export function encodeDetails(details: string): string {
  const text = details.slice(0, DETAILS_CHARACTERS_MAX);
  if (PLAIN.test(text)) return text;
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
