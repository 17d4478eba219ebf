import { Type, type Static, type TProperties } from "typebox";

/**
 * What the REST door takes and gives in JSON; `api/http/openapi.json` says at which paths. Keys and values are bytes: they
 * come as base64, and as text beside it (`keyText`, `valueText`) where they are valid UTF-8; a request gives one of the
 * two. Revisions are JSON numbers. A lease id is 16 hex digits, as etcdctl prints it.
 */
/** Of the REST door; clients of etcd may use longer keys. */
export const KEY_BYTES_MAX = 1024;
export const BULK_ITEMS_MAX = 500;
/** Operations in one branch, and compares, of a txn. */
export const TXN_OPERATIONS_MAX = 128;
export const LIST_LIMIT_MAX = 1000;
export const LIST_LIMIT_DEFAULT = 100;
/** Longest time to live of a row or a lease: about 285 years. */
export const TTL_SECONDS_MAX = 9_000_000_000;
/** Longest content type of a value. */
export const CONTENT_TYPE_MAX = 255;
export const LOCK_WAIT_MAX_MS = 60_000;

/** A request: what it does not name is refused, so that a misspelt field is not taken for one left out. */
const request = <P extends TProperties>(properties: P) => Type.Object(properties, { additionalProperties: false });

/** 0 is no lease. */
export const LEASE_ID_PATTERN = "^(?!0{16}$)[0-9a-f]{16}$";
export const LeaseId = Type.String({ pattern: LEASE_ID_PATTERN, description: "16 hex digits, not all zero" });
export const Revision = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Base64 = Type.String({ contentEncoding: "base64" });
const Text = Type.String({ description: "The same bytes as text; absent when they are no UTF-8" });
const KeyFields = {
  key: Type.Optional(Type.String({ contentEncoding: "base64", description: "The key, or else keyText" })),
  keyText: Type.Optional(Type.String({ description: "The key as text, or else key" })),
};
const ValueFields = {
  value: Type.Optional(Type.String({ contentEncoding: "base64", description: "The value, or else valueText" })),
  valueText: Type.Optional(Type.String({ description: "The value as text, or else value" })),
};
const RangeFields = {
  ...KeyFields,
  rangeEnd: Type.Optional(
    Type.String({ contentEncoding: "base64", description: "The first key behind the range; absent: the key alone" }),
  ),
  rangeEndText: Type.Optional(Type.String({ description: "The same as text" })),
  prefix: Type.Optional(Type.Boolean({ description: "All keys that begin with the key; it may be empty then" })),
};

export const Row = Type.Object({
  key: Base64,
  keyText: Type.Optional(Text),
  value: Type.Optional(Base64),
  valueText: Type.Optional(Text),
  createRevision: Revision,
  modRevision: Revision,
  version: Type.Integer({ minimum: 0, description: "Puts since the row was created" }),
  lease: Type.Optional(LeaseId),
  ttlSeconds: Type.Optional(
    Type.Integer({ minimum: 0, description: "What is left of its time, rounded up; absent from a row without an end" }),
  ),
  contentType: Type.Optional(Type.String({ description: "As the put named it; absent when it named none" })),
});
export type Row = Static<typeof Row>;
/** A row, and the revision of the store it was read at. */
export const RowRead = Type.Object({ ...Row.properties, revision: Revision });
export type RowRead = Static<typeof RowRead>;
export const RowPage = Type.Object({
  items: Type.Array(Row),
  count: Type.Integer({ minimum: 0, description: "Of this page's first key and everything behind it" }),
  revision: Revision,
  cursor: Type.Optional(Type.String({ description: "Of the next page; absent from the last one" })),
});
export type RowPage = Static<typeof RowPage>;

/** A row as it was, or that it was deleted at `modRevision`: then with neither value nor version. */
export const HistoryRow = Type.Object({
  ...Row.properties,
  type: Type.Enum(["put", "delete"]),
  createRevision: Type.Optional(Revision),
  version: Type.Optional(Type.Integer({ minimum: 1 })),
});
export type HistoryRow = Static<typeof HistoryRow>;
export const History = Type.Object({
  items: Type.Array(HistoryRow),
  revision: Revision,
  next: Type.Optional(
    Type.Integer({ minimum: 1, description: "There are older ones: the `to` to go on with. Absent at the end" }),
  ),
});
export type History = Static<typeof History>;

export const Written = Type.Object({ revision: Revision });
export type Written = Static<typeof Written>;
export const Deleted = Type.Object({ revision: Revision, deleted: Type.Integer({ minimum: 0 }) });
export type Deleted = Static<typeof Deleted>;

