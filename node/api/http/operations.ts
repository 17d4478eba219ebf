import { ADMIN } from "./admin.ts";
import { BULK } from "./bulk.ts";
import { DOCUMENTS } from "./documents.ts";
import { PROBES } from "./health.ts";
import { HISTORY } from "./history.ts";
import { IDEMPOTENCY } from "./idempotency.ts";
import { KV } from "./kv.ts";
import { LEASE } from "./lease.ts";
import { LOCK } from "./lock.ts";
import { SESSION } from "./session.ts";
import { type OperationGroup } from "./operation.ts";
import { TXN } from "./txn.ts";
import { WATCH } from "./watch.ts";

/** Everything that can be done over HTTP, but etcd's JSON gateway, which rpc.proto describes. */
export const OPERATION_GROUPS: readonly OperationGroup[] = [
  KV,
  HISTORY,
  BULK,
  TXN,
  IDEMPOTENCY,
  LEASE,
  LOCK,
  WATCH,
  SESSION,
  ADMIN,
  PROBES,
  DOCUMENTS,
];
