import { isUtf8 } from "node:buffer";
import { type IncomingMessage, type ServerResponse } from "node:http";
import { type Static, type TSchema } from "typebox";
import { Value } from "typebox/value";
import { ConcordError } from "../../client/errors.ts";
import { type Freshness } from "../../runtime/node-api.ts";
import { type WriteOptions } from "../../service/idempotency.ts";
import { type Principal } from "../../service/principal.ts";
import { type Services } from "../../service/services.ts";
import { connectionFacts } from "../connection.ts";

export const URL_BYTES_MAX = 8192;
export const HEADER_BYTES_MAX = 16 * 1024;
export const HEADERS_MAX = 100;
const JSON_BODY_BYTES_MAX = 64 * 1024;
/** Brackets in brackets. A txn nested as deep as the state machine takes it has three a level. */
const JSON_NESTING_MAX = 64;

/** One request and its answer. The target is taken as it came: nothing is decoded twice and no path is normalised. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly services: Services;
  readonly method: string;
  /** Still percent-encoded. */
  readonly path: string;
  readonly #query: string;
  #bodyStaysOpen = false;

  /** @throws ConcordError when the target or the headers are beyond a limit. */
  constructor(request: IncomingMessage, response: ServerResponse, services: Services) {
    this.request = request;
    this.response = response;
    this.services = services;
    this.method = request.method ?? "";
    const target = request.url ?? "";
    const queryAt = target.indexOf("?");
    this.path = queryAt < 0 ? target : target.slice(0, queryAt);
    this.#query = queryAt < 0 ? "" : target.slice(queryAt + 1);
  }

  /** Refuses what no route would want. */
  checkLimits(): void {
    const { url = "", rawHeaders } = this.request;
    if (url.length > URL_BYTES_MAX) {
      throw new ConcordError(
        "CONCORD_URI_TOO_LONG",
        `The address has ${url.length} bytes, at most ${URL_BYTES_MAX} are allowed`,
      );
    }
    if (!url.startsWith("/")) throw badRequest("The request target must begin with a slash");
    const bytes = rawHeaders.reduce((sum, each) => sum + each.length + 2, 0);
    if (bytes > HEADER_BYTES_MAX || rawHeaders.length > 2 * HEADERS_MAX) {
      throw new ConcordError(
        "CONCORD_HEADERS_TOO_LARGE",
        `The headers are larger than ${HEADER_BYTES_MAX} bytes or more than ${HEADERS_MAX}`,
      );
    }
  }

  principal(): Principal {
    return this.services.principalOf(connectionFacts(this.request.socket));
  }

  /** Of a write: its idempotency key, from the header of that name. */
  writeOptions(): WriteOptions {
    const key = this.request.headers["idempotency-key"];
    return typeof key === "string" ? { idempotencyKey: Buffer.from(key, "latin1") } : {};
  }

  /** Says of the answer of a write whether an earlier request with its idempotency key did it. */
  written<T extends { readonly replayed: boolean }>(answer: T): T {
    if (answer.replayed) this.response.setHeader("concord-replayed", "true");
    return answer;
  }

  /** Says of the answer of a read what it is worth. */
  read<T extends { readonly freshness: Freshness | undefined }>(answer: T): T {
    const { freshness } = answer;
    if (freshness === undefined) return answer;
    this.response.setHeader("concord-consistency", freshness.level);
    this.response.setHeader("concord-term", freshness.term);
    if (freshness.stalenessMs !== undefined) this.response.setHeader("concord-staleness-ms", freshness.stalenessMs);
    return answer;
  }

  /** For a method that this path does not have; to be thrown. */
  methodNotAllowed(methods: readonly string[]): ConcordError {
    this.response.setHeader("allow", methods.join(", "));
    return new ConcordError(
      "CONCORD_METHOD_NOT_ALLOWED",
      `${this.method} is not allowed here, expected ${methods.join(" or ")}`,
    );
  }

  /** For a path that no route has; to be thrown. */
  noSuchRoute(): ConcordError {
    return new ConcordError("CONCORD_NOT_FOUND", `There is nothing at ${this.method} ${this.path.slice(0, 128)}`);
  }

  /**
   * The query parameters, raw bytes after percent-decoding (a plus sign is a plus sign).
   *
   * @throws ConcordError for one that is unknown or given twice.
   */
  query<const Name extends string>(...names: readonly Name[]): Partial<Record<Name, Buffer>> {
    const found = new Map<string, Buffer>();
    for (const pair of this.#query.split("&")) {
      if (pair === "") continue;
      const equalsAt = pair.indexOf("=");
      const name = percentDecode(equalsAt < 0 ? pair : pair.slice(0, equalsAt), "query").toString("latin1");
      if (!(names as readonly string[]).includes(name)) {
        const expected = names.length === 0 ? "none" : names.join(", ");
        throw badRequest(`Unknown query parameter "${printable(name)}", expected ${expected}`);
      }
      if (found.has(name)) throw badRequest(`The query parameter "${name}" is given twice`);
      found.set(name, percentDecode(equalsAt < 0 ? "" : pair.slice(equalsAt + 1), "query"));
    }
    return Object.fromEntries(found) as Partial<Record<Name, Buffer>>;
  }

  /** Whether the client may take as long as it likes to send the body. */
  get bodyStaysOpen(): boolean {
    return this.#bodyStaysOpen;
  }

  /** For a body that is a stream of requests, and lasts as long as these are wanted. */
  keepBodyOpen(): void {
    this.#bodyStaysOpen = true;
  }

  /**
   * Values are stored as they come. Nothing is ever inflated, so nothing can blow up.
   *
   * @throws ConcordError `CONCORD_UNSUPPORTED_MEDIA_TYPE`
   */
  refuseEncoding(): void {
    const encoding = this.request.headers["content-encoding"] ?? "identity";
    if (encoding !== "identity") throw unsupported(`The content encoding "${printable(encoding)}" is not supported`);
  }

  /** The body, refused before it is read when its length says it is too large. */
  async body(bytesMax: number): Promise<Buffer> {
    const { headers } = this.request;
    this.refuseEncoding();
    const tooLarge = (): ConcordError =>
      new ConcordError("CONCORD_REQUEST_TOO_LARGE", `The body is larger than ${bytesMax} bytes`);
    if (Number(headers["content-length"] ?? 0) > bytesMax) throw tooLarge();
    if (headers.expect !== undefined) this.response.writeContinue();
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of this.request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > bytesMax) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, length);
  }

  /** A JSON body of the given form. Other content types are refused, so that no web page can send one unasked. */
  async json<T extends TSchema>(schema: T, bytesMax = JSON_BODY_BYTES_MAX): Promise<Static<T>> {
    const type = (this.request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase();
    if (type !== "application/json") throw unsupported("The content type must be application/json");
    const body = await this.body(bytesMax);
    if (!isUtf8(body)) throw badRequest("The body is not valid UTF-8");
    const text = body.toString("utf8");
    if (isNestedDeeper(text, JSON_NESTING_MAX)) {
      throw badRequest(`The body is nested too deep, at most ${JSON_NESTING_MAX} levels are allowed`);
    }
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      throw badRequest("The body is not valid JSON");
    }
    if (Value.Check(schema, parsed)) return parsed;
    const [first] = Value.Errors(schema, parsed);
    throw badRequest(
      `The body is not as expected${first === undefined ? "" : `: ${first.instancePath || "it"} ${first.message}`}`,
    );
  }

  send(body: object, headers: Readonly<Record<string, string>> = {}): void {
    this.sendBytes(Buffer.from(JSON.stringify(body)), { "content-type": "application/json", ...headers });
  }

  sendBytes(body: Uint8Array, headers: Readonly<Record<string, string>>, status = 200): void {
    this.response.writeHead(status, {
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "content-length": body.length,
      ...headers,
    });
    if (this.method === "HEAD") this.response.end();
    else this.response.end(body);
  }
}

