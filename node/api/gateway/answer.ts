import { STATUS_CODES } from "node:http";
import { type GrpcStatus } from "../grpc/status.ts";

/** Of every answer, as etcd's gateway has them. */
export const ANSWER_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "application/json",
  "grpc-metadata-content-type": "application/grpc",
};

/** HTTP statuses of gRPC's codes, as etcd's gateway has them: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto */
const HTTP_STATUSES: readonly number[] = [
  200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
];

export function httpStatus(code: number): number {
  return HTTP_STATUSES[code] ?? 500;
}

/** Clients of etcd before 3.6 look for `error`, later ones for `message`. */
export function errorBody({ code, details }: GrpcStatus): object {
  return { error: details, code, message: details, details: [] };
}

/** The last line of a stream that failed. Clients of etcd before 3.6 look for `grpc_code` and `http_code`. */
export function streamErrorBody({ code, details }: GrpcStatus): object {
  const http = httpStatus(code);
  return {
    error: {
      grpc_code: code,
      http_code: http,
      http_status: STATUS_CODES[http] ?? "",
      code,
      message: details,
      details: [],
    },
  };
}
