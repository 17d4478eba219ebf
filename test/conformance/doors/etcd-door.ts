import { ConcordError } from "../../../node/client/errors.ts";
import { type BackendAnswer } from "../../../node/client/store/backend.ts";
import {
  type Compare,
  type KeyValue,
  type Operation,
  type OperationReply,
  type RequestSettings,
  type SessionReply,
  type SessionRequest,
} from "../../../node/client/wire/types.ts";
import { etcdClient, type EtcdMessage, type EtcdRow, type EtcdTestClient } from "../../support/open-doors.ts";
import { type Door, errorOfText } from "./door.ts";
import { openServer } from "./member.ts";

const LACKS: Door["lacks"] = {
  "row ttl": "etcd's rows have no time of their own",
  history: "etcd has no such method",
  "content type": "etcd's rows have none",
  "what an answer is worth": "etcd's header has no place for it",
  "minimum revision": "it is metadata of a call, tested with the door",
  "said to be replayed": "etcd's answers have no place for it",
  "key length": "etcd's keys may be as long as a request",
  progress: "a stream's progress is of all its watches, tested with the door",
  "count of revoked keys": "etcd's answer does not tell",
};

/** etcd's gRPC, through a plain client over the wire definition. */
export async function etcdDoor(): Promise<Door> {
  const server = await openServer();
  const etcd = etcdClient(`127.0.0.1:${server.port}`);
  return {
    name: "etcd",
    lacks: LACKS,
    carryOut: (request, settings = {}) => carryOut(etcd, request, settings),
    async watch({ key, rangeEnd, startRevision, previous, filterPut, filterDelete }) {
      const stream = etcd.watch();
      stream.send({
        create_request: {
          key,
          range_end: rangeEnd,
          start_revision: startRevision,
          prev_kv: previous,
          filters: [...(filterPut ? ["NOPUT"] : []), ...(filterDelete ? ["NODELETE"] : [])],
        },
      });
      await stream.next();
      return {
        async next() {
          const { canceled, compact_revision: compactRevision, events } = await stream.next();
          if (!canceled) {
            return events.map(({ type, kv, prev_kv: before }) => ({
              type: type === "PUT" ? ("put" as const) : ("delete" as const),
              row: keyValue(kv),
              previous: before === null ? undefined : keyValue(before),
            }));
          }
          if (compactRevision === "0") return undefined;
          const details = { compactRevision: Number(compactRevision) };
          throw new ConcordError("CONCORD_COMPACTED", undefined, { details });
        },
        cancel: () => stream.cancel(),
      };
    },
    async close() {
      etcd.close();
      await server.close();
    },
  };
}

async function call(
  etcd: EtcdTestClient,
  service: string,
  method: string,
  request: object,
  { idempotencyKey }: RequestSettings = {},
): Promise<EtcdMessage> {
  const metadata: Record<string, string> =
    idempotencyKey === undefined ? {} : { "idempotency-key": Buffer.from(idempotencyKey).toString("latin1") };
  try {
    return await etcd.call(service, method, request as Record<string, unknown>, metadata);
  } catch (error) {
    throw errorOfText((error as { readonly details: string }).details);
  }
}

async function carryOut(
  etcd: EtcdTestClient,
  request: SessionRequest,
  settings: RequestSettings,
): Promise<BackendAnswer> {
  switch (request.type) {
    case "range":
    case "put":
    case "delete":
    case "txn": {
      const method = { range: "Range", put: "Put", delete: "DeleteRange", txn: "Txn" }[request.type];
      const serializable = settings.level === "eventual" ? { serializable: true } : {};
      const message = await call(etcd, "KV", method, { ...operationMessage(request), ...serializable }, settings);
      return { revision: Number(message.header.revision), reply: operationReply(request, message) };
    }
    case "compact":
      return answer(await call(etcd, "KV", "Compact", { revision: request.revision }, settings), { type: "compact" });
    case "leaseGrant": {
      const message = await call(
        etcd,
        "Lease",
        "LeaseGrant",
        { ID: String(request.id), TTL: request.ttlSeconds },
        settings,
      );
      return answer(message, { type: "leaseGrant", id: BigInt(message.ID), ttlSeconds: Number(message.TTL) });
    }
    case "leaseRevoke":
      return answer(await call(etcd, "Lease", "LeaseRevoke", { ID: String(request.id) }, settings), {
        type: "leaseRevoke",
        deleted: 0,
      });
    case "leaseKeepAlive": {
      const stream = etcd.stream("Lease", "LeaseKeepAlive");
      stream.send({ ID: String(request.id) });
      const message = await stream.next();
      stream.finish();
      return answer(message, { type: "leaseKeepAlive", ttlSeconds: Number(message.TTL) });
    }
    case "leaseTimeToLive": {
      const wanted = { ID: String(request.id), keys: request.keys };
      const message = await call(etcd, "Lease", "LeaseTimeToLive", wanted);
      const ttl = Number(message.TTL);
      const keys = message.keys.map((key) => Uint8Array.from(key));
      const left = { ttlSeconds: ttl < 0 ? undefined : ttl, grantedSeconds: Number(message.grantedTTL), keys };
      return answer(message, { type: "leaseTimeToLive", ...left });
    }
    case "leases": {
      const message = await call(etcd, "Lease", "LeaseLeases", {});
      return answer(message, { type: "leases", ids: message.leases.map(({ ID }) => BigInt(ID)) });
    }
    default:
      throw new Error(`The suite asks for no ${request.type}`);
  }
}