export const Touched = Type.Object({
  revision: Revision,
  touched: Type.Integer({ minimum: 0, description: "Rows that were there" }),
});
export type Touched = Static<typeof Touched>;

const RowTtl = Type.Integer({
  minimum: 1,
  maximum: TTL_SECONDS_MAX,
  description: "The row is deleted this long after the write",
});

/** The longest is judged by the store, which has a code for it at every door. */
const LeaseTtl = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: `Raised to 2, and at most ${TTL_SECONDS_MAX}`,
});
export const GrantLease = request({
  ttlSeconds: LeaseTtl,
  id: Type.Optional(LeaseId),
});
export type GrantLease = Static<typeof GrantLease>;
export const GrantedLease = Type.Object({ id: LeaseId, ttlSeconds: Type.Integer(), revision: Revision });
export type GrantedLease = Static<typeof GrantedLease>;
export const LeaseList = Type.Object({ leases: Type.Array(Type.Object({ id: LeaseId })) });
export type LeaseList = Static<typeof LeaseList>;
export const KeyName = Type.Object({ key: Base64, keyText: Type.Optional(Text) });
export type KeyName = Static<typeof KeyName>;
export const LeaseInfo = Type.Object({
  id: LeaseId,
  ttlSeconds: Type.Integer({ description: "What is left" }),
  grantedTtlSeconds: Type.Integer(),
  keys: Type.Optional(Type.Array(KeyName)),
});
export type LeaseInfo = Static<typeof LeaseInfo>;
export const RenewedLease = Type.Object({ id: LeaseId, ttlSeconds: Type.Integer() });
export type RenewedLease = Static<typeof RenewedLease>;

/** The operand has the name of the target; `exists` is true or false, and only `equal`. */
export const TxnCompare = request({
  ...RangeFields,
  ...ValueFields,
  target: Type.Enum(["version", "createRevision", "modRevision", "value", "lease", "exists"]),
  result: Type.Optional(Type.Enum(["equal", "notEqual", "greater", "less"], { default: "equal" })),
  version: Type.Optional(Revision),
  createRevision: Type.Optional(Revision),
  modRevision: Type.Optional(Revision),
  lease: Type.Optional(Type.String({ pattern: "^[0-9a-f]{16}$", description: "16 hex digits; zeros are no lease" })),
  exists: Type.Optional(Type.Boolean()),
});
export type TxnCompare = Static<typeof TxnCompare>;

export const PutItem = request({
  ...KeyFields,
  ...ValueFields,
  lease: Type.Optional(LeaseId),
  ttlSeconds: Type.Optional(RowTtl),
  contentType: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: CONTENT_TYPE_MAX,
      pattern: "^[ -~]*$",
      description: "Media type of the value",
    }),
  ),
});
export type PutItem = Static<typeof PutItem>;
export const TxnPut = request({ ...PutItem.properties, previous: Type.Optional(Type.Boolean()) });
export const TxnGet = request({
  ...RangeFields,
  revision: Type.Optional(Revision),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIST_LIMIT_MAX, default: LIST_LIMIT_DEFAULT })),
  keysOnly: Type.Optional(Type.Boolean()),
});
export const TxnDelete = request({ ...RangeFields, previous: Type.Optional(Type.Boolean()) });
/** Sets how long a row lives from now on, and nothing else; 0: without end. */
export const TouchItem = request({
  ...KeyFields,
  ttlSeconds: Type.Integer({ minimum: 0, maximum: TTL_SECONDS_MAX }),
});
export type TouchItem = Static<typeof TouchItem>;
const oneProperty = { minProperties: 1, maxProperties: 1, additionalProperties: false };
const Operations = Type.Optional(Type.Array(Type.Ref("TxnOperation"), { maxItems: TXN_OPERATIONS_MAX }));

/** `success` is carried out when all compares hold, else `failure`. */
export const TxnRequest = Type.Cyclic(
  {
    TxnOperation: Type.Object(
      {
        put: Type.Optional(TxnPut),
        get: Type.Optional(TxnGet),
        delete: Type.Optional(TxnDelete),
        touch: Type.Optional(TouchItem),
        txn: Type.Optional(Type.Ref("TxnRequest")),
      },
      oneProperty,
    ),
    TxnRequest: request({
      compare: Type.Optional(Type.Array(TxnCompare, { maxItems: TXN_OPERATIONS_MAX })),
      success: Operations,
      failure: Operations,
    }),
  },
  "TxnRequest",
);
/** Exactly one of them. */
export interface TxnOperation {
  readonly put?: Static<typeof TxnPut>;
  readonly get?: Static<typeof TxnGet>;
  readonly delete?: Static<typeof TxnDelete>;
  readonly touch?: TouchItem;
  readonly txn?: TxnRequest;
}
export interface TxnRequest {
  readonly compare?: readonly TxnCompare[];
  readonly success?: readonly TxnOperation[];
  readonly failure?: readonly TxnOperation[];
}

