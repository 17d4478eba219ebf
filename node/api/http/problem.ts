import { type ServerResponse } from "node:http";
import { ConcordError, ERROR_TABLE, type ErrorCode } from "../../client/errors.ts";

/** What a failure says in an answer: one sentence and a code, never a stack or a cause. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly retryable: boolean;
  /** `unknown`: a write may have been carried out. */
  readonly outcome: "failed" | "unknown";
  /** Of a read below the oldest revision kept. */
  readonly compactRevision?: number;
}

export function problemOf(error: unknown): Problem {
  const known = ConcordError.is(error) ? error : new ConcordError("CONCORD_INTERNAL");
  const row = ERROR_TABLE[known.code];
  const { compactRevision } = known.details;
  return {
    type: `urn:concord:error:${known.code}`,
    title: row.message,
    status: row.http,
    code: known.code,
    detail: known.message,
    retryable: row.retryable,
    outcome: row.outcome,
    ...(known.code === "CONCORD_COMPACTED" && typeof compactRevision === "number" ? { compactRevision } : {}),
  };
}

/** Answers with `application/problem+json` (RFC 9457). Nothing happens when the answer has begun already. */
export function sendProblem(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const problem = problemOf(error);
  const body = JSON.stringify(problem);
  response.writeHead(problem.status, {
    "content-type": "application/problem+json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(problem.retryable ? { "retry-after": "1" } : {}),
    ...(problem.status === 401 ? { "www-authenticate": 'mTLS realm="concord"' } : {}),
  });
  response.end(body);
}
