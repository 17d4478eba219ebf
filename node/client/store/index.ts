/** What a program has of a store, wherever the store is. */
export { type RequestOptions } from "./backend.ts";
export { Lease, type LeaseTime, Lock } from "./lease.ts";
export { op, when, type Bytes, type PutOptions, type RangeOptions, type Selection } from "./operations.ts";
export { Row, type Change } from "./row.ts";
export {
  KeyValueStore,
  type History,
  type HistoryOptions,
  type ListOptions,
  type LockOptions,
  type Page,
  type ReadMode,
  type Transaction,
  type Watching,
  type WatchOptions,
  type WriteOptions,
} from "./store.ts";
export { type Compare, type Operation, type OperationReply, type ReadLevel } from "../wire/types.ts";
