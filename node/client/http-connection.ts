import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Readable } from "node:stream";
import type * as undici from "undici";
import { ConcordError, isErrorCode, type ErrorCode } from "./errors.ts";

/** PEM texts. Without `cert` and `key` no client certificate is shown. */
export interface ClientTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Name the server certificate must carry. @default the host of the URL */
  readonly serverName?: string | undefined;
}

export interface ConnectionOptions {
  readonly tls?: ClientTls | undefined;
  /** Milliseconds a request may take, the body of the answer included. @default 5000 */
  readonly timeoutMs?: number | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Overrides the connection's, milliseconds. */
  readonly timeoutMs?: number | undefined;
}

export interface Call {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** Percent-encoded path and query, from the slash on. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | undefined;
}

export const REQUEST_TIMEOUT_MS = 5000;
const CONNECT_TIMEOUT_MS = 3000;
const CONNECTIONS_MAX = 4;
/** Largest answer that is read into memory. Snapshots are streamed and have no limit here. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/**
 * One member, reached over HTTP/1.1. Every failure is a ConcordError: the server's own code where it gave one, otherwise
 * `CONCORD_UNREACHABLE` (nothing was sent, or the request changes nothing) or `CONCORD_OUTCOME_UNKNOWN`.
 * Nothing is retried here.
 */
export class HttpConnection {
  readonly url: string;
  readonly #agent: undici.Agent;
  readonly #timeoutMs: number;

  /** @throws ConcordError `CONCORD_INVALID_ARGUMENT` when the URL is not `http(s)://host:port`. */
  constructor(url: string, options: ConnectionOptions = {}) {
    this.url = baseUrl(url);
    this.#timeoutMs = options.timeoutMs ?? REQUEST_TIMEOUT_MS;
    const { ca, cert, key, serverName } = options.tls ?? {};
    // Loaded when it is first needed: a member that serves never is a client.
    const { Agent } = createRequire(import.meta.url)("undici") as typeof undici;
    this.#agent = new Agent({
      connections: CONNECTIONS_MAX,
      pipelining: 1,
      allowH2: false,
      connect: {
        timeout: CONNECT_TIMEOUT_MS,
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(serverName === undefined ? {} : { servername: serverName }),
      },
    });
  }

  /** The answer's body and headers. Throws for every status from 400 on. */
  async call(
    call: Call,
    options: CallOptions = {},
  ): Promise<{ readonly body: Buffer; readonly headers: undici.Dispatcher.ResponseData["headers"] }> {
    const deadline = withDeadline(options, this.#timeoutMs);
    try {
      const answer = await this.#send(call, deadline.signal);
      const body = await collect(answer.body);
      if (answer.statusCode >= 400) throw errorOf(answer.statusCode, body, call);
      return { body, headers: answer.headers };
    } catch (error) {
      throw this.#translate(error, call, options.signal);
    } finally {
      deadline.clear();
    }
  }

  /** The answer's body as it comes; the deadline covers the wait for the first byte only. The caller reads or destroys it. */
  async stream(call: Call, options: CallOptions = {}): Promise<Readable> {
    const deadline = withDeadline(options, this.#timeoutMs);
    try {
      const answer = await this.#send(call, deadline.signal);
      if (answer.statusCode >= 400) throw errorOf(answer.statusCode, await collect(answer.body), call);
      return answer.body;
    } catch (error) {
      throw this.#translate(error, call, options.signal);
    } finally {
      deadline.clear();
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #send(call: Call, signal: AbortSignal): Promise<undici.Dispatcher.ResponseData> {
    // By origin and path, not as one URL: a URL parser would resolve dot segments, which are parts of keys here.
    return this.#agent.request({
      origin: this.url,
      path: call.path,
      method: call.method,
      headers: { ...call.headers },
      body: call.body ?? null,
      signal,
      // The signal is the only clock: a stream may take as long as it takes.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  #translate(error: unknown, call: Call, signal: AbortSignal | undefined): ConcordError {
    if (ConcordError.is(error)) return error;
    const cause = error instanceof Error ? error : new Error(String(error));
    const details = { url: this.url, method: call.method };
    const at = `${call.method} ${this.url}${call.path}`;
    if (neverSent(cause)) {
      return new ConcordError("CONCORD_UNREACHABLE", `${this.url} does not answer: ${cause.message}`, {
        cause,
        details,
      });
    }
    if (call.method !== "GET") {
      return new ConcordError("CONCORD_OUTCOME_UNKNOWN", `No answer to ${at}; it may have been carried out`, {
        cause,
        details,
      });
    }
    if (signal?.aborted === true) return new ConcordError("CONCORD_CANCELLED", undefined, { cause, details });
    const code: ErrorCode = cause.name === "TimeoutError" ? "CONCORD_TIMEOUT" : "CONCORD_UNREACHABLE";
    return new ConcordError(code, `No answer to ${at}: ${cause.message}`, { cause, details });
  }
}

/** TLS material from files, as the command line names them. */
export function clientTlsFromFiles(files: {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}): ClientTls {
  const read = (path: string | undefined): string | undefined => {
    if (path === undefined) return undefined;
    try {
      return readFileSync(path, "utf8");
    } catch (cause) {
      throw new ConcordError("CONCORD_USAGE", `Cannot read the file "${path}"`, { cause });
    }
  };
  return { ca: read(files.ca), cert: read(files.cert), key: read(files.key) };
}

/** @throws ConcordError `CONCORD_INVALID_ARGUMENT` when it is not `http(s)://host:port`. */
export function baseUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.pathname !== "/" || url.search !== "") {
    throw new ConcordError("CONCORD_INVALID_ARGUMENT", `"${text}" is not a URL like https://host:2379`);
  }
  return url.origin;
}