/**
 * Percent-encoding back to bytes, each escape exactly once.
 *
 * @throws ConcordError for a `%` without two hex digits behind it.
 */
export function percentDecode(text: string, where: "path" | "query"): Buffer {
  if (!text.includes("%")) return Buffer.from(text, "latin1");
  const bytes = Buffer.alloc(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at += 1) {
    let byte = text.charCodeAt(at);
    if (byte === 0x25) {
      const digits = text.slice(at + 1, at + 3);
      if (!/^[0-9A-Fa-f]{2}$/.test(digits))
        throw badRequest(`The ${where} contains "%${printable(digits)}", expected two hex digits after %`);
      byte = Number.parseInt(digits, 16);
      at += 2;
    }
    bytes[length] = byte;
    length += 1;
  }
  return bytes.subarray(0, length);
}

/** Whoever checks or walks the value goes down by recursion, so the depth is judged before. */
function isNestedDeeper(json: string, levels: number): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at += 1) {
    const character = json[at];
    if (inString) {
      if (character === "\\") at += 1;
      else if (character === '"') inString = false;
    } else if (character === '"') inString = true;
    else if (character === "{" || character === "[") depth += 1;
    else if (character === "}" || character === "]") depth -= 1;
    if (depth > levels) return true;
  }
  return false;
}

export function badRequest(message: string): ConcordError {
  return new ConcordError("CONCORD_INVALID_ARGUMENT", message);
}

function unsupported(message: string): ConcordError {
  return new ConcordError("CONCORD_UNSUPPORTED_MEDIA_TYPE", message);
}

/** Input of others in a sentence of ours: short, and nothing that a terminal would act on. */
export function printable(text: string): string {
  return text.slice(0, 64).replace(/[^\x20-\x7e]/g, "?");
}
