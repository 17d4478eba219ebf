import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { setImmediate as turn } from "node:timers/promises";
import { EtcdClient, prefixEnd } from "./etcd-client.ts";
import { WATCHED_PREFIX, type WatchedEvent } from "./watch-history.ts";

/** What one message of a watch says. */
export type WatchMessage =
  | { readonly type: "changes"; readonly events: readonly WatchedEvent[] }
  /** Everything up to the revision was delivered. */
  | { readonly type: "progress"; readonly revision: number }
  | { readonly type: "compacted" };

/** One way to watch everything under a prefix. */
export interface WatchDoor {
  readonly name: string;
  /**
   * Watches from a revision on, at one member of those there are; `attempt` chooses which. Throws when it is cut off.
   * Whoever asks for no next message for a while is a slow reader to the member.
   */
  open(from: number, attempt: number): AsyncIterable<WatchMessage>;
}

/** etcd's Watch over gRPC. Asks for progress on the way, which must never promise too much. */
export class GrpcDoor implements WatchDoor {
  readonly name = "etcd gRPC";
  readonly #endpoints: readonly string[];
  readonly #prefix: string;

  constructor(endpoints: readonly string[], prefix = WATCHED_PREFIX) {
    this.#endpoints = endpoints;
    this.#prefix = prefix;
  }

  async *open(from: number, attempt: number): AsyncIterable<WatchMessage> {
    const client = new EtcdClient(endpointOf(this.#endpoints, attempt));
    const stream = client.stream<object, EtcdWatchResponse>("Watch", "Watch");
    stream.on("error", () => undefined);
    try {
      stream.write({ create_request: createRequest(from, this.#prefix) });
      let messages = 0;
      for await (const response of stream as AsyncIterable<EtcdWatchResponse>) {
        messages += 1;
        if (messages % PROGRESS_EVERY === 0) stream.write({ progress_request: {} });
        yield* etcdMessage(response, (bytes) => bytes);
      }
    } finally {
      stream.cancel();
      client.close();
    }
  }
}

/** etcd's JSON gateway: one line a response. */
export class GatewayDoor implements WatchDoor {
  readonly name = "JSON gateway";
  readonly #endpoints: readonly string[];

  constructor(endpoints: readonly string[]) {
    this.#endpoints = endpoints;
  }

  async *open(from: number, attempt: number): AsyncIterable<WatchMessage> {
    const { key, range_end, ...rest } = createRequest(from, WATCHED_PREFIX);
    const create = { key: key.toString("base64"), range_end: range_end.toString("base64"), ...rest };
    const body = JSON.stringify({ create_request: create });
    const url = `${endpointOf(this.#endpoints, attempt)}/v3/watch`;
    for await (const line of parts("POST", url, "\n", body)) {
      const { result, error } = JSON.parse(line) as { result?: EtcdWatchResponse<string>; error?: unknown };
      if (result === undefined) throw new Error(`The gateway ended the watch: ${JSON.stringify(error)}`);
      yield* etcdMessage(result, (text) => Buffer.from(text, "base64"));
    }
  }
}

/** Server-Sent Events of the REST door. */
export class RestDoor implements WatchDoor {
  readonly name = "REST events";
  readonly #endpoints: readonly string[];

  constructor(endpoints: readonly string[]) {
    this.#endpoints = endpoints;
  }

  async *open(from: number, attempt: number): AsyncIterable<WatchMessage> {
    const url = `${endpointOf(this.#endpoints, attempt)}/api/v1/watch?prefix=${encodeURIComponent(WATCHED_PREFIX)}`;
    for await (const message of parts("GET", url, "\n\n", undefined, { "last-event-id": String(from - 1) })) {
      const data = /^data: (.*)$/m.exec(message)?.[1];
      if (data === undefined) continue;
      yield restMessage(/^event: (.*)$/m.exec(message)?.[1] ?? "", JSON.parse(data) as RestMessage);
    }
  }
}

/** How often a gRPC watcher asks how far it is, in messages. */
const PROGRESS_EVERY = 200;

interface EtcdWatchResponse<Bytes = Buffer> {
  readonly header?: { readonly revision?: string };
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compact_revision?: string;
  readonly cancel_reason?: string;
  readonly events?: readonly {
    readonly type?: string;
    readonly kv: { readonly key: Bytes; readonly value?: Bytes; readonly mod_revision: string };
  }[];
}

function createRequest(from: number, prefix: string): { key: Buffer; range_end: Buffer; start_revision: string } {
  return { key: Buffer.from(prefix), range_end: prefixEnd(prefix), start_revision: String(from) };
}

function* etcdMessage<Bytes>(
  response: EtcdWatchResponse<Bytes>,
  bytes: (field: Bytes) => Buffer,
): Generator<WatchMessage> {
  const { created = false, canceled = false, events = [] } = response;
  if (canceled && Number(response.compact_revision ?? 0) > 0) yield { type: "compacted" };
  else if (canceled) throw new Error(`The watch was cancelled: ${response.cancel_reason ?? ""}`);
  else if (events.length > 0) {
    const changes = events.map(({ type = "PUT", kv }) => ({
      revision: Number(kv.mod_revision),
      key: bytes(kv.key).toString(),
      value: type === "DELETE" ? undefined : kv.value === undefined ? "" : bytes(kv.value).toString(),
    }));
    yield { type: "changes", events: changes };
  } else if (!created) yield { type: "progress", revision: Number(response.header?.revision) };
}

interface RestMessage {
  readonly revision?: number;
  readonly events?: readonly {
    readonly type: "put" | "delete";
    readonly keyText?: string;
    readonly row?: { readonly keyText?: string; readonly valueText?: string; readonly modRevision: number };
  }[];
}

function restMessage(event: string, { revision = 0, events = [] }: RestMessage): WatchMessage {
  if (event === "compacted") return { type: "compacted" };
  if (event === "progress") return { type: "progress", revision };
  const changes = events.map(({ type, keyText, row }) => ({
    revision,
    key: (type === "put" ? row?.keyText : keyText) ?? "",
    value: row?.valueText,
  }));
  return { type: "changes", events: changes };
}

function endpointOf(endpoints: readonly string[], attempt: number): string {
  return endpoints[attempt % endpoints.length] ?? "";
}

/** An answer that does not end, cut at a separator. The connection is its own, and goes with the reader. */
async function* parts(
  method: "GET" | "POST",
  url: string,
  separator: string,
  body?: string,
  headers: Readonly<Record<string, string>> = {},
): AsyncIterable<string> {
  const call = request(url, { method, headers, agent: false });
  try {
    call.end(body);
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    if (answer.statusCode !== 200) throw new Error(`${url} was answered with status ${answer.statusCode}`);
    // What follows a reader that left is of no use to anybody.
    call.on("error", () => undefined);
    answer.setEncoding("utf8");
    let text = "";
    for await (const chunk of answer as AsyncIterable<string>) {
      const found = (text + chunk).split(separator);
      text = found.pop() ?? "";
      yield* found;
      // Others have a turn, however much there is to read.
      await turn();
    }
  } finally {
    call.destroy();
  }
}
