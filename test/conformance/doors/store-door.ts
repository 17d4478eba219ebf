import { connect } from "../../../node/client/connect.ts";
import { ConcordError } from "../../../node/client/errors.ts";
import { type BackendAnswer } from "../../../node/client/store/backend.ts";
import { type Row } from "../../../node/client/store/row.ts";
import { type KeyValueStore } from "../../../node/client/store/store.ts";
import {
  type Change,
  type KeyValue,
  type Operation,
  type RequestSettings,
  type SessionReply,
  type SessionRequest,
} from "../../../node/client/wire/types.ts";
import { Concord } from "../../../node/index.ts";
import { type Door } from "./door.ts";
import { openServer } from "./member.ts";

const LACKS: Door["lacks"] = {
  "said to be replayed": "the methods return the outcome of the first attempt, and no more",
  progress: "an iteration of changes has no marks between them",
};

/** `Concord.open` of the library. */
export async function embeddedDoor(): Promise<Door> {
  const store = await Concord.open({ memory: true, autoCompaction: { mode: "off" } });
  return storeDoor("embedded", store, () => store.close());
}

/** `connect` of `concord-kv/client`, over a session. */
export async function clientDoor(): Promise<Door> {
  const server = await openServer();
  const client = await connect({ endpoints: [server.url] });
  return storeDoor("client", client, async () => {
    await client.close();
    await server.close();
  });
}

/** The methods that a program calls, as the suite's requests ask for them. */
function storeDoor(name: string, store: KeyValueStore, close: () => Promise<void>): Door {
  return {
    name,
    lacks: LACKS,
    carryOut: (request, settings = {}) => carryOut(store, request, settings),
    async watch(request) {
      const selection =
        request.rangeEnd.length === 0 ? { key: request.key } : { from: request.key, to: request.rangeEnd };
      const stop = new AbortController();
      const watch = store.watch(selection, {
        fromRevision: request.startRevision,
        previous: request.previous,
        signal: stop.signal,
        ...(request.filterPut ? { only: "delete" } : request.filterDelete ? { only: "put" } : {}),
      });
      // One that cannot begin says why when it is read.
      await watch.started.catch(() => undefined);
      return {
        async next(): Promise<readonly Change[] | undefined> {
          const { value, done } = await watch.next();
          if (done === true) return undefined;
          const row = value.value ?? { ...EMPTY_ROW, key: value.keyBytes, modRevision: value.revision };
          return [{ type: value.type, row: keyValue(row), previous: value.previous && keyValue(value.previous) }];
        },
        cancel: () => stop.abort(),
      };
    },
    close,
  };
}

const NO_BYTES = new Uint8Array(0);
const EMPTY_ROW = { key: NO_BYTES, value: NO_BYTES, createRevision: 0, modRevision: 0, version: 0, lease: 0n };

async function carryOut(
  store: KeyValueStore,
  request: SessionRequest,
  settings: RequestSettings,
): Promise<BackendAnswer> {
  const { level, ...options } = settings;
  switch (request.type) {
    case "range": {
      if (level !== undefined && request.rangeEnd.length === 0) {
        const page = await store.page(
          { key: request.key },
          { ...options, consistency: level, revision: request.revision },
        );
        const { rows, count, more, revision, consistency, term, stalenessMs } = page;
        const reply = { type: "range", rows: rows.map(keyValue), count, more } as const;
        return { revision, reply, freshness: { level: consistency, term, stalenessMs } };
      }
      return one(store, request, settings);
    }
    case "put": {
      if (request.previous || request.ignoreValue || request.ignoreLease) return one(store, request, settings);
      const { revision } = await store.put(request.key, request.value, {
        ...options,
        lease: request.lease,
        ...(request.ttlMs === undefined ? {} : { ttlMs: request.ttlMs }),
        ...(request.contentType === undefined ? {} : { contentType: request.contentType }),
      });
      return { revision, reply: { type: "put", previous: undefined } };
    }
    case "delete": {
      if (request.previous) return one(store, request, settings);
      const selection =
        request.rangeEnd.length === 0 ? { key: request.key } : { from: request.key, to: request.rangeEnd };
      const { revision, deleted } = await store.delete(selection, options);
      return { revision, reply: { type: "delete", deleted, previous: [] } };
    }
    case "touch":
      return at({ type: "touch", touched: await store.touch(request.key, request.ttlMs, options) });
    case "txn": {
      const { compares, success, failure } = request;
      const { revision, succeeded, replies } = await store.txn({ if: compares, then: success, else: failure }, options);
      return { revision, reply: { type: "txn", succeeded, replies } };
    }
    case "history": {
      const { key, fromRevision, toRevision, limit } = request;
      const { changes, more, revision } = await store.history(key, { fromRevision, toRevision, limit });
      const rows = changes.map(({ value, keyBytes, revision: modRevision }) =>
        keyValue(value ?? { ...EMPTY_ROW, key: keyBytes, modRevision }),
      );
      return { revision, reply: { type: "history", rows, more } };
    }
    case "compact":
      await store.compact(request.revision, options);
      return at({ type: "compact" });
    case "leaseGrant": {
      const { id, ttlSeconds } = await store.lease(request.ttlSeconds, { ...options, id: request.id });
      return at({ type: "leaseGrant", id, ttlSeconds });
    }
    case "leaseRevoke":
      return at({ type: "leaseRevoke", deleted: await store.leaseOf(request.id, 1).revoke(options) });
    case "leaseKeepAlive":
      try {
        await store.leaseOf(request.id, 1).renew(options);
      } catch (error) {
        if (!ConcordError.is(error) || error.code !== "CONCORD_LEASE_NOT_FOUND") throw error;
        return at({ type: "leaseKeepAlive", ttlSeconds: 0 });
      }
      return at({ type: "leaseKeepAlive", ttlSeconds: 1 });
    case "leaseTimeToLive": {
      const left = await store.leaseOf(request.id, 1).timeToLive({ ...options, keys: request.keys });
      return at({ type: "leaseTimeToLive", ttlSeconds: undefined, grantedSeconds: 0, keys: [], ...left });
    }
    case "leases":
      return at({ type: "leases", ids: await store.leases(options) });
    case "writeRevision":
      return at({ type: "writeRevision", writtenAt: await store.writeRevision(request.key, options) });
    default:
      throw new Error(`The suite asks for no ${request.type}`);
  }
}

/** One operation as a txn of its own. */
async function one(
  store: KeyValueStore,
  operation: Operation,
  { idempotencyKey }: RequestSettings,
): Promise<BackendAnswer> {
  const { revision, replies } = await store.txn({ then: [operation] }, { idempotencyKey });
  return { revision, reply: replies[0]! };
}

/** Of what has no revision in these methods. */
function at(reply: SessionReply): BackendAnswer {
  return { revision: 0, reply };
}

function keyValue(row: Row | KeyValue): KeyValue {
  const { value, createRevision, modRevision, version, ttlMs, contentType } = row;
  return {
    key: typeof row.key === "string" ? (row as Row).keyBytes : row.key,
    value,
    createRevision,
    modRevision,
    version,
    lease: row.lease ?? 0n,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(contentType === undefined ? {} : { contentType }),
  };
}
