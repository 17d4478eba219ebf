import { ConcordError, type ErrorCode } from "../client/errors.ts";

/** How an operation ended. The runtime speaks in completions, so that a simulator can order them. */
export type Settled<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: ConcordError };

export type Done<T> = (result: Settled<T>) => void;

export const succeeded = <T>(value: T): Settled<T> => ({ ok: true, value });

export const failed = (
  code: ErrorCode,
  message?: string,
  options?: { cause?: unknown; details?: Record<string, unknown> },
): Settled<never> => ({ ok: false, error: new ConcordError(code, message, options) });
