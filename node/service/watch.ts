import { type NodeApi, type Watch, type WatchRequest } from "../runtime/node-api.ts";
import { authorize } from "./authorize.ts";
import { type Principal } from "./principal.ts";

export class WatchService {
  readonly #node: NodeApi;

  constructor(node: NodeApi) {
    this.#node = node;
  }

  /** @throws ConcordError when the principal may not read the whole range, or this member holds no state. */
  open(principal: Principal, request: WatchRequest): Watch {
    authorize(principal, [{ type: "read", range: request }]);
    return this.#node.watch(request);
  }
}
