import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type ConnectionFacts } from "../../service/principal.ts";
import { type OpenRequest } from "../request-events.ts";
import { decompress } from "./compression.ts";
import { MessageReader, type ReadResult } from "./framing.ts";
import {
  ACCEPTED_ENCODINGS,
  ANSWER_HEADERS,
  ANSWER_OPTIONS,
  OK_TRAILERS,
  TRAILERS_ONLY,
  trailersOf,
} from "./headers.ts";
import {
  type CallFacts,
  type MessageStream,
  type MethodName,
  type StreamListener,
  type StreamMethod,
  type UnaryMethod,
} from "./method.ts";
import { DEADLINE_EXCEEDED, STATUS, type GrpcStatus } from "./status.ts";

export interface CallOptions {
  /** Largest message of a client, bytes. */
  readonly messageBytesMax: number;
  /** The status of anything a method throws. */
  readonly statusOf: (error: unknown) => GrpcStatus;
  /** Told of every call as it begins. Undefined: there is no such method. */
  readonly begin: (method: MethodName | undefined, headers: IncomingHttpHeaders) => OpenRequest;
}

/** A call as the connection hands it over. */
export interface IncomingCall {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly connection: ConnectionFacts;
  /** Infinite when the client set no limit. */
  readonly timeoutMs: number;
}

/** Longer delays fire at once. */
export const TIMER_MS_MAX = 2 ** 31 - 1;
const OK: GrpcStatus = { code: STATUS.ok, details: "" };

/** Answers a call that nothing was read of, in one frame of headers. */
export function refuse(stream: ServerHttp2Stream, status: GrpcStatus): void {
  stream.respond({ ...ANSWER_HEADERS, ...trailersOf(status) }, TRAILERS_ONLY);
}

/** What both kinds of call share: messages in, at most one status out, the deadline, the client's going away. */
abstract class Call implements CallFacts {
  readonly headers: IncomingHttpHeaders;
  readonly connection: ConnectionFacts;
  readonly deadlineAt: number;
  protected readonly stream: ServerHttp2Stream;
  protected readonly options: CallOptions;
  protected readonly request: OpenRequest;
  readonly #reader: MessageReader;
  readonly #deadline: NodeJS.Timeout | undefined;
  #paused = false;
  #decompressing = false;
  /** `ending`: the client sent its last byte; `ended`: and everything before it was handed out. */
  #input: "open" | "ending" | "ended" = "open";
  #over = false;
  #end: AbortController | undefined;

