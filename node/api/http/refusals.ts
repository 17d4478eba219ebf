import { type IncomingMessage, type ServerResponse } from "node:http";
import { type Duplex } from "node:stream";
import { ConcordError } from "../../client/errors.ts";
import { problemOf, sendProblem } from "./problem.ts";

/**
 * What is not HTTP, or too slow, or too large for the parser, gets one answer and the end of its connection. The answer
 * comes in its turn: whoever sent whole requests before gets theirs first.
 */
export class Refusals {
  /** Requests that are not answered yet, in the order they came. */
  readonly #open = new WeakMap<Duplex, Set<ServerResponse>>();
  readonly #refused = new WeakSet<Duplex>();

  /** Takes note of a request for as long as it is open. */
  track({ socket }: IncomingMessage, response: ServerResponse): void {
    const open = this.#open.get(socket) ?? new Set();
    this.#open.set(socket, open.add(response));
    response.once("close", () => open.delete(response));
  }

  refuse(error: Error & { readonly code?: string }, socket: Duplex): void {
    if (!socket.writable || error.code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    // The parser complains again about every piece that comes behind the first bad one.
    if (this.#refused.has(socket)) return;
    this.#refused.add(socket);
    const refusal = refusalOf(error);
    const last = [...(this.#open.get(socket) ?? [])].at(-1);
    if (last === undefined) answer(socket, refusal);
    else if (last.req.complete) last.once("close", () => answer(socket, refusal));
    else {
      // It is this request's own body that is broken or late.
      if (!last.headersSent) last.setHeader("connection", "close");
      sendProblem(last, refusal);
    }
  }
}

function refusalOf({ code }: { readonly code?: string }): ConcordError {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return new ConcordError("CONCORD_HEADERS_TOO_LARGE");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new ConcordError("CONCORD_REQUEST_TOO_SLOW");
    default:
      return new ConcordError("CONCORD_INVALID_ARGUMENT", "The request is not valid HTTP/1.1");
  }
}

/** Where there is no request to answer. */
function answer(socket: Duplex, refusal: ConcordError): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const problem = problemOf(refusal);
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} Refused\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
