import { type NodeApi, type RequestOptions } from "../runtime/node-api.ts";
import { authorize } from "./authorize.ts";
import { type IdempotencyKeys, type WriteOptions } from "./idempotency.ts";
import { type Principal } from "./principal.ts";
import { answerOf, type Answer } from "./refusals.ts";

/**
 * Leases. Whoever may connect may grant and renew them, as in etcd; what they do to keys is checked where a key is hung
 * on one.
 */
export class LeaseService {
  readonly #node: NodeApi;
  readonly #keys: IdempotencyKeys;

  constructor(node: NodeApi, keys: IdempotencyKeys) {
    this.#node = node;
    this.#keys = keys;
  }

  /** @param id - 0 has one chosen. @param ttlSeconds - raised to 2 s. */
  async grant(
    principal: Principal,
    id: bigint,
    ttlSeconds: number,
    options?: WriteOptions,
  ): Promise<Answer<"leaseGrant">> {
    authorize(principal, [{ type: "lease" }]);
    // As it was asked for: an id that is chosen here is another one at the next attempt.
    const asked = this.#keys.options(principal, { type: "leaseGrant", id, ttlSeconds }, options);
    return answerOf(await this.#node.grantLease(id, ttlSeconds, asked), "leaseGrant");
  }

  /** Takes its keys away too. */
  async revoke(principal: Principal, id: bigint, options?: WriteOptions): Promise<Answer<"leaseRevoke">> {
    authorize(principal, [{ type: "lease" }]);
    const command = { type: "leaseRevoke", id } as const;
    return answerOf(await this.#node.propose(command, this.#keys.options(principal, command, options)), "leaseRevoke");
  }

  /** A lease that is not there has the time to live 0. */
  async renew(principal: Principal, id: bigint, options?: RequestOptions): Promise<Answer<"leaseKeepAlive">> {
    authorize(principal, [{ type: "lease" }]);
    return answerOf(await this.#node.renewLease(id, options), "leaseKeepAlive");
  }

  /** A lease that is not there has the time to live −1. */
  async timeToLive(
    principal: Principal,
    id: bigint,
    keys: boolean,
    options?: RequestOptions,
  ): Promise<Answer<"leaseTimeToLive">> {
    authorize(principal, [{ type: "lease" }]);
    return answerOf(await this.#node.propose({ type: "leaseTimeToLive", id, keys }, options), "leaseTimeToLive");
  }

  async list(principal: Principal, options?: RequestOptions): Promise<readonly bigint[]> {
    authorize(principal, [{ type: "lease" }]);
    await this.#node.barrier(options);
    return this.#node.leases().map(({ id }) => id);
  }
}