  constructor(method: MethodName, incoming: IncomingCall, options: CallOptions) {
    const { stream, timeoutMs } = incoming;
    this.request = options.begin(method, incoming.headers);
    this.stream = stream;
    this.headers = incoming.headers;
    this.connection = incoming.connection;
    this.options = options;
    this.#reader = new MessageReader(options.messageBytesMax);
    if (Number.isFinite(timeoutMs)) {
      this.deadlineAt = Date.now() + timeoutMs;
      this.#deadline = setTimeout(() => this.conclude(DEADLINE_EXCEEDED), Math.min(timeoutMs, TIMER_MS_MAX));
    } else {
      this.deadlineAt = Number.POSITIVE_INFINITY;
    }
    stream.on("close", () => this.#finish(STATUS.cancelled));
    stream.on("data", (chunk: Buffer) => {
      // What comes behind the end of a call is read and dropped, so that it holds nothing up.
      if (this.#over) return;
      this.#reader.push(chunk);
      this.#pump();
    });
    stream.on("end", () => {
      // So it says as well when the client went away: what it had not finished saying must not be done.
      if (stream.closed || stream.destroyed) return;
      this.#input = "ending";
      this.#pump();
    });
  }

  /** Made when it is first asked for: most calls are over before anybody could. */
  get signal(): AbortSignal {
    this.#end ??= new AbortController();
    if (this.#over) this.#end.abort();
    return this.#end.signal;
  }

  protected get over(): boolean {
    return this.#over;
  }

  pause(): void {
    this.#paused = true;
    if (!this.#over) this.stream.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#over || this.#decompressing) return;
    this.stream.resume();
    this.#pump();
  }

  /** Ends the call with a status, behind what was written. */
  protected conclude(status: GrpcStatus): void {
    if (this.#over) return;
    this.#finish(status.code);
    const { stream } = this;
    if (stream.destroyed || stream.closed) return;
    if (stream.headersSent) {
      stream.once("wantTrailers", () =>
        stream.sendTrailers(status.code === STATUS.ok ? OK_TRAILERS : trailersOf(status)),
      );
      stream.end();
      stream.resume();
      return;
    }
    const encodings = status.code === STATUS.unimplemented ? { "grpc-accept-encoding": ACCEPTED_ENCODINGS } : undefined;
    const headers = { ...ANSWER_HEADERS, ...trailersOf(status), ...encodings };
    stream.respond(headers, TRAILERS_ONLY);
    // Whatever the client goes on to send, nobody reads (RFC 9113, section 8.1).
    if (this.#input === "open") stream.close(constants.NGHTTP2_NO_ERROR);
  }

  /** The last message and the good status. */
  protected complete(frame: Buffer): void {
    if (this.#over) return;
    this.#finish(STATUS.ok);
    const { stream } = this;
    if (stream.destroyed || stream.closed) return;
    stream.respond(ANSWER_HEADERS, ANSWER_OPTIONS);
    stream.on("wantTrailers", sendOk);
    stream.end(frame);
  }

  protected abstract received(message: Buffer): void;
  /** The client will send no more. */
  protected abstract halfClosed(): void;
  /** The call is over. */
  protected finished(): void {
    // A unary call has nobody to tell.
  }

  /** Hands out messages that are whole, one after the other. */
  #pump(): void {
    while (!this.#over && !this.#paused && !this.#decompressing) {
      const result = this.#reader.next();
      if (result === undefined) {
        if (this.#input === "ending") this.#endOfInput();
        return;
      }
      this.#take(result);
    }
  }

  #take(result: ReadResult): void {
    if (result.type === "refused") this.conclude(result.status);
    else if (result.compressed) this.#decompress(result.bytes);
    else this.received(result.bytes);
  }

  #decompress(bytes: Buffer): void {
    const encoding = this.headers["grpc-encoding"] ?? "identity";
    this.#decompressing = true;
    this.stream.pause();
    decompress(bytes, String(encoding), this.options.messageBytesMax, (result) => {
      this.#decompressing = false;
      if (this.#over) return;
      if (!Buffer.isBuffer(result)) {
        this.conclude(result);
        return;
      }
      this.received(result);
      if (this.#paused) return;
      this.stream.resume();
      this.#pump();
    });
  }

  #endOfInput(): void {
    this.#input = "ended";
    if (this.#reader.midway)
      this.conclude({ code: STATUS.internal, details: "grpc: the request ends within a message" });
    else this.halfClosed();
  }

  #finish(code: number): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#deadline);
    this.request.end(code);
    this.#end?.abort();
    this.finished();
  }
}

export class UnaryCall<Request, Response> extends Call {
  readonly #method: UnaryMethod<Request, Response>;
  #message: Buffer | undefined;

  constructor(method: UnaryMethod<Request, Response>, incoming: IncomingCall, options: CallOptions) {
    super(method, incoming, options);
    this.#method = method;
  }

  protected received(message: Buffer): void {
    if (this.#message === undefined) this.#message = message;
    else this.conclude({ code: STATUS.unimplemented, details: "grpc: received more than one request message" });
  }

  protected halfClosed(): void {
    if (this.#message === undefined) {
      this.conclude({ code: STATUS.unimplemented, details: "grpc: received no request message" });
      return;
    }
    const request = decode(this.#method.codec.decode, this.#message);
    if (request === undefined) this.conclude(UNREADABLE);
    else void this.request.run(() => this.#run(request.message));
  }

  async #run(request: Request): Promise<void> {
    try {
      const response = await this.#method.handle(request, this);
      if (!this.over) this.complete(this.#method.codec.frame(response));
    } catch (error) {
      this.conclude(this.options.statusOf(error));
    }
  }
}

export class StreamCall<Request, Response> extends Call implements MessageStream<Response> {
  readonly #method: StreamMethod<Request, Response>;
  #listener: StreamListener<Request> | undefined;

  constructor(method: StreamMethod<Request, Response>, incoming: IncomingCall, options: CallOptions) {
    super(method, incoming, options);
    this.#method = method;
    this.stream.on("drain", () => {
      if (!this.over) this.#listener?.drained();
    });
    try {
      this.#listener = this.request.run(() => method.open(this));
    } catch (error) {
      this.fail(this.options.statusOf(error));
    }
  }

  write(response: Response): boolean {
    const { stream } = this;
    if (this.over || stream.destroyed || stream.closed) return true;
    if (!stream.headersSent) stream.respond(ANSWER_HEADERS, ANSWER_OPTIONS);
    return stream.write(this.#method.codec.frame(response));
  }

  end(): void {
    this.conclude(OK);
  }

  fail(status: GrpcStatus): void {
    this.conclude(status);
  }

  protected received(message: Buffer): void {
    const request = decode(this.#method.codec.decode, message);
    if (request === undefined) this.conclude(UNREADABLE);
    else this.request.run(() => this.#listener?.receive(request.message));
  }

  protected halfClosed(): void {
    this.#listener?.ended();
  }

  protected override finished(): void {
    this.#listener?.closed();
  }
}

const UNREADABLE: GrpcStatus = { code: STATUS.internal, details: "grpc: the request is no message of this method" };

function decode<Request>(read: (bytes: Buffer) => Request, bytes: Buffer): { readonly message: Request } | undefined {
  try {
    return { message: read(bytes) };
  } catch {
    return undefined;
  }
}

function sendOk(this: ServerHttp2Stream): void {
  this.sendTrailers(OK_TRAILERS);
}
