/** The API server answered with a failure. Branch on `status` and `reason`, never on the message. */
export class ApiError extends Error {
  /** HTTP status. */
  readonly status: number;
  /** `reason` of the Status object, for example `AlreadyExists`; empty when the answer was no Status object. */
  readonly reason: string;
  /** Wait demanded by the server in milliseconds, 0 when it named none. */
  readonly retryAfterMs: number;

  constructor(status: number, reason: string, message: string, retryAfterMs = 0) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

/** The name is taken. */
export function isAlreadyExists(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason === "AlreadyExists";
}

/** A precondition (uid, resourceVersion) did not hold, or another manager owns the field. */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason !== "AlreadyExists";
}

/** The resource version or continue token is too old: list anew. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 410 || error.reason === "Expired");
}

/** The object is refused as it is; the same request will fail again. */
export function isInvalid(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 422 || error.status === 400);
}

/** The namespace is being deleted: nothing can be created in it any more. */
export function isNamespaceTerminating(error: unknown): boolean {
  return error instanceof ApiError && error.status === 403 && /because it is being terminated/.test(error.message);
}

interface StatusBody {
  readonly kind?: unknown;
  readonly reason?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
  readonly details?: { readonly retryAfterSeconds?: unknown };
}

const MESSAGE_CHARACTERS_MAX = 2000;

/** Builds the error from a failed response, or from the object of a watch's ERROR event (`httpStatus` 0). */
export function apiErrorFrom(httpStatus: number, body: string | object, retryAfterHeader?: string): ApiError {
  let status: StatusBody;
  if (typeof body === "string") {
    try {
      status = JSON.parse(body) as StatusBody;
    } catch {
      status = { message: body };
    }
  } else {
    status = body;
  }
  const code = httpStatus !== 0 ? httpStatus : typeof status.code === "number" ? status.code : 500;
  const reason = typeof status.reason === "string" ? status.reason : "";
  const message = typeof status.message === "string" && status.message !== "" ? status.message : `HTTP ${code}`;
  const seconds = Number(retryAfterHeader ?? status.details?.retryAfterSeconds ?? 0);
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
  return new ApiError(code, reason, message.slice(0, MESSAGE_CHARACTERS_MAX), retryAfterMs);
}