function answer(message: EtcdMessage, reply: SessionReply): BackendAnswer {
  return { revision: Number(message.header.revision), reply };
}

const upper = (text: string): string => text.toUpperCase();

function operationMessage(operation: Operation): object {
  switch (operation.type) {
    case "put":
      return {
        key: operation.key,
        value: operation.value,
        lease: String(operation.lease),
        prev_kv: operation.previous,
        ignore_value: operation.ignoreValue,
        ignore_lease: operation.ignoreLease,
      };
    case "range":
      return {
        key: operation.key,
        range_end: operation.rangeEnd,
        limit: operation.limit,
        revision: operation.revision,
        sort_target: upper(operation.sortTarget),
        sort_order: upper(operation.sortOrder),
        keys_only: operation.keysOnly,
        count_only: operation.countOnly,
        min_mod_revision: operation.minModRevision,
        max_mod_revision: operation.maxModRevision,
        min_create_revision: operation.minCreateRevision,
        max_create_revision: operation.maxCreateRevision,
      };
    case "delete":
      return { key: operation.key, range_end: operation.rangeEnd, prev_kv: operation.previous };
    case "txn":
      return {
        compare: operation.compares.map(compareMessage),
        success: operation.success.map(branchMessage),
        failure: operation.failure.map(branchMessage),
      };
    case "touch":
      throw new Error("etcd has no touch");
  }
}

function branchMessage(operation: Operation): object {
  const field = {
    put: "request_put",
    range: "request_range",
    delete: "request_delete_range",
    txn: "request_txn",
    touch: "",
  };
  return { [field[operation.type]]: operationMessage(operation) };
}

function compareMessage(compare: Compare): object {
  const field = { version: "version", create: "create_revision", mod: "mod_revision", value: "value", lease: "lease" };
  return {
    key: compare.key,
    range_end: compare.rangeEnd,
    target: upper(compare.target),
    result: compare.result === "notEqual" ? "NOT_EQUAL" : upper(compare.result),
    [field[compare.target]]: typeof compare.operand === "bigint" ? String(compare.operand) : compare.operand,
  };
}

function keyValue(row: EtcdRow): KeyValue {
  return {
    key: Uint8Array.from(row.key),
    value: Uint8Array.from(row.value),
    createRevision: Number(row.create_revision),
    modRevision: Number(row.mod_revision),
    version: Number(row.version),
    lease: BigInt(row.lease),
  };
}

function operationReply(operation: Operation, message: EtcdMessage): OperationReply {
  switch (operation.type) {
    case "put":
      return { type: "put", previous: message.prev_kv === null ? undefined : keyValue(message.prev_kv) };
    case "range":
      return { type: "range", rows: message.kvs.map(keyValue), count: Number(message.count), more: message.more };
    case "delete":
      return { type: "delete", deleted: Number(message.deleted), previous: message.prev_kvs.map(keyValue) };
    default: {
      const branch = operation.type !== "txn" ? [] : message.succeeded ? operation.success : operation.failure;
      const replies = message.responses.map((each, at) => {
        const inner = (each as unknown as Record<string, EtcdMessage>)[each.response]!;
        return operationReply(branch[at]!, inner);
      });
      return { type: "txn", succeeded: message.succeeded, replies };
    }
  }
}
