import { Type } from "typebox";
import { KEY_BYTES_MAX, WatchChanges, WatchCompacted, WatchProgress } from "../../client/rest.ts";
import { type KeyRange } from "../../machine/commands.ts";
import { prefixRange } from "../../client/store/prefix-range.ts";
import { EventStream } from "./event-stream.ts";
import { badRequest } from "./exchange.ts";
import { operation, type OperationGroup, REQUEST_HEADERS } from "./operation.ts";
import { bytes, choice, flag, wholeNumber } from "./parameters.ts";
import { NO_BYTES } from "./row.ts";

/** What stands between closes connections that are silent for long, often after a minute. */
const PROGRESS_INTERVAL_MAX_MS = 15_000;

const LAST_EVENT_ID = wholeNumber(REQUEST_HEADERS["Last-Event-ID"].description, {
  maximum: Number.MAX_SAFE_INTEGER - 1,
});

const watch = operation({
  id: "watch",
  method: "GET",
  path: "/api/v1/watch",
  summary: "Changes of a key, or of all keys with a prefix, as Server-Sent Events",
  description: [
    "One of `key` and `prefix` is given. The stream has no end of its own. Its messages:",
    "",
    "- `change` (WatchChanges): all changes of one revision, which is the message's id.",
    "- `progress` (WatchProgress): up to here nothing else happened; the first one says where the watch begins.",
    "- `compacted` (WatchCompacted): the last one, when history that the watch has not seen was discarded. List again, and",
    "  watch from behind the list's revision.",
    "",
    "A client that comes back with the id of the last message it saw goes on behind it, without a gap and without a change",
    "twice.",
  ].join("\n"),
  query: {
    key: bytes("The key to watch", 1, KEY_BYTES_MAX),
    prefix: bytes("All keys that begin with it; empty: every key", 0, KEY_BYTES_MAX),
    revision: wholeNumber("First revision that is wanted; 0: from the next change on"),
    previous: flag("Changes with the row as it was before"),
    filter: choice("Without puts, or without deletes", ["noput", "nodelete"]),
  },
  headers: ["Last-Event-ID"],
  answers: [
    {
      description: "The messages, until either side ends them",
      content: { "text/event-stream": Type.String() },
      messages: { change: WatchChanges, progress: WatchProgress, compacted: WatchCompacted },
    },
  ],
  problems: ["CONCORD_PERMISSION_DENIED", "CONCORD_WAITING", "CONCORD_STOPPED", "CONCORD_TOO_MANY_REQUESTS"],
  async handle(exchange, { query }, context) {
    const lastEventId = exchange.request.headers["last-event-id"];
    // A browser that comes back asks for the same address again, and adds the id.
    const startRevision =
      lastEventId === undefined
        ? (query.revision ?? 0)
        : LAST_EVENT_ID.read("Last-Event-ID", Buffer.from(String(lastEventId), "latin1")) + 1;
    const events = exchange.services.watch.open(exchange.principal(), {
      ...watchedRange(query.key, query.prefix),
      startRevision,
      previous: query.previous ?? false,
      filterPut: query.filter === "noput",
      filterDelete: query.filter === "nodelete",
    });
    const stream = new EventStream(exchange.response, events, {
      startRevision,
      progressIntervalMs: Math.min(context.progressIntervalMs, PROGRESS_INTERVAL_MAX_MS),
      revision: () => exchange.services.header().revision,
    });
    context.streams.add(stream);
    try {
      await stream.run();
    } finally {
      context.streams.delete(stream);
    }
  },
});

export const WATCH: OperationGroup = {
  name: "watch",
  description: "Changes as they happen",
  operations: [watch],
};

function watchedRange(key: Buffer | undefined, prefix: Buffer | undefined): KeyRange {
  if (key !== undefined && prefix !== undefined) throw badRequest("key and prefix exclude each other");
  if (prefix !== undefined) return prefixRange(prefix);
  if (key === undefined) throw badRequest("Expected a key or a prefix to watch; prefix= is every key");
  return { key, rangeEnd: NO_BYTES };
}
