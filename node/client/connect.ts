import { ConcordError } from "./errors.ts";
import { baseUrl, type ClientTls, REQUEST_TIMEOUT_MS } from "./http-connection.ts";
import { SessionLink } from "./session/link.ts";
import { RemoteWatch } from "./session/remote-watch.ts";
import {
  type BackendAnswer,
  type BackendOptions,
  type BackendWatch,
  type RequestOptions,
  type StoreBackend,
} from "./store/backend.ts";
import { type Bytes } from "./store/operations.ts";
import { type Row } from "./store/row.ts";
import { KeyValueStore } from "./store/store.ts";
import { type SessionRequest, type SessionStatus, type WatchRequest } from "./wire/types.ts";

export interface ConnectOptions {
  /** `http(s)://host:port` of members, in any order; one is enough, more are better. */
  readonly endpoints: readonly string[];
  /** For `https` endpoints. */
  readonly tls?: ClientTls;
  /** Milliseconds that a request may take, all its attempts together. @default 5000 */
  readonly timeoutMs?: number;
  /** Milliseconds for a member to answer before the next one is tried. @default 3000 */
  readonly connectTimeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 3_000;
/** Two of a member's pings, and some. */
const SILENCE_MS = 40_000;
const BACKOFF_MAX_MS = 2_000;

/** A cluster, over a session with one of its members. See `connect`. */
export class Client extends KeyValueStore {
  readonly #backend: RemoteBackend;

  /** @internal */
  constructor(backend: RemoteBackend) {
    super(backend);
    this.#backend = backend;
  }

  /**
   * Reads one key from the memory of the member that this session is with. It never goes back in time: nothing older is
   * returned than what this client has seen.
   */
  async get(key: Bytes, options: RequestOptions & { readonly revision?: number } = {}): Promise<Row | undefined> {
    return (await this.list({ key }, { ...options, consistency: "eventual" }))[0];
  }

  /** State of the member that this session is with. */
  async status(options: RequestOptions = {}): Promise<SessionStatus & { readonly revision: number }> {
    const { revision, reply } = await this.#backend.carryOut({ type: "status" }, options);
    if (reply.type === "status") return { ...reply.status, revision };
    throw new ConcordError("CONCORD_INTERNAL", `The answer to a status is a ${reply.type}`);
  }
}

/**
 * Opens a session with a cluster and resolves when a member has greeted. When the connection ends, the next member takes
 * over; what may be sent again without harm is sent again: reads, and writes, which get an idempotency key of their own
 * unless they have one.
 *
 * @throws ConcordError `CONCORD_UNREACHABLE` when no member answers, or what they refuse the session with.
 * @example
 * ```ts
 * import { connect } from "concord-kv/client";
 *
 * export async function greet(endpoints: string[]): Promise<void> {
 *   await using client = await connect({ endpoints });
 *   const { revision } = await client.put("greeting", "hello");
 *   for await (const change of client.watch({ key: "greeting" }, { fromRevision: revision })) {
 *     console.log(change.value?.text());
 *     break;
 *   }
 * }
 * ```
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  if (options.endpoints.length === 0)
    throw new ConcordError("CONCORD_INVALID_ARGUMENT", "endpoints is empty, expected URLs like https://host:2379");
  const connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const link = new SessionLink({
    endpoints: options.endpoints.map(baseUrl),
    tls: options.tls,
    connectTimeoutMs,
    timeoutMs: options.timeoutMs ?? REQUEST_TIMEOUT_MS,
    silenceMs: SILENCE_MS,
    backoffMaxMs: BACKOFF_MAX_MS,
    random: Math.random,
  });
  try {
    await link.first();
  } catch (error) {
    link.close();
    throw error;
  }
  return new Client(new RemoteBackend(link));
}

class RemoteBackend implements StoreBackend {
  readonly #link: SessionLink;
  /** Newest revision that an answer had. */
  #seen = 0;

  constructor(link: SessionLink) {
    this.#link = link;
  }

  async carryOut(request: SessionRequest, options: BackendOptions): Promise<BackendAnswer> {
    const minRevision = options.level === "eventual" ? Math.max(this.#seen, options.minRevision ?? 0) : undefined;
    const answer = await this.#link.request(request, { ...options, minRevision });
    this.#seen = Math.max(this.#seen, answer.revision);
    return answer;
  }

  watch(request: Omit<WatchRequest, "fragment">): BackendWatch {
    return new RemoteWatch(this.#link, request);
  }

  close(): Promise<void> {
    this.#link.close();
    return Promise.resolve();
  }
}
