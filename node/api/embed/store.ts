import { ConcordError, ERROR_TABLE } from "../../client/errors.ts";
import {
  type BackendAnswer,
  type BackendOptions,
  type BackendWatch,
  type StoreBackend,
} from "../../client/store/backend.ts";
import { type Bytes, bytesOf } from "../../client/store/operations.ts";
import { Row } from "../../client/store/row.ts";
import { KeyValueStore } from "../../client/store/store.ts";
import { type Change, type SessionRequest, type WatchRequest } from "../../client/wire/types.ts";
import { type NodeHandle } from "../../observability/events.ts";
import { type NodeApi, type NodeInfo, type Watch } from "../../runtime/node-api.ts";
import { type Principal } from "../../service/principal.ts";
import { answerOf } from "../../service/refusals.ts";
import { type Services } from "../../service/services.ts";
import { VERSION } from "../../version.ts";
import { carryOut } from "../calls.ts";
import { problemOf } from "../http/problem.ts";
import { type OpenRequest, RequestEvents } from "../request-events.ts";

/** The program that holds the store may do everything: it could read the disk too. */
const OWNER: Principal = { kind: "admin", name: "embedding program" };
/** HTTP status of what went well, as that of an error is in the error table. */
const GOOD = 200;

/** A member of a Concord cluster inside this program. */
export class Store extends KeyValueStore {
  readonly #node: NodeApi;
  readonly #events: RequestEvents;

  protected constructor(node: NodeApi, services: Services, close: () => Promise<void>) {
    const events = new RequestEvents(node.handle);
    super(new LocalBackend(services, events, close));
    this.#node = node;
    this.#events = events;
  }

  /**
   * Reads one key from this member's memory, at once and without a quorum: what it returns was true, and may be old.
   *
   * @throws ConcordError for a key that is empty or too long, or a revision that is compacted or in the future.
   */
  get(key: Bytes, options: { readonly revision?: number } = {}): Row | undefined {
    const request = this.#events.begin("embed", "get");
    try {
      const result = this.#node.getLocal(bytesOf(key), options.revision);
      const reply = result.ok && result.reply.type === "range" ? result.reply : answerOf(result, "range").reply;
      const [row] = reply.rows;
      request.end(GOOD);
      return row === undefined ? undefined : new Row(row);
    } catch (error) {
      request.end(problemOf(error).status);
      throw error;
    }
  }

  status(): NodeInfo {
    return this.#node.info();
  }

  /** Whose events those of this store are, on the channels that `CHANNELS` names. */
  get handle(): NodeHandle {
    return this.#node.handle;
  }

  /** Changes of the membership, as the admin door makes them. */
  get admin(): Pick<NodeApi, "addLearner" | "promote" | "remove" | "transfer" | "grant"> {
    return this.#node;
  }

  /** Hands leadership over when this member leads, finishes what is in flight, and gives the data directory back. */
  override async close(): Promise<void> {
    await super.close();
  }
}

/** The services of the member in this process. */
class LocalBackend implements StoreBackend {
  readonly #services: Services;
  readonly #events: RequestEvents;
  readonly #close: () => Promise<void>;

  constructor(services: Services, events: RequestEvents, close: () => Promise<void>) {
    this.#services = services;
    this.#events = events;
    this.#close = close;
  }

  async carryOut(request: SessionRequest, options: BackendOptions): Promise<BackendAnswer> {
    const open = this.#events.begin("embed", request.type === "range" ? "read" : request.type);
    const signal = (): AbortSignal => options.signal ?? new AbortController().signal;
    const context = { services: this.#services, principal: OWNER, version: VERSION, signal };
    try {
      const answer = await open.run(() => carryOut(request, options, context));
      open.end(GOOD);
      return answer;
    } catch (error) {
      open.end(problemOf(error).status);
      throw error;
    }
  }

  watch(request: Omit<WatchRequest, "fragment">): BackendWatch {
    const open = this.#events.begin("embed", "watch", { kind: "serverStream" });
    return new LocalWatch(this.#services.watch.open(OWNER, request), request.startRevision, open);
  }

  close(): Promise<void> {
    return this.#close();
  }
}

class LocalWatch implements BackendWatch {
  readonly started: Promise<number>;
  readonly #watch: Watch;
  readonly #open: OpenRequest;
  #over = false;

  constructor(watch: Watch, startRevision: number, open: OpenRequest) {
    this.#watch = watch;
    this.#open = open;
    this.started = Promise.resolve(startRevision > 0 ? startRevision : watch.startedAt + 1);
  }

  async next(): Promise<readonly Change[] | undefined> {
    const batch = await this.#watch.next();
    if (batch !== undefined) {
      return batch.events.map(({ event: { type, row }, previous }) => ({ type, row, previous }));
    }
    const { end } = this.#watch;
    if (end?.reason !== "compacted") return undefined;
    this.#end(ERROR_TABLE.CONCORD_COMPACTED.http);
    const { compactRevision } = end;
    throw new ConcordError("CONCORD_COMPACTED", undefined, { details: { compactRevision } });
  }

  cancel(): void {
    this.#watch.cancel();
    this.#end(GOOD);
  }

  #end(status: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#open.end(status);
  }
}
