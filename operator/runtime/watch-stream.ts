import { type IncomingMessage } from "node:http";
import { StringDecoder } from "node:string_decoder";
import { apiErrorFrom } from "./api-error.ts";
import { type KubernetesObject } from "./kubernetes-object.ts";

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: KubernetesObject;
}

/** One event holds one object, which the API server limits to about 3 MiB. */
const LINE_CHARACTERS_MAX = 32 * 1024 * 1024;

/** How long a watch may be silent before its connection counts as dead; a half-open one never ends by itself. */
export interface WatchPatience {
  /** Milliseconds, while the server has not shown that it sends bookmarks. */
  readonly idleMs: number;
  /** Milliseconds after the first bookmark: the API server sends one about every minute. */
  readonly bookmarkMs: number;
}

/**
 * The events of a running watch. Ends when the server ends it.
 *
 * @throws ApiError for an ERROR event, Error when the connection breaks, falls silent or carries no JSON
 */
export async function* readWatchEvents(
  response: IncomingMessage,
  patience: WatchPatience,
): AsyncGenerator<WatchEvent, void, undefined> {
  const decoder = new StringDecoder("utf8");
  let pending = "";
  let silenceMs = patience.idleMs;
  const onSilence = () => response.destroy(new Error(`Watch was silent for ${silenceMs} ms`));
  let watchdog = setTimeout(onSilence, silenceMs);
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      watchdog.refresh();
      pending += decoder.write(chunk);
      let newline = pending.indexOf("\n");
      while (newline !== -1) {
        const line = pending.slice(0, newline);
        pending = pending.slice(newline + 1);
        if (line.trim() !== "") {
          const event = parseEvent(line);
          if (event.type === "BOOKMARK" && silenceMs > patience.bookmarkMs) {
            silenceMs = patience.bookmarkMs;
            clearTimeout(watchdog);
            watchdog = setTimeout(onSilence, silenceMs);
          }
          yield event;
        }
        newline = pending.indexOf("\n");
      }
      if (pending.length > LINE_CHARACTERS_MAX) throw new RangeError("Cannot read a watch event of more than 32 MiB");
    }
  } finally {
    clearTimeout(watchdog);
    response.destroy();
  }
}

function parseEvent(line: string): WatchEvent {
  const event = JSON.parse(line) as { readonly type: string; readonly object: KubernetesObject };
  switch (event.type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
    case "BOOKMARK":
      return event as WatchEvent;
    case "ERROR":
      throw apiErrorFrom(0, event.object);
    default:
      throw new TypeError(`Cannot read a watch event of type "${event.type}"`);
  }
}
