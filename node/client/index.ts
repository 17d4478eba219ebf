export * from "./admin.ts";
export { ConcordError, ERROR_TABLE, type ErrorCode, type ErrorRow } from "./errors.ts";
