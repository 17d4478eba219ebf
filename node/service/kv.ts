import {
  type DeleteOperation,
  type PutOperation,
  type RangeOperation,
  type TxnOperation,
} from "../machine/commands.ts";
import { type NodeApi, type ReadLevel, type RequestOptions } from "../runtime/node-api.ts";
import { accessesOf, authorize, isReadOnly } from "./authorize.ts";
import { type Principal } from "./principal.ts";
import { answerOf, type Answer } from "./refusals.ts";

/**
 * Keys and values. Every method has three outcomes: it resolves (done), rejects with a ConcordError whose `outcome` is
 * `failed` (not done, and never will be), or with one whose `outcome` is `unknown`.
 */
export class KvService {
  readonly #node: NodeApi;

  constructor(node: NodeApi) {
    this.#node = node;
  }

  async range(
    principal: Principal,
    operation: RangeOperation,
    level: ReadLevel,
    options?: RequestOptions,
  ): Promise<Answer<"range">> {
    authorize(principal, accessesOf(operation));
    return answerOf(await this.#node.read(operation, level, options), "range");
  }

  async put(principal: Principal, operation: PutOperation, options?: RequestOptions): Promise<Answer<"put">> {
    authorize(principal, accessesOf(operation));
    return answerOf(await this.#node.propose(operation, options), "put");
  }

  async delete(principal: Principal, operation: DeleteOperation, options?: RequestOptions): Promise<Answer<"delete">> {
    authorize(principal, accessesOf(operation));
    return answerOf(await this.#node.propose(operation, options), "delete");
  }

  /** A txn that cannot write is a read at `level` and leaves no trace in the log. */
  async txn(
    principal: Principal,
    operation: TxnOperation,
    level: ReadLevel,
    options?: RequestOptions,
  ): Promise<Answer<"txn">> {
    authorize(principal, accessesOf(operation));
    if (isReadOnly(operation)) return answerOf(await this.#node.read(operation, level, options), "txn");
    return answerOf(await this.#node.propose(operation, options), "txn");
  }

  async compact(principal: Principal, revision: number, options?: RequestOptions): Promise<Answer<"compact">> {
    authorize(principal, [{ type: "compact" }]);
    return answerOf(await this.#node.propose({ type: "compact", revision }, options), "compact");
  }
}
