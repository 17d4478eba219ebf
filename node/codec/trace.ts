import { CodecError } from "./bytes.ts";

/** Bytes of a trace context: trace id (16) and span id (8), W3C Trace Context. */
export const TRACE_BYTES = 24;
const TRACE_ID_DIGITS = 32;

/** In hex digits. */
interface Trace {
  readonly traceId: string;
  readonly spanId: string;
}

/** @throws CodecError when these are not 32 and 16 hex digits. */
export function encodeTrace({ traceId, spanId }: Trace): Uint8Array {
  const digits = traceId + spanId;
  if (traceId.length !== TRACE_ID_DIGITS || !/^[0-9a-f]{48}$/.test(digits))
    throw new CodecError("A trace context is 32 and 16 hex digits");
  return Uint8Array.from({ length: TRACE_BYTES }, (_, at) => Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

/** `bytes`: `TRACE_BYTES` of them. */
export function decodeTrace(bytes: Uint8Array): Trace {
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { traceId: digits.slice(0, TRACE_ID_DIGITS), spanId: digits.slice(TRACE_ID_DIGITS) };
}
