import {
  type DeleteOperation,
  type HistoryOperation,
  type PutOperation,
  type RangeOperation,
  type TouchOperation,
  type TxnOperation,
} from "../machine/commands.ts";
import { type NodeApi, type ReadLevel, type ReadOptions, type RequestOptions } from "../runtime/node-api.ts";
import { accessesOf, authorize, isReadOnly } from "./authorize.ts";
import { type IdempotencyKeys, keyDigest, type WriteOptions } from "./idempotency.ts";
import { type Principal } from "./principal.ts";
import { answerOf, type Answer } from "./refusals.ts";

/**
 * Keys and values. Every method has three outcomes: it resolves (done), rejects with a ConcordError whose `outcome` is
 * `failed` (not done, and never will be), or with one whose `outcome` is `unknown`.
 */
export class KvService {
  readonly #node: NodeApi;
  readonly #keys: IdempotencyKeys;

  constructor(node: NodeApi, keys: IdempotencyKeys) {
    this.#node = node;
    this.#keys = keys;
  }

  async range(
    principal: Principal,
    operation: RangeOperation,
    level: ReadLevel,
    options?: ReadOptions,
  ): Promise<Answer<"range">> {
    authorize(principal, accessesOf(operation));
    return answerOf(await this.#node.read(operation, level, options), "range");
  }

  /** What became of one key since the last compaction, newest first. */
  async history(
    principal: Principal,
    operation: HistoryOperation,
    level: ReadLevel,
    options?: ReadOptions,
  ): Promise<Answer<"history">> {
    authorize(principal, accessesOf(operation));
    return answerOf(await this.#node.read(operation, level, options), "history");
  }

  async put(principal: Principal, operation: PutOperation, options?: WriteOptions): Promise<Answer<"put">> {
    authorize(principal, accessesOf(operation));
    return answerOf(await this.#node.propose(operation, this.#keys.options(principal, operation, options)), "put");
  }

  async delete(principal: Principal, operation: DeleteOperation, options?: WriteOptions): Promise<Answer<"delete">> {
    authorize(principal, accessesOf(operation));
    return answerOf(await this.#node.propose(operation, this.#keys.options(principal, operation, options)), "delete");
  }

  /** Sets how long a row lives from now on. Its revision stays, and no watch hears of it. */
  async touch(principal: Principal, operation: TouchOperation, options?: WriteOptions): Promise<Answer<"touch">> {
    authorize(principal, accessesOf(operation));
    return answerOf(await this.#node.propose(operation, this.#keys.options(principal, operation, options)), "touch");
  }

  /** A txn that cannot write is a read at `level` and leaves no trace in the log. */
  async txn(
    principal: Principal,
    operation: TxnOperation,
    level: ReadLevel,
    options?: WriteOptions & ReadOptions,
  ): Promise<Answer<"txn">> {
    authorize(principal, accessesOf(operation));
    // A key that no write could have is refused here too: whether a txn can write is not the client's concern.
    const writing = this.#keys.options(principal, operation, options);
    if (isReadOnly(operation)) return answerOf(await this.#node.read(operation, level, options), "txn");
    return answerOf(await this.#node.propose(operation, writing), "txn");
  }

  async compact(principal: Principal, revision: number, options?: WriteOptions): Promise<Answer<"compact">> {
    authorize(principal, [{ type: "compact" }]);
    const command = { type: "compact", revision } as const;
    return answerOf(await this.#node.propose(command, this.#keys.options(principal, command, options)), "compact");
  }

  /**
   * What became of the write with this idempotency key: the revision it was applied at, or undefined when no such write
   * was applied, or it is forgotten. Linearizable.
   */
  async writeRevision(principal: Principal, key: Uint8Array, options?: RequestOptions): Promise<number | undefined> {
    authorize(principal, [{ type: "status" }]);
    const digest = keyDigest(key);
    await this.#node.barrier(options);
    return this.#node.writeRevision(digest);
  }
}
