import { type SettingName } from "../../../node/config/schema.ts";

/** One limit of the design: what bounds it, and the metric that shows how near it is or how often it was met. */
export interface LimitReference {
  readonly what: string;
  /** The settings that name it; for a fixed one, its value. */
  readonly bound: readonly SettingName[] | string;
  readonly metrics: readonly string[];
}

const REFUSED = "concord_writes_not_done_total";

/** The limits of a member, in the order of what a client does. */
export const LIMITS: readonly LimitReference[] = [
  { what: "Connections of clients", bound: ["maxConnections"], metrics: ["concord_connections_open"] },
  {
    what: "Sessions, their requests, watches, frames and buffers",
    bound: ["maxSessions", "maxSessionRequests", "maxSessionWatches", "maxSessionFrameBytes", "maxSessionBufferBytes"],
    metrics: ["concord_sessions_open", "concord_session_buffered_bytes", "concord_session_limit_hits_total"],
  },
  { what: "A request, a value, and a key at etcd's doors", bound: ["maxRequestBytes"], metrics: [REFUSED] },
  { what: "A key at the native doors", bound: "1024 bytes", metrics: ["concord_requests_total"] },
  { what: "Operations of a txn at etcd's doors", bound: ["maxTxnOps"], metrics: [REFUSED] },
  { what: "Operations of a txn and items of a bulk request at the native doors", bound: "500", metrics: [REFUSED] },
  { what: "Nesting of a txn", bound: "16", metrics: [REFUSED] },
  {
    what: "Writes in the log that are not committed, and writes that wait for a leader: then too many requests",
    bound: "64 MiB or 20 000 entries; 20 000 writes",
    metrics: ["concord_writes_pending", REFUSED],
  },
  {
    what: "Bytes of data, history included",
    bound: ["quotaBackendBytes"],
    metrics: ["concord_store_bytes", "concord_store_quota_bytes", "concord_alarms_active"],
  },
  {
    what: "History",
    bound: ["autoCompactionMode", "autoCompactionRetention"],
    metrics: ["concord_store_revision", "concord_store_compact_revision"],
  },
  {
    what: "Idempotency keys",
    bound: ["idempotencyTtl", "idempotencyBytesMax"],
    metrics: ["concord_idempotency_bytes", "concord_idempotency_bytes_max", REFUSED],
  },
  { what: "Leases", bound: "1 000 000", metrics: ["concord_store_leases", REFUSED] },
  { what: "Rows with a time to live", bound: ["quotaBackendBytes"], metrics: ["concord_store_rows_with_end"] },
  {
    what: "Bytes that wait for another member",
    bound: "32 MiB",
    metrics: ["concord_peer_buffered_bytes", "concord_peer_dropped_frames_total"],
  },
  { what: "Voters", bound: "3 to 7 are recommended", metrics: ["concord_cluster_voters"] },
];
