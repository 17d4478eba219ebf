import { type ElectionRequest, type LeaderResponse } from "./messages.ts";
import { keyValue } from "./responses.ts";
import { ServerStream } from "./server-stream.ts";

/**
 * v3electionpb.Election.Observe: the leaders of one election, as they come. A client that reads slowly is waited for: what
 * it has not read is in the store, and nowhere else.
 */
export class ObserveStream extends ServerStream<ElectionRequest, LeaderResponse> {
  readonly #end = new AbortController();

  override closed(): void {
    this.#end.abort();
    super.closed();
  }

  protected async answer({ name }: ElectionRequest): Promise<void> {
    const principal = this.calls.principal(this.call);
    for await (const { revision, row } of this.calls.services.election.observe(principal, name, this.#end.signal)) {
      await this.write({ header: this.calls.header(revision), kv: keyValue(row) });
    }
  }
}
