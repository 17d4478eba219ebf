import { type Static, type TSchema, Type } from "typebox";
import { type ErrorCode } from "../../client/errors.ts";
import { type Exchange } from "./exchange.ts";

/**
 * One thing that can be done over HTTP: where it is, what it takes and gives, and who does it. The router knows operations
 * alone, and the OpenAPI document is made from them, so there is no route without its description.
 */
export interface Operation {
  /** Unique; names the operation in clients that are generated. */
  readonly id: string;
  /** GET answers HEAD too. */
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** With parameters in braces, each of them one segment unless it takes slashes. */
  readonly path: string;
  readonly summary: string;
  /** Markdown. */
  readonly description?: string;
  readonly parameters: Readonly<Record<string, PathParameter>>;
  readonly query: Query;
  /** Names of what it looks at among REQUEST_HEADERS. */
  readonly headers: readonly RequestHeader[];
  readonly body: BodyForm<unknown> | undefined;
  readonly answers: readonly Answer[];
  /** Beside those that every request may meet. */
  readonly problems: readonly ErrorCode[];
  readonly handle: (exchange: Exchange, input: Input<string, Query, unknown>, context: DoorContext) => unknown;
}

/** Operations on one kind of thing. */
export interface OperationGroup {
  /** Label of the metrics, and tag in the document. */
  readonly name: string;
  readonly description: string;
  /** Looks at who asks, before anything else. @throws ConcordError `CONCORD_PERMISSION_DENIED` */
  readonly admit?: (exchange: Exchange) => void;
  readonly operations: readonly Operation[];
}

/** What the door gives to whoever handles a request. */
export interface DoorContext {
  /** Version of Concord. */
  readonly version: string;
  readonly etcdVersion: string;
  /** RFC 3339, empty without TLS. */
  readonly certificateNotAfter: () => string;
  /** The Prometheus text and its content type. */
  readonly metrics: () => Promise<{ readonly text: string; readonly contentType: string }>;
  readonly valueBytesMax: number;
  /** Of idle watches; at least every 15 s. */
  readonly progressIntervalMs: number;
  /** Watches that run, for the door to end. Each has a connection of its own, so there are no more than connections. */
  readonly streams: Set<{ end(): void }>;
  /** Everything that can be done here, OpenAPI 3.1. */
  readonly openApiDocument: () => object;
}

export interface PathParameter {
  readonly description: string;
  readonly schema: TSchema;
  /** Everything behind the last slash of the path in front of it, slashes too. */
  readonly slashes?: boolean;
}

export interface QueryParameter<T> {
  readonly description: string;
  readonly schema: TSchema;
  readonly required?: boolean;
  /**
   * @param bytes - after percent-decoding.
   * @throws ConcordError `CONCORD_INVALID_ARGUMENT`
   */
  readonly read: (name: string, bytes: Buffer) => T;
}

export type Query = Readonly<Record<string, QueryParameter<unknown>>>;
export type QueryValues<Q extends Query> = { readonly [N in keyof Q]?: ReturnType<Q[N]["read"]> };

export interface BodyForm<T> {
  readonly contentType: "application/json" | "application/octet-stream";
  readonly schema: TSchema;
  readonly read: (exchange: Exchange, context: DoorContext) => Promise<T>;
}

export interface Answer {
  readonly status?: 101 | 200 | 304 | 503;
  readonly description: string;
  /** A schema for each content type. */
  readonly content: Readonly<Record<string, TSchema>>;
  readonly headers?: readonly AnswerHeader[];
  /** Of an event stream: what is in the data of each kind of message. */
  readonly messages?: Readonly<Record<string, TSchema>>;
}

/** A request that fits its operation. */
export interface Input<Names extends string, Q extends Query, Body> {
  /** After percent-decoding. */
  readonly path: Readonly<Record<Names, Buffer>>;
  readonly query: QueryValues<Q>;
  /** Read when it is asked for. */
  readonly body: () => Promise<Body>;
}

type PathNames<P extends string> = P extends `${string}{${infer Name}}${infer Rest}` ? Name | PathNames<Rest> : never;

interface Definition<P extends string, Q extends Query, Body> {
  readonly id: string;
  readonly method: Operation["method"];
  readonly path: P;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: Readonly<Record<PathNames<P>, PathParameter>>;
  readonly query?: Q;
  readonly headers?: readonly RequestHeader[];
  readonly body?: BodyForm<Body>;
  readonly answers: readonly Answer[];
  readonly problems?: readonly ErrorCode[];
  readonly handle: (exchange: Exchange, input: Input<PathNames<P>, Q, Body>, context: DoorContext) => unknown;
}

/**
 * An operation whose handler gets what the description says, in its types too.
 */
export function operation<const P extends string, Q extends Query = Readonly<Record<string, never>>, Body = never>(
  definition: Definition<P, Q, Body>,
): Operation {
  return {
    parameters: {},
    query: {},
    headers: [],
    body: undefined,
    problems: [],
    ...definition,
    // The router fills in exactly the parameters that this operation names.
    handle: definition.handle as Operation["handle"],
  };
}

