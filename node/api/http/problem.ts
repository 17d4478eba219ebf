import { type ServerResponse } from "node:http";
import { type Static, Type } from "typebox";
import { ConcordError, ERROR_TABLE, type ErrorCode } from "../../client/errors.ts";

/** What a failure says in an answer: one sentence and a code, never a stack or a cause. */
export const Problem = Type.Object({
  type: Type.String({ description: "A URN with the code in it" }),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.Enum(Object.keys(ERROR_TABLE) as ErrorCode[]),
  detail: Type.String(),
  retryable: Type.Boolean({ description: "Whether the same request may succeed later, unchanged" }),
  outcome: Type.Enum(["failed", "unknown"], { description: "unknown: a write may have been carried out" }),
  compactRevision: Type.Optional(Type.Integer({ description: "Of a read below the oldest revision kept" })),
});
export type Problem = Readonly<Static<typeof Problem>>;

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
