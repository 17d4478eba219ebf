import { type IncomingHttpHeaders } from "node:http2";
import { type RequestKind } from "../../observability/events.ts";
import { type ConnectionFacts } from "../../service/principal.ts";
import { type GrpcStatus } from "./status.ts";

/** What a call tells about itself. */
export interface CallFacts {
  /** Metadata are HTTP/2 headers. */
  readonly headers: IncomingHttpHeaders;
  readonly connection: ConnectionFacts;
  /** When the client gives up, milliseconds since the epoch; infinite when it did not say. */
  readonly deadlineAt: number;
  /** Aborts when the call is over, whoever ended it. */
  readonly signal: AbortSignal;
}

/** How a method's messages are read and written. */
export interface MethodCodec<Request, Response> {
  /** @throws Anything, for bytes that are no such message. */
  readonly decode: (bytes: Buffer) => Request;
  /** @returns The message with its prefix. */
  readonly frame: (response: Response) => Buffer;
}

/** What every method is called, for those who measure. */
export interface MethodName {
  /** With its package: `etcdserverpb.KV`. */
  readonly service: string;
  readonly name: string;
  readonly kind: RequestKind;
}

/** One request, one response. */
export interface UnaryMethod<Request = never, Response = unknown> extends MethodName {
  readonly type: "unary";
  readonly codec: MethodCodec<Request, Response>;
  /** What it throws, or rejects with, becomes the call's status. */
  readonly handle: (request: Request, call: CallFacts) => Promise<Response>;
}

/** Any number of either, at any time. */
export interface StreamMethod<Request = never, Response = unknown> extends MethodName {
  readonly type: "stream";
  readonly codec: MethodCodec<Request, Response>;
  /** Begins a call. What it throws becomes the call's status. */
  readonly open: (call: MessageStream<Response>) => StreamListener<Request>;
}

export type Method = UnaryMethod | StreamMethod;

/** The server's side of a streaming call. Once the call is over, nothing here does anything. */
export interface MessageStream<Response> extends CallFacts {
  /** @returns False when the client reads slower than it is written to: wait for `drained`. */
  write(response: Response): boolean;
  /** Receives nothing until `resume`; the client's window fills meanwhile. */
  pause(): void;
  resume(): void;
  /** Ends the call well, behind what was written. */
  end(): void;
  /** Ends the call with a status, behind what was written. */
  fail(status: GrpcStatus): void;
}

/** What a streaming method is told. */
export interface StreamListener<Request> {
  receive(request: Request): void;
  /** The client sends no more, and still listens. */
  ended(): void;
  /** What was written is on its way. */
  drained(): void;
  /** The call is over, whoever ended it. Comes once, and last. */
  closed(): void;
}