/** Of JSON that is small, or as large as a value may be. */
export function jsonBody<S extends TSchema>(schema: S, size: "small" | "value" = "small"): BodyForm<Static<S>> {
  return {
    contentType: "application/json",
    schema,
    read: (exchange, { valueBytesMax }) => exchange.json(schema, size === "small" ? undefined : valueBytesMax),
  };
}

export const BYTES: TSchema = Type.Unsafe<Uint8Array>({ description: "The bytes as they are" });

/** Of a value, byte for byte. */
export const VALUE_BODY: BodyForm<Buffer> = {
  contentType: "application/octet-stream",
  schema: BYTES,
  read: (exchange, { valueBytesMax }) => exchange.body(valueBytesMax),
};

/** The answer to most requests. */
export function json(description: string, schema: TSchema, headers: readonly AnswerHeader[] = []): Answer {
  return { description, content: { "application/json": schema }, headers };
}

export interface HeaderDescription {
  readonly description: string;
  readonly schema: TSchema;
}

export type RequestHeader = "Idempotency-Key" | "If-Match" | "If-None-Match" | "Last-Event-ID";

export const REQUEST_HEADERS: Readonly<Record<RequestHeader, HeaderDescription>> = {
  "Idempotency-Key": {
    description: "The same at every attempt at one write: it is applied once, and every attempt gets the first answer",
    schema: Type.String({ minLength: 1, maxLength: 255 }),
  },
  "If-Match": {
    description: "Only when the key's mod revision is this one, or `*`: when the key is there",
    schema: Type.String({ pattern: '^("[1-9][0-9]{0,14}"|\\*)$' }),
  },
  "If-None-Match": {
    description: "`*`: only when the key is not there",
    schema: Type.Literal("*"),
  },
  "Last-Event-ID": {
    description: "Revision of the last message that was seen: go on behind it. It wins over `revision`",
    schema: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER - 1 }),
  },
};

export type AnswerHeader = keyof typeof ANSWER_HEADERS;

export const ANSWER_HEADERS = {
  ETag: { description: "The row's mod revision in quotes", schema: Type.String({ pattern: '^"[0-9]+"$' }) },
  "Concord-Revision": {
    description: "Revision of the store after a write, or that a read was made at",
    schema: Type.Integer({ minimum: 0 }),
  },
  "Concord-Replayed": {
    description: "An earlier request with this Idempotency-Key did the write",
    schema: Type.Literal("true"),
  },
  "Concord-Consistency": {
    description: "The level the read was made at",
    schema: Type.Enum(["strong", "leader", "eventual"]),
  },
  "Concord-Term": { description: "Term of the member that answered", schema: Type.Integer({ minimum: 0 }) },
  "Concord-Staleness-Ms": {
    description:
      "Everything that was acknowledged this long before the answer is in it; absent while that is not known",
    schema: Type.Integer({ minimum: 0 }),
  },
} as const satisfies Readonly<Record<string, HeaderDescription>>;

/** Headers of the answer to a read. */
export const READ_HEADERS = ["Concord-Consistency", "Concord-Term", "Concord-Staleness-Ms"] as const;

/** What may be wrong with any request. */
export const PROBLEMS_OF_ALL = [
  "CONCORD_INVALID_ARGUMENT",
  "CONCORD_REQUEST_TOO_SLOW",
  "CONCORD_URI_TOO_LONG",
  "CONCORD_HEADERS_TOO_LARGE",
  "CONCORD_INTERNAL",
] as const satisfies readonly ErrorCode[];

/** Of an operation that takes a body. */
export const PROBLEMS_OF_BODIES = [
  "CONCORD_REQUEST_TOO_LARGE",
  "CONCORD_UNSUPPORTED_MEDIA_TYPE",
] as const satisfies readonly ErrorCode[];

/** Of everything that asks the cluster, and not this member alone. */
export const PROBLEMS_OF_CLUSTER = [
  "CONCORD_PERMISSION_DENIED",
  "CONCORD_TOO_MANY_REQUESTS",
  "CONCORD_NO_LEADER",
  "CONCORD_NOT_LEADER",
  "CONCORD_LEADER_CHANGED",
  "CONCORD_WAITING",
  "CONCORD_STOPPED",
  "CONCORD_UNHEALTHY",
  "CONCORD_TIMEOUT",
] as const satisfies readonly ErrorCode[];

/** Of reads of keys. */
export const PROBLEMS_OF_READS = [
  ...PROBLEMS_OF_CLUSTER,
  "CONCORD_COMPACTED",
  "CONCORD_FUTURE_REVISION",
] as const satisfies readonly ErrorCode[];

/** Of writes. */
export const PROBLEMS_OF_WRITES = [
  ...PROBLEMS_OF_CLUSTER,
  "CONCORD_FOUNDING",
  "CONCORD_OUTCOME_UNKNOWN",
  "CONCORD_NO_SPACE",
  "CONCORD_REQUEST_TOO_LARGE",
  "CONCORD_IDEMPOTENCY_CONFLICT",
  "CONCORD_IDEMPOTENCY_FULL",
] as const satisfies readonly ErrorCode[];
