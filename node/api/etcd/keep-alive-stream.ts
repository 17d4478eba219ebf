import { ConcordError } from "../../client/errors.ts";
import { type Principal } from "../../service/principal.ts";
import { type MessageStream, type StreamListener } from "../grpc/method.ts";
import { type EtcdCalls, wantsLeader } from "./calls.ts";
import { type LeaseKeepAliveRequest, type LeaseKeepAliveResponse } from "./messages.ts";
import { grpcStatus } from "./status.ts";

/** Renewals of one stream that have no answer yet. Then the client waits. */
const UNANSWERED_MAX = 1_000;

/**
 * One LeaseKeepAlive stream: every request renews a lease and is answered, in order, when the renewal is committed. A
 * lease that is gone has the time to live 0; a renewal that fails ends the stream, and the client begins another one.
 */
export class KeepAliveStream implements StreamListener<LeaseKeepAliveRequest> {
  readonly #call: MessageStream<LeaseKeepAliveResponse>;
  readonly #calls: EtcdCalls;
  readonly #principal: Principal;
  readonly #onClosed: () => void;
  /** Ends when everything that was received so far is answered. */
  #answered: Promise<void> = Promise.resolve();
  #unanswered = 0;
  #backlogged = false;
  #closed = false;

  constructor(call: MessageStream<LeaseKeepAliveResponse>, calls: EtcdCalls, onClosed: () => void) {
    this.#call = call;
    this.#calls = calls;
    this.#principal = calls.principal(call);
    this.#onClosed = onClosed;
  }

  /** Whether this stream would rather end than stay at a member without a leader. */
  get wantsLeader(): boolean {
    return wantsLeader(this.#call);
  }

  fail(error: unknown): void {
    if (!this.#closed) this.#call.fail(grpcStatus(error));
  }

  receive(request: LeaseKeepAliveRequest): void {
    this.#unanswered += 1;
    const renewed = this.#renew(request.ID);
    // A failure is told in its turn; until then nobody waits for it.
    renewed.catch(() => undefined);
    this.#answered = this.#answered.then(async () => {
      try {
        const response = await renewed;
        if (!this.#closed && !this.#call.write(response)) this.#backlogged = true;
      } catch (error) {
        this.fail(error);
      }
      this.#unanswered -= 1;
      this.#regulate();
    });
    this.#regulate();
  }

  /** The client renews no more; what it asked for is still answered. */
  ended(): void {
    void this.#answered.then(() => {
      if (!this.#closed) this.#call.end();
    });
  }

  drained(): void {
    this.#backlogged = false;
    this.#regulate();
  }

  closed(): void {
    this.#closed = true;
    this.#onClosed();
  }

  async #renew(id: string): Promise<LeaseKeepAliveResponse> {
    if (this.#calls.services.header().role === "learner") throw new ConcordError("CONCORD_LEARNER_UNSUPPORTED");
    const { timeoutMs } = this.#calls;
    const { revision, reply } = await this.#calls.services.lease.renew(this.#principal, BigInt(id), { timeoutMs });
    return { header: this.#calls.header(revision), ID: id, TTL: reply.ttls[0] ?? 0 };
  }

  #regulate(): void {
    if (this.#backlogged || this.#unanswered >= UNANSWERED_MAX) this.#call.pause();
    else this.#call.resume();
  }
}
