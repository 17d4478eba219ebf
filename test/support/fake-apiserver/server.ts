import http from "node:http";
import { type AddressInfo } from "node:net";
import { isObject, omit, type JsonObject, type StoredObject } from "./json.ts";
import { type Address, Refusal, Storage, type StorageEvent } from "./storage.ts";

/** One request as the fault plan sees it. */
export interface SeenRequest {
  /** Counts from 1. */
  readonly number: number;
  readonly method: string;
  readonly path: string;
  readonly write: boolean;
  readonly watch: boolean;
}

/** What shall go wrong with a request. */
export type Fault =
  | { readonly type: "answer"; readonly status: number; readonly retryAfterSeconds?: number }
  /** The connection breaks before or after the request had its effect. */
  | { readonly type: "reset"; readonly when: "before" | "after" }
  /** No answer, ever. */
  | { readonly type: "silence" };

export type FaultPlan = (request: SeenRequest) => Fault | undefined;

interface Watcher {
  readonly response: http.ServerResponse;
  readonly matches: (event: StorageEvent) => boolean;
  silent: boolean;
}

/**
 * An HTTP server that behaves like the Kubernetes API as far as the operator uses it. Everything it stores can be read
 * and changed from the test through `storage`.
 */
export class FakeApiServer {
  readonly storage = new Storage();
  readonly requests: SeenRequest[] = [];
  faults: FaultPlan = () => undefined;
  /** Asked after a request that changed something: true breaks its connection before the answer. */
  breakAfterEffect: (request: SeenRequest) => boolean = () => false;
  readonly #server: http.Server;
  readonly #watchers = new Set<Watcher>();
  #awaitingWatch: (() => void)[] = [];
  /** Objects per page at most, whatever the client asks for. */
  pageSizeMax = 500;
  #connections = 0;