/** Of the branch that was carried out, in the order of its operations. */
const Results = Type.Array(Type.Ref("TxnResult"));
export const TxnAnswer = Type.Cyclic(
  {
    TxnResult: Type.Object(
      {
        put: Type.Optional(Type.Object({ previous: Type.Optional(Row) })),
        get: Type.Optional(Type.Object({ items: Type.Array(Row), count: Type.Integer(), more: Type.Boolean() })),
        delete: Type.Optional(Type.Object({ deleted: Type.Integer(), previous: Type.Array(Row) })),
        touch: Type.Optional(Type.Object({ touched: Type.Boolean() })),
        txn: Type.Optional(Type.Object({ succeeded: Type.Boolean(), results: Results })),
      },
      oneProperty,
    ),
    TxnAnswer: Type.Object({ succeeded: Type.Boolean(), revision: Revision, results: Results }),
  },
  "TxnAnswer",
);
export interface TxnResult {
  readonly put?: { readonly previous?: Row };
  readonly get?: { readonly items: readonly Row[]; readonly count: number; readonly more: boolean };
  readonly delete?: { readonly deleted: number; readonly previous: readonly Row[] };
  readonly touch?: { readonly touched: boolean };
  readonly txn?: { readonly succeeded: boolean; readonly results: readonly TxnResult[] };
}
export interface TxnAnswer {
  readonly succeeded: boolean;
  readonly revision: number;
  readonly results: readonly TxnResult[];
}

const bulk = { minItems: 1, maxItems: BULK_ITEMS_MAX };
const Keys = Type.Array(request(KeyFields), bulk);
export const BulkPut = request({ items: Type.Array(PutItem, bulk) });
export type BulkPut = Static<typeof BulkPut>;
export const BulkGet = request({
  keys: Keys,
  consistency: Type.Optional(Type.Enum(["strong", "leader", "eventual"], { default: "strong" })),
  minRevision: Type.Optional(Revision),
  maxStalenessMs: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type BulkGet = Static<typeof BulkGet>;
export const BulkTouch = request({ items: Type.Array(TouchItem, bulk) });
export type BulkTouch = Static<typeof BulkTouch>;
export const BulkDelete = request({ keys: Keys });
export type BulkDelete = Static<typeof BulkDelete>;
/** In the order of the keys; null for one that is not there. */
export const BulkRows = Type.Object({ revision: Revision, items: Type.Array(Type.Union([Row, Type.Null()])) });
export type BulkRows = Static<typeof BulkRows>;

/** What happened to one key. A delete has the key alone; `previous` comes when it was asked for. */
export const WatchChange = Type.Union([
  Type.Object({ type: Type.Literal("put"), row: Row, previous: Type.Optional(Row) }),
  Type.Object({ type: Type.Literal("delete"), ...KeyName.properties, previous: Type.Optional(Row) }),
]);
export type WatchChange = Static<typeof WatchChange>;
export const WatchChanges = Type.Object(
  { revision: Revision, events: Type.Array(WatchChange) },
  { description: "The message `change` of a watch: all changes of one revision, which is the message's id" },
);
export type WatchChanges = Static<typeof WatchChanges>;
export const WatchProgress = Type.Object(
  { revision: Revision },
  {
    description: "The message `progress`: up to here nothing else happened. The first one says where the watch begins",
  },
);
export type WatchProgress = Static<typeof WatchProgress>;
export const WatchCompacted = Type.Object(
  { compactRevision: Revision },
  { description: "The message `compacted`, the last one: history that the watch has not seen was discarded" },
);
export type WatchCompacted = Static<typeof WatchCompacted>;

/** Either a lease of the caller's, or the time to live of one that is granted for the lock and that the caller renews. */
export const AcquireLock = request({
  ttlSeconds: Type.Optional(LeaseTtl),
  leaseId: Type.Optional(LeaseId),
  waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: LOCK_WAIT_MAX_MS, default: 0 })),
});
export type AcquireLock = Static<typeof AcquireLock>;
export const AcquiredLock = Type.Object({
  name: Type.String(),
  ...KeyName.properties,
  leaseId: LeaseId,
  fencingToken: Type.Integer({ description: "Greater than that of every earlier holder" }),
});
export type AcquiredLock = Static<typeof AcquiredLock>;
