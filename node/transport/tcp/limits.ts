import { HANDSHAKE_BYTES_MAX } from "../../codec/handshake.ts";
import { ConcordError } from "../../client/errors.ts";

/** Everything a peer, or a stranger at the peer port, can make this member spend. */
export interface TransportLimits {
  /** Largest payload of one frame, bytes. @default 33554432 (32 MiB) */
  readonly frameBytesMax: number;
  /** Bytes waiting to be sent to one peer; frames beyond are dropped. @default 33554432 (32 MiB) */
  readonly bufferBytesMax: number;
  /** From the first packet of a connection to the end of its handshake, ms. Dialling includes name resolution. @default 5000 */
  readonly handshakeTimeoutMs: number;
  /** Accepted connections whose handshake has not ended; the oldest gives way. @default 64 */
  readonly pendingHandshakesMax: number;
  /** Accepted connections of members; a further member is refused. @default 256 */
  readonly sessionsMax: number;
  /** Each side says so often that it is alive, ms. @default 2000 */
  readonly pingIntervalMs: number;
  /** A connection over which nothing came for so long is half-open and ended, ms. @default 10000 */
  readonly idleTimeoutMs: number;
  /** First and longest pause between two dials, ms; both jittered. @default 50, 1000 */
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
}

export const TRANSPORT_LIMITS: TransportLimits = {
  frameBytesMax: 32 << 20,
  bufferBytesMax: 32 << 20,
  handshakeTimeoutMs: 5000,
  pendingHandshakesMax: 64,
  sessionsMax: 256,
  pingIntervalMs: 2000,
  idleTimeoutMs: 10_000,
  reconnectMinMs: 50,
  reconnectMaxMs: 1000,
};

/** @throws ConcordError `CONCORD_CONFIGURATION_INVALID` when limits contradict each other. */
export function transportLimits(given: Partial<TransportLimits> = {}): TransportLimits {
  const limits = { ...TRANSPORT_LIMITS, ...given };
  for (const [name, value] of Object.entries<number>(limits))
    if (!Number.isSafeInteger(value) || value < 1)
      throw invalid(`Limit ${name} is ${value}, wanted a positive integer`);
  if (limits.frameBytesMax < HANDSHAKE_BYTES_MAX || limits.frameBytesMax > 1 << 30)
    throw invalid(`Limit frameBytesMax is ${limits.frameBytesMax}, wanted ${HANDSHAKE_BYTES_MAX} to ${1 << 30}`);
  if (limits.idleTimeoutMs < 2 * limits.pingIntervalMs)
    throw invalid(`Limit idleTimeoutMs is ${limits.idleTimeoutMs}, wanted at least twice pingIntervalMs`);
  if (limits.reconnectMaxMs < limits.reconnectMinMs)
    throw invalid(`Limit reconnectMaxMs is ${limits.reconnectMaxMs}, wanted at least reconnectMinMs`);
  return limits;
}

function invalid(message: string): ConcordError {
  return new ConcordError("CONCORD_CONFIGURATION_INVALID", message);
}
