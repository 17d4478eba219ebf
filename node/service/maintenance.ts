import { type NodeApi, type NodeInfo, type RequestOptions } from "../runtime/node-api.ts";
import { authorize } from "./authorize.ts";
import { type Principal } from "./principal.ts";
import { answerOf, type Answer } from "./refusals.ts";

/** State checks, alarms and snapshots. */
export class MaintenanceService {
  readonly #node: NodeApi;

  constructor(node: NodeApi) {
    this.#node = node;
  }

  alarms(principal: Principal): NodeInfo["alarms"] {
    authorize(principal, [{ type: "status" }]);
    return this.#node.info().alarms;
  }

  /** @param member - 16 hex digits. */
  async setAlarm(
    principal: Principal,
    action: "set" | "clear",
    member: string,
    options?: RequestOptions,
  ): Promise<Answer<"ok">> {
    authorize(principal, [{ type: "administer" }]);
    return answerOf(await this.#node.propose({ type: "alarm", action, alarm: "noSpace", member }, options), "ok");
  }

  /** @param revision - 0 = the newest that this member has. */
  hash(principal: Principal, revision: number, options?: RequestOptions): ReturnType<NodeApi["hash"]> {
    authorize(principal, [{ type: "administer" }]);
    return this.#node.hash(revision, options);
  }

  /** All keys and values: only for whoever may administer. */
  snapshot(principal: Principal): AsyncIterable<Uint8Array> {
    authorize(principal, [{ type: "administer" }]);
    return this.#node.snapshot();
  }
}
