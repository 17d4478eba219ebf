import { type MessageStream, type StreamListener } from "../grpc/method.ts";
import { STATUS } from "../grpc/status.ts";
import { type EtcdCalls, wantsLeader } from "./calls.ts";
import { grpcStatus } from "./status.ts";

/**
 * A call with one request and any number of answers, each sent when the client has room for it. A client that goes away
 * ends the work with the next answer.
 */
export abstract class ServerStream<Request, Response> implements StreamListener<Request> {
  protected readonly calls: EtcdCalls;
  protected readonly call: MessageStream<Response>;
  readonly #onClosed: () => void;
  readonly #requests: Request[] = [];
  #closed = false;
  /** Set while the client has no room. */
  #continue: (() => void) | undefined;

  constructor(call: MessageStream<Response>, calls: EtcdCalls, onClosed: () => void) {
    this.call = call;
    this.calls = calls;
    this.#onClosed = onClosed;
  }

  /** Answers, and returns when that is complete or nobody listens any more. What it throws becomes the call's status. */
  protected abstract answer(request: Request): Promise<void>;

  /** Whether this stream would rather end than stay at a member without a leader. */
  get wantsLeader(): boolean {
    return wantsLeader(this.call);
  }

  protected get isClosed(): boolean {
    return this.#closed;
  }

  fail(error: unknown): void {
    if (!this.#closed) this.call.fail(grpcStatus(error));
  }

  receive(request: Request): void {
    // The first two are enough to know.
    if (this.#requests.length < 2) this.#requests.push(request);
  }

  ended(): void {
    const [request, another] = this.#requests;
    if (request !== undefined && another === undefined) void this.#run(request);
    else this.call.fail({ code: STATUS.unimplemented, details: "grpc: the call takes one request message" });
  }

  drained(): void {
    this.#continue?.();
  }

  closed(): void {
    this.#closed = true;
    this.#continue?.();
    this.#onClosed();
  }

  /** Resolves when there is room for more, or the call is over. */
  protected async write(response: Response): Promise<void> {
    if (this.call.write(response) || this.#closed) return;
    await new Promise<void>((resolve) => {
      this.#continue = resolve;
    });
    this.#continue = undefined;
  }

  async #run(request: Request): Promise<void> {
    try {
      await this.answer(request);
      if (!this.#closed) this.call.end();
    } catch (error) {
      this.fail(error);
    }
  }
}
