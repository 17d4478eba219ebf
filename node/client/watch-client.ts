import { type Readable } from "node:stream";
import { ConcordError } from "./errors.ts";
import { HttpConnection, type ConnectionOptions } from "./http-connection.ts";
import { escapeBytes, queryOf } from "./rest-call.ts";
import { type WatchChanges, type WatchCompacted, type WatchProgress } from "./rest.ts";

export interface WatchOptions {
  /** First revision wanted. 0: from the next change on. @default 0 */
  readonly fromRevision?: number | undefined;
  /** Send the row before each change too. @default false */
  readonly previous?: boolean | undefined;
  /** Ends the watch; the iteration ends then. */
  readonly signal?: AbortSignal | undefined;
}

/** What a watch tells: all changes of one revision, or how far it has come. */
export type WatchMessage =
  | { readonly type: "changes"; readonly changes: WatchChanges }
  | { readonly type: "progress"; readonly revision: number };

/** Longest message: all changes of one txn, with the rows before them. */
const MESSAGE_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Watches keys at one member, over Server-Sent Events. The iteration ends when the server ends the stream; go on with
 * `fromRevision` behind the last revision that was told, at any member.
 *
 * @example
 * ```ts
 * import { WatchClient } from "concord-kv/client";
 *
 * await using client = new WatchClient("http://127.0.0.1:2379");
 * for await (const message of client.watch("jobs/", { fromRevision: 1 })) {
 *   if (message.type === "changes") console.log(message.changes.revision, message.changes.events.length);
 * }
 * ```
 */
export class WatchClient {
  readonly #connection: HttpConnection;

  /** @throws ConcordError `CONCORD_INVALID_ARGUMENT` when the URL is not `http(s)://host:port`. */
  constructor(url: string, options: ConnectionOptions = {}) {
    this.#connection = new HttpConnection(url, options);
  }

  /**
   * @param prefix - empty: every key
   * @throws ConcordError `CONCORD_COMPACTED` with `details.compactRevision` when history was discarded from under it;
   * `CONCORD_UNREACHABLE` when the stream broke off.
   */
  async *watch(prefix: Uint8Array | string, options: WatchOptions = {}): AsyncGenerator<WatchMessage, void> {
    const { fromRevision = 0, previous = false, signal } = options;
    const query = queryOf({
      prefix: escapeBytes(prefix),
      revision: fromRevision === 0 ? undefined : fromRevision,
      previous: previous ? "true" : undefined,
    });
    const body = await this.#connection.stream({ method: "GET", path: `/api/v1/watch${query}` }, { signal });
    const onAbort = (): void => void body.destroy();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for await (const { event, data } of messages(body)) yield messageOf(event, data);
    } catch (cause) {
      if (signal?.aborted === true) return;
      if (ConcordError.is(cause)) throw cause;
      throw new ConcordError("CONCORD_UNREACHABLE", `The watch at ${this.#connection.url} broke off`, { cause });
    } finally {
      signal?.removeEventListener("abort", onAbort);
      body.destroy();
    }
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function messageOf(event: string, data: string): WatchMessage {
  const parsed: unknown = JSON.parse(data);
  switch (event) {
    case "change":
      return { type: "changes", changes: parsed as WatchChanges };
    case "progress":
      return { type: "progress", revision: (parsed as WatchProgress).revision };
    case "compacted": {
      const { compactRevision } = parsed as WatchCompacted;
      throw new ConcordError("CONCORD_COMPACTED", `The history up to revision ${compactRevision} has been discarded`, {
        details: { compactRevision },
      });
    }
    default:
      throw new ConcordError("CONCORD_INTERNAL", `A watch sent a message of the kind "${event}"`);
  }
}

/** The messages of a stream of events: the door sends each with its name and one line of data; comments are passed over. */
async function* messages(body: Readable): AsyncGenerator<{ readonly event: string; readonly data: string }> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let pieces: string[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const text = decoder.decode(chunk, { stream: true });
    pieces.push(text);
    length += text.length;
    if (length > MESSAGE_BYTES_MAX)
      throw new ConcordError("CONCORD_REQUEST_TOO_LARGE", `A message of the watch is larger than ${MESSAGE_BYTES_MAX}`);
    // Joined only when something can end in it: a large message comes in many pieces.
    if (!text.includes("\n")) continue;
    const blocks = pieces.join("").split("\n\n");
    const rest = blocks.pop() ?? "";
    pieces = [rest];
    length = rest.length;
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data !== undefined) yield { event: /^event: (.*)$/m.exec(block)?.[1] ?? "", data };
    }
  }
}
