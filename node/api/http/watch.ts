import { type KeyRange } from "../../machine/commands.ts";
import { prefixRange } from "../../client/store/prefix-range.ts";
import { EventStream } from "./event-stream.ts";
import { badRequest, printable, type Exchange } from "./exchange.ts";
import { flag, wholeNumber } from "./parameters.ts";
import { checkKeyLength, NO_BYTES } from "./row.ts";

const PATH = "/api/v1/watch";
/** What stands between closes connections that are silent for long, often after a minute. */
const PROGRESS_INTERVAL_MAX_MS = 15_000;

export interface WatchOptions {
  readonly progressIntervalMs: number;
  /** Streams that run, for the door to end. Each has a connection of its own, so there are no more than connections. */
  readonly streams: Set<EventStream>;
}

export function isWatchPath(path: string): boolean {
  return path === PATH;
}

/** Changes as Server-Sent Events; the messages are described in client/rest.ts. */
export async function handleWatch(exchange: Exchange, options: WatchOptions): Promise<void> {
  exchange.allowMethods("GET");
  const query = exchange.query("key", "prefix", "revision", "previous", "filter");
  const lastEventId = exchange.request.headers["last-event-id"];
  // A browser that comes back asks for the same address again, and adds the id.
  const startRevision =
    lastEventId === undefined
      ? wholeNumber("revision", query.revision, 0)
      : wholeNumber("Last-Event-ID", Buffer.from(String(lastEventId), "latin1"), 0, Number.MAX_SAFE_INTEGER - 1) + 1;
  const filter = filterOf(query.filter);
  const watch = exchange.services.watch.open(exchange.principal(), {
    ...watchedRange(query.key, query.prefix),
    startRevision,
    previous: flag("previous", query.previous),
    filterPut: filter === "noput",
    filterDelete: filter === "nodelete",
  });
  const stream = new EventStream(exchange.response, watch, {
    startRevision,
    progressIntervalMs: Math.min(options.progressIntervalMs, PROGRESS_INTERVAL_MAX_MS),
    revision: () => exchange.services.header().revision,
  });
  options.streams.add(stream);
  try {
    await stream.run();
  } finally {
    options.streams.delete(stream);
  }
}

function watchedRange(key: Buffer | undefined, prefix: Buffer | undefined): KeyRange {
  if (key !== undefined && prefix !== undefined) throw badRequest("key and prefix exclude each other");
  if (prefix !== undefined) {
    checkKeyLength("query", "prefix", prefix);
    return prefixRange(prefix);
  }
  if (key === undefined || key.length === 0)
    throw badRequest("Expected a key or a prefix to watch; prefix= is every key");
  checkKeyLength("query", "key", key);
  return { key, rangeEnd: NO_BYTES };
}

function filterOf(value: Buffer | undefined): "noput" | "nodelete" | undefined {
  const text = value?.toString("latin1");
  if (text === undefined || text === "noput" || text === "nodelete") return text;
  throw badRequest(`filter is "${printable(text)}", expected noput or nodelete`);
}
