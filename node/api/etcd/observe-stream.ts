import { type LeaderSeen } from "../../service/election.ts";
import { type Principal } from "../../service/principal.ts";
import { type MessageStream, type StreamListener } from "../grpc/method.ts";
import { STATUS } from "../grpc/status.ts";
import { type EtcdCalls, wantsLeader } from "./calls.ts";
import { type ElectionRequest, type LeaderResponse } from "./messages.ts";
import { keyValue } from "./responses.ts";
import { grpcStatus } from "./status.ts";

/** v3electionpb.Election.Observe: the leaders of one election, as they come. */
export class ObserveStream implements StreamListener<ElectionRequest> {
  readonly wantsLeader: boolean;
  readonly #call: MessageStream<LeaderResponse>;
  readonly #calls: EtcdCalls;
  readonly #principal: Principal;
  readonly #onClosed: () => void;
  readonly #end = new AbortController();
  readonly #requests: ElectionRequest[] = [];
  #drained: (() => void) | undefined;

  constructor(call: MessageStream<LeaderResponse>, calls: EtcdCalls, onClosed: () => void) {
    this.#call = call;
    this.#calls = calls;
    this.#principal = calls.principal(call);
    this.#onClosed = onClosed;
    this.wantsLeader = wantsLeader(call);
  }

  receive(request: ElectionRequest): void {
    this.#requests.push(request);
  }

  ended(): void {
    const [request, ...more] = this.#requests;
    if (request === undefined || more.length > 0)
      this.#call.fail({ code: STATUS.unimplemented, details: "grpc: the call takes one request message" });
    else void this.#send(this.#calls.services.election.observe(this.#principal, request.name, this.#end.signal));
  }

  drained(): void {
    this.#drained?.();
  }

  closed(): void {
    this.#end.abort();
    this.#drained?.();
    this.#onClosed();
  }

  fail(error: unknown): void {
    this.#call.fail(grpcStatus(error));
  }

  /** A client that reads slowly is waited for: what it has not read is in the store, and nowhere else. */
  async #send(leaders: AsyncGenerator<LeaderSeen, undefined>): Promise<void> {
    try {
      for await (const { revision, row } of leaders) {
        const written = this.#call.write({ header: this.#calls.header(revision), kv: keyValue(row) });
        if (!written && !this.#end.signal.aborted) await new Promise<void>((resolve) => (this.#drained = resolve));
        this.#drained = undefined;
      }
    } catch (error) {
      this.fail(error);
    }
  }
}
