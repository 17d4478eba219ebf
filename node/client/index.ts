export * from "./admin.ts";
export { connect, Client, type ConnectOptions } from "./connect.ts";
export * from "./store/index.ts";
export { AdminClient } from "./admin-client.ts";
export {
  KvClient,
  type KvList,
  type KvRow,
  type PutOptions as KvPutOptions,
  type ReadOptions as KvReadOptions,
  type WriteOptions as KvWriteOptions,
} from "./kv-client.ts";
export { LeaseClient } from "./lease-client.ts";
export { WatchClient, type WatchMessage, type WatchOptions as WatchClientOptions } from "./watch-client.ts";
export {
  clientTlsFromFiles,
  HttpConnection,
  type Call,
  type CallOptions,
  type ClientTls,
  type ConnectionOptions,
} from "./http-connection.ts";
export { ConcordError, ERROR_TABLE, exitStatus, isErrorCode, type ErrorCode, type ErrorRow } from "./errors.ts";