  constructor() {
    this.#server = http.createServer((request, response) => void this.#handle(request, response));
    this.#server.on("connection", () => {
      this.#connections += 1;
    });
    this.storage.onEvent((event) => {
      for (const watcher of this.#watchers) {
        if (!watcher.silent && watcher.matches(event)) send(watcher.response, event.type, event.object);
      }
    });
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** TCP connections accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Resolves as soon as somebody watches. */
  async watched(): Promise<void> {
    if (this.#watchers.size === 0) await new Promise<void>((resolve) => this.#awaitingWatch.push(resolve));
  }

  /** Ends all watches in order, as a restarting API server does. */
  endWatches(): void {
    for (const watcher of this.#watchers) watcher.response.end();
    this.#watchers.clear();
  }

  /** The watches stay open and say nothing any more. */
  silenceWatches(): void {
    for (const watcher of this.#watchers) watcher.silent = true;
  }

  sendBookmarks(): void {
    const object = { metadata: { resourceVersion: String(this.storage.version) } };
    for (const watcher of this.#watchers) if (!watcher.silent) send(watcher.response, "BOOKMARK", object);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? "", "http://fake");
    const method = request.method ?? "GET";
    const watch = url.searchParams.get("watch") === "true";
    const seen = {
      number: this.requests.length + 1,
      method,
      path: url.pathname,
      write: method !== "GET",
      watch,
    };
    this.requests.push(seen);
    const fault = this.faults(seen);
    if (fault?.type === "silence") return;
    if (fault?.type === "reset" && fault.when === "before") {
      request.socket.destroy();
      return;
    }
    if (fault?.type === "answer") {
      const headers = fault.retryAfterSeconds === undefined ? {} : { "retry-after": String(fault.retryAfterSeconds) };
      answerStatus(response, fault.status, "", "fault of the test", headers);
      return;
    }
    try {
      if (watch) {
        this.#watch(url, response);
        return;
      }
      const text = Buffer.concat(chunks).toString("utf8");
      const body = text === "" ? {} : (JSON.parse(text) as JsonObject);
      const version = this.storage.version;
      const answer = this.#route(method, url, body, request.headers["content-type"] ?? "");
      const broken = this.storage.version !== version && this.breakAfterEffect(seen);
      if (fault?.type === "reset" || broken) {
        request.socket.destroy();
        return;
      }
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    } catch (error) {
      if (error instanceof Refusal) answerStatus(response, error.status, error.reason, error.message);
      else answerStatus(response, 500, "InternalError", String(error));
    }
  }

  #route(method: string, url: URL, body: JsonObject, contentType: string): JsonObject {
    const { address, subresource } = parsePath(url.pathname);
    const manager = url.searchParams.get("fieldManager") ?? "unknown";
    const options = { status: subresource === "status" };
    switch (method) {
      case "GET": {
        if (address.name === "") return this.#list(address, url);
        const object = this.storage.get(address);
        if (object === undefined) throw new Refusal(404, "NotFound", `${address.resource} "${address.name}" not found`);
        return object;
      }
      case "POST": {
        const metadata = isObject(body["metadata"]) ? body["metadata"] : {};
        return this.storage.create({ ...address, name: metadata["name"] as string }, body, manager);
      }
      case "PUT":
        return this.storage.replace(address, body, manager, options);
      case "PATCH":
        if (contentType === "application/apply-patch+yaml") return this.storage.apply(address, body, manager, options);
        if (contentType === "application/merge-patch+json") return this.storage.patch(address, body, options);
        throw new Refusal(415, "UnsupportedMediaType", contentType);
      case "DELETE": {
        const preconditions = isObject(body["preconditions"]) ? body["preconditions"] : {};
        return this.storage.delete(address, preconditions);
      }
      default:
        throw new Refusal(405, "MethodNotAllowed", method);
    }
  }

  #list(address: Address, url: URL): JsonObject {
    const matches = labelMatcher(url.searchParams.get("labelSelector"));
    const all = this.storage.list(address.resource, address.namespace).filter(matches);
    const limit = Math.min(Number(url.searchParams.get("limit") ?? this.pageSizeMax), this.pageSizeMax);
    const from = Number(url.searchParams.get("continue") ?? 0);
    const page = all.slice(from, from + limit).map((object) => omit(object, "apiVersion", "kind"));
    const more = from + limit < all.length;
    return {
      kind: "List",
      metadata: {
        resourceVersion: String(this.storage.version),
        ...(more ? { continue: String(from + limit) } : {}),
      },
      items: page,
    };
  }

  #watch(url: URL, response: http.ServerResponse): void {
    const { address } = parsePath(url.pathname);
    const matchesLabels = labelMatcher(url.searchParams.get("labelSelector"));
    const matches = (event: StorageEvent) =>
      event.resource === address.resource &&
      (address.namespace === "" || event.object.metadata["namespace"] === address.namespace) &&
      matchesLabels(event.object);
    const missed = this.storage.since(Number(url.searchParams.get("resourceVersion") ?? 0)).filter(matches);
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    for (const event of missed) send(response, event.type, event.object);
    const watcher = { response, matches, silent: false };
    this.#watchers.add(watcher);
    for (const resolve of this.#awaitingWatch.splice(0)) resolve();
    const timer = setTimeout(
      () => {
        this.#watchers.delete(watcher);
        response.end();
      },
      Number(url.searchParams.get("timeoutSeconds") ?? 300) * 1000,
    );
    response.on("close", () => {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    });
  }
}

function send(response: http.ServerResponse, type: string, object: JsonObject | StoredObject): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function answerStatus(
  response: http.ServerResponse,
  code: number,
  reason: string,
  message: string,
  headers: Record<string, string> = {},
): void {
  const body = { kind: "Status", apiVersion: "v1", status: "Failure", reason, message, code };
  response.writeHead(code, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** `/api/v1/...` and `/apis/<group>/<version>/...`. */
function parsePath(path: string): { readonly address: Address; readonly subresource: string } {
  const parts = path
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  const group = parts[0] === "api" ? "" : (parts[1] ?? "");
  let rest = parts.slice(parts[0] === "api" ? 2 : 3);
  let namespace = "";
  if (rest[0] === "namespaces" && rest.length > 2) {
    namespace = rest[1] ?? "";
    rest = rest.slice(2);
  }
  const [plural = "", name = "", subresource = ""] = rest;
  return { address: { resource: `${group}/${plural}`, namespace, name }, subresource };
}

function labelMatcher(selector: string | null): (object: StoredObject) => boolean {
  const wanted = (selector ?? "")
    .split(",")
    .filter((part) => part !== "")
    .map((part) => part.split("="));
  return (object) => {
    const labels = isObject(object.metadata["labels"]) ? object.metadata["labels"] : {};
    return wanted.every(([key = "", value]) => labels[key] === value);
  };
}
