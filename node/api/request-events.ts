import { CHANNELS, currentRequest } from "../observability/channels.ts";
import { type ApiRequest, type NodeHandle } from "../observability/events.ts";

/** A request under way, for whoever listens. */
export interface OpenRequest {
  /** Does a part of its work, so that what the work causes is known to be of this request. */
  run<T>(work: () => T): T;
  /** It is over. Comes once. */
  end(status: number): void;
}

/** Tells of the requests at the doors of one node. */
export class RequestEvents {
  readonly #node: NodeHandle;

  constructor(node: NodeHandle) {
    this.#node = node;
  }

  begin(
    door: ApiRequest["door"],
    operation: string,
    options: { readonly service?: string; readonly kind?: ApiRequest["kind"]; readonly traceparent?: unknown } = {},
  ): OpenRequest {
    if (!CHANNELS.started.hasSubscribers && !CHANNELS.finished.hasSubscribers) return UNHEARD;
    const { service = "", kind = "unary", traceparent } = options;
    const request: ApiRequest = {
      node: this.#node,
      door,
      service,
      operation,
      kind,
      traceparent: typeof traceparent === "string" ? traceparent : undefined,
      trace: undefined,
    };
    return new HeardRequest(request);
  }
}

class HeardRequest implements OpenRequest {
  readonly #request: ApiRequest;
  readonly #startedAt = performance.now();
  /** Whether somebody was told that it began. */
  readonly #followed: boolean;

  constructor(request: ApiRequest) {
    this.#request = request;
    this.#followed = CHANNELS.started.hasSubscribers;
    if (this.#followed) CHANNELS.started.publish(request);
  }

  run<T>(work: () => T): T {
    return this.#followed ? currentRequest.run(this.#request, work) : work();
  }

  end(status: number): void {
    if (!CHANNELS.finished.hasSubscribers) return;
    const { node } = this.#request;
    const durationMs = performance.now() - this.#startedAt;
    CHANNELS.finished.publish({ node, request: this.#request, status, durationMs });
  }
}

const UNHEARD: OpenRequest = {
  run: (work) => work(),
  end: () => undefined,
};
