import { type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerStreamResponseOptions } from "node:http2";
import { encodeDetails, type GrpcStatus } from "./status.ts";

// The headers of gRPC over HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

export const CONTENT_TYPE = "application/grpc";
/** Of requests. Answers are never compressed. */
export const ACCEPTED_ENCODINGS = "identity,deflate,gzip";

type AnswerOptions = ServerStreamResponseOptions & { readonly sendDate: boolean };

/** In front of messages. Nobody changes it: one object serves every answer. */
export const ANSWER_HEADERS: OutgoingHttpHeaders = { ":status": 200, "content-type": CONTENT_TYPE };
export const ANSWER_OPTIONS: AnswerOptions = { waitForTrailers: true, sendDate: false };
/** For an answer without a message: its headers are its trailers as well. */
export const TRAILERS_ONLY: AnswerOptions = { endStream: true, sendDate: false };
/** Behind the message of a call that went well. */
export const OK_TRAILERS: OutgoingHttpHeaders = { "grpc-status": "0" };

/** `application/grpc`, with a codec's suffix or parameters. */
export function isGrpc(headers: IncomingHttpHeaders): boolean {
  const type = headers["content-type"];
  if (type === CONTENT_TYPE) return true;
  return type !== undefined && type.startsWith(CONTENT_TYPE) && (type[16] === "+" || type[16] === ";");
}

const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/**
 * @param value - of the header `grpc-timeout`
 * @returns Milliseconds; infinite without the header; undefined when it is not a timeout.
 */
export function parseTimeout(value: string | string[] | undefined): number | undefined {
  if (value === undefined) return Number.POSITIVE_INFINITY;
  const [, digits, unit = ""] = TIMEOUT.exec(String(value)) ?? [];
  return digits === undefined ? undefined : Number(digits) * (UNIT_MS[unit] ?? 0);
}

/** The trailers of a call. */
export function trailersOf({ code, details }: GrpcStatus): OutgoingHttpHeaders {
  return { "grpc-status": String(code), "grpc-message": encodeDetails(details) };
}