/** One signal that ends with the caller's, or with a TimeoutError after the deadline. */
function withDeadline(options: CallOptions, fallbackMs: number): { signal: AbortSignal; clear(): void } {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(options.signal?.reason);
  const timer = setTimeout(() => {
    controller.abort(new DOMException("The request timed out", "TimeoutError"));
  }, options.timeoutMs ?? fallbackMs);
  if (options.signal?.aborted === true) onAbort();
  else options.signal?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    clear: () => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    },
  };
}

async function collect(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX) {
      throw new ConcordError("CONCORD_REQUEST_TOO_LARGE", `The answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** The error in a problem+json body; a body that is something else still becomes a ConcordError. */
function errorOf(status: number, body: Buffer, call: Call): ConcordError {
  let problem: { code?: unknown; detail?: unknown } = {};
  try {
    problem = (JSON.parse(body.toString("utf8")) ?? {}) as typeof problem;
  } catch {
    // Not a Concord door: a proxy between, or another program on this port.
  }
  const details = { status };
  if (isErrorCode(problem.code)) {
    return new ConcordError(problem.code, typeof problem.detail === "string" ? problem.detail : undefined, { details });
  }
  // A gateway that gave up says nothing about what stands behind it.
  const lost = call.method === "GET" ? "CONCORD_UNREACHABLE" : "CONCORD_OUTCOME_UNKNOWN";
  const code = status >= 500 ? lost : "CONCORD_INVALID_ARGUMENT";
  return new ConcordError(code, `HTTP status ${status} from something that is not Concord`, { details });
}

const CONNECT_ERRORS =
  /^(ECONNREFUSED|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH)/;

/** True when no byte of the request can have been acted on: the connection was never there, or TLS refused it. */
function neverSent(error: Error & { code?: unknown; syscall?: unknown; cause?: unknown; errors?: unknown }): boolean {
  if (typeof error.code === "string" && CONNECT_ERRORS.test(error.code)) return true;
  if (error.syscall === "connect" || error.syscall === "getaddrinfo") return true;
  // Happy Eyeballs: one error for each address that was tried.
  if (Array.isArray(error.errors)) return error.errors.every((each) => each instanceof Error && neverSent(each));
  return error.cause instanceof Error && neverSent(error.cause);
}
