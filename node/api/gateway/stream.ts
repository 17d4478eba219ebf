import { TIMER_MS_MAX } from "../grpc/call.ts";
import { type CallFacts, type MessageStream, type StreamListener, type StreamMethod } from "../grpc/method.ts";
import { DEADLINE_EXCEEDED, STATUS, type GrpcStatus } from "../grpc/status.ts";
import { badRequest, type Exchange } from "../http/exchange.ts";
import { ANSWER_HEADERS, errorBody, httpStatus, streamErrorBody } from "./answer.ts";
import { encodeMessage } from "./encode.ts";
import { JsonSplitter } from "./json-splitter.ts";
import { type GatewayRoute } from "./routes.ts";

export interface GatewayStreamOptions {
  readonly route: GatewayRoute;
  readonly open: StreamMethod["open"];
  /** A request from its JSON form. */
  readonly read: (text: string) => never;
  /** Of one request in its JSON form. */
  readonly requestBytesMax: number;
  /** The status of anything that is thrown. */
  readonly statusOf: (error: unknown) => GrpcStatus;
  /** Told when the call is over and its answer complete: with its gRPC code. */
  readonly closed: (code: number) => void;
}

/** How often the connection of a silent stream is asked whether the other side is still there. */
const KEEPALIVE_INTERVAL_MS = 30_000;

/**
 * A streaming call over HTTP/1.1: the requests are the JSON objects of the body, which may stay open for as long as the
 * client likes; every response is one line, and one chunk, of the answer.
 */
export class GatewayStream implements MessageStream<object> {
  readonly headers: CallFacts["headers"];
  readonly connection: CallFacts["connection"];
  readonly deadlineAt: number;
  readonly signal: AbortSignal;
  readonly #exchange: Exchange;
  readonly #options: GatewayStreamOptions;
  readonly #splitter: JsonSplitter;
  readonly #deadline: NodeJS.Timeout | undefined;
  #listener: StreamListener<never> | undefined;
  /** Requests that are whole and not handed out yet. */
  #requests: Iterator<string> | undefined;
  #requestCount = 0;
  #responseCount = 0;
  #paused = false;
  #handingOut = false;
  /** `ending`: the body is over; `ended`: and everything in it was handed out. */
  #input: "open" | "ending" | "ended" = "open";
  #over = false;
  #code: number = STATUS.ok;

  constructor(exchange: Exchange, facts: CallFacts, options: GatewayStreamOptions) {
    this.headers = facts.headers;
    this.connection = facts.connection;
    this.deadlineAt = facts.deadlineAt;
    this.signal = facts.signal;
    this.#exchange = exchange;
    this.#options = options;
    this.#splitter = new JsonSplitter(options.requestBytesMax);
    const { request, response } = exchange;
    if (this.deadlineAt !== Number.POSITIVE_INFINITY) {
      const timeoutMs = Math.min(this.deadlineAt - Date.now(), TIMER_MS_MAX);
      this.#deadline = setTimeout(() => this.fail(DEADLINE_EXCEEDED), timeoutMs);
    }
    request.socket.setKeepAlive(true, KEEPALIVE_INTERVAL_MS);
    exchange.keepBodyOpen();
    // A client that goes away ends the answer as well, which is where it is noticed.
    request.on("error", () => undefined);
    response.on("close", () => {
      this.#finish(STATUS.cancelled);
      options.closed(this.#code);
    });
    response.on("drain", () => {
      if (!this.#over) this.#listener?.drained();
    });
    try {
      exchange.refuseEncoding();
      this.#listener = options.open(this);
    } catch (error) {
      this.fail(options.statusOf(error));
      return;
    }
    if (request.headers.expect !== undefined) response.writeContinue();
    request.on("data", (chunk: Buffer) => this.#take(chunk));
    request.on("end", () => {
      this.#input = "ending";
      this.#pump();
    });
  }

  write(message: object): boolean {
    const { response } = this.#exchange;
    if (this.#over || response.destroyed) return true;
    this.#begin();
    this.#responseCount += 1;
    return response.write(encodeMessage(this.#options.route.response, message, '{"result":', "}\n"));
  }

  pause(): void {
    this.#paused = true;
    if (!this.#over) this.#exchange.request.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#over) return;
    this.#pump();
    this.#resumeBody();
  }

  end(): void {
    if (this.#over) return;
    this.#finish(STATUS.ok);
    if (this.#exchange.response.destroyed) return;
    this.#begin();
    this.#exchange.response.end();
  }

  fail(status: GrpcStatus): void {
    if (this.#over) return;
    this.#finish(status.code);
    const { response } = this.#exchange;
    if (response.destroyed) return;
    if (response.headersSent) {
      response.end(`${JSON.stringify(streamErrorBody(status))}\n`);
      return;
    }
    this.#begin(httpStatus(status.code));
    response.end(JSON.stringify(errorBody(status)));
  }

  #begin(status = 200): void {
    const { request, response } = this.#exchange;
    if (response.headersSent) return;
    // The connection serves another request only if this one's body is known to be over by then.
    const connection = request.complete ? {} : { connection: "close" };
    const headers = { "cache-control": "no-store", "x-content-type-options": "nosniff", ...ANSWER_HEADERS };
    response.writeHead(status, { ...headers, ...connection });
  }

  #take(chunk: Buffer): void {
    // What comes behind the end of a call is read and dropped, so that it holds nothing up.
    if (this.#over) return;
    this.#requests = this.#splitter.push(chunk);
    this.#pump();
    this.#resumeBody();
  }

  /** Goes on reading when everything that came is handed out, and nobody asked to wait. */
  #resumeBody(): void {
    const { request } = this.#exchange;
    if (this.#over || (!this.#paused && this.#requests === undefined)) request.resume();
    else request.pause();
  }

  /** Hands out requests that are whole, one after the other. A listener may call back while it is told of one. */
  #pump(): void {
    if (this.#handingOut) return;
    this.#handingOut = true;
    try {
      while (!this.#over && !this.#paused && this.#requests !== undefined) {
        const next = this.#requests.next();
        if (next.done === true) this.#requests = undefined;
        else this.#receive(next.value);
      }
    } catch (error) {
      this.fail(this.#options.statusOf(error));
    } finally {
      this.#handingOut = false;
    }
    if (this.#input === "ending" && !this.#over && !this.#paused) this.#endOfBody();
  }

  #receive(text: string): void {
    this.#requestCount += 1;
    this.#listener?.receive(this.#options.read(text));
  }

  #endOfBody(): void {
    this.#input = "ended";
    const { route, statusOf } = this.#options;
    if (this.#splitter.midway) {
      this.fail(statusOf(badRequest("The body ends within a JSON object")));
      return;
    }
    // Where gRPC has exactly one request, an empty body is an empty one.
    if (!route.requestStream && this.#requestCount === 0) this.#receive("{}");
    if (!route.outlivesBody) this.#listener?.ended();
    // Nothing was begun, so nothing would ever be said.
    else if (this.#responseCount === 0) {
      this.fail(statusOf(badRequest("The body asks for no watch, expected create_request in a JSON object")));
    }
  }

  #finish(code: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#code = code;
    clearTimeout(this.#deadline);
    this.#exchange.request.resume();
    this.#listener?.closed();
  }
}
