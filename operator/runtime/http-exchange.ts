import http from "node:http";
import https from "node:https";
import { type Credentials } from "./connection.ts";
import { Deferred } from "./deferred.ts";

export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** A list of 500 pods is a few MiB; an answer above this is refused instead of filling the memory. */
const ANSWER_BYTES_MAX = 128 * 1024 * 1024;
const TCP_KEEPALIVE_MS = 30_000;

/** A connection of the pool was closed by the server just when the request was written to it: nothing was answered. */
export class StaleSocketError extends Error {
  constructor(cause: unknown) {
    super("The API server closed an idle connection", { cause });
    this.name = "StaleSocketError";
  }
}

/** Sends a request and resolves with the head of the response, its body still to be read. */
export function openExchange(credentials: Credentials, exchange: Exchange): Promise<http.IncomingMessage> {
  const { server, agent } = credentials;
  const head = new Deferred<http.IncomingMessage>();
  const transport = server.protocol === "https:" ? https : http;
  const body = exchange.body === undefined ? undefined : Buffer.from(exchange.body);
  const request = transport.request(
    {
      protocol: server.protocol,
      hostname: server.hostname.replace(/^\[|\]$/g, ""),
      port: server.port,
      method: exchange.method,
      path: server.pathname.replace(/\/$/, "") + exchange.path,
      agent,
      headers: {
        ...credentials.headers,
        ...exchange.headers,
        ...(body === undefined ? {} : { "content-length": String(body.length) }),
      },
      ...(exchange.signal === undefined ? {} : { signal: exchange.signal }),
    },
    (response) => head.resolve(response),
  );
  request.once("error", (error: NodeJS.ErrnoException) => {
    const stale = request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
    head.reject(stale ? new StaleSocketError(error) : error);
  });
  request.once("socket", (socket) => socket.setKeepAlive(true, TCP_KEEPALIVE_MS));
  request.end(body);
  return head.promise;
}

export async function readAnswer(response: http.IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) {
      response.destroy();
      throw new RangeError(`Cannot read an answer of more than ${ANSWER_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).toString("utf8"),
  };
}
