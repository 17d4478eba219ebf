export * from "./admin.ts";
export { AdminClient } from "./admin-client.ts";
export {
  KvClient,
  type KvList,
  type KvRow,
  type PutOptions,
  type ReadOptions,
  type WriteOptions,
} from "./kv-client.ts";
export { WatchClient, type WatchMessage, type WatchOptions } from "./watch-client.ts";
export {
  clientTlsFromFiles,
  HttpConnection,
  type Call,
  type CallOptions,
  type ClientTls,
  type ConnectionOptions,
} from "./http-connection.ts";
export { ConcordError, ERROR_TABLE, exitStatus, isErrorCode, type ErrorCode, type ErrorRow } from "./errors.ts";
