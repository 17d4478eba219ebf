import { ConcordError } from "../../client/errors.ts";
import { type RangeOperation } from "../../machine/commands.ts";
import { type MessageStream } from "../grpc/method.ts";
import { type EtcdCalls } from "./calls.ts";
import { type RangeRequest, type RangeStreamResponse } from "./messages.ts";
import { rangeOperation } from "./requests.ts";
import { keyValue } from "./responses.ts";
import { ServerStream } from "./server-stream.ts";

/** Rows of the first part. */
const FIRST_ROWS = 10;
const ZERO_BYTE = Buffer.alloc(1);

/**
 * One RangeStream call: the rows of a range at one revision, part by part, so that neither side ever holds all of them.
 * Parts grow or shrink until they have about `partBytes`. Only the last one has a header, `more` and the count: all parts
 * put together are the answer that Range would have given.
 */
export class RangeStream extends ServerStream<RangeRequest, RangeStreamResponse> {
  readonly #partBytes: number;

  constructor(
    call: MessageStream<RangeStreamResponse>,
    calls: EtcdCalls,
    options: { readonly partBytes: number },
    onClosed: () => void,
  ) {
    super(call, calls, onClosed);
    this.#partBytes = options.partBytes;
  }

  /** @throws ConcordError as a range does, and `CONCORD_COMPACTED` when a compaction overtakes it. */
  protected async answer(request: RangeRequest): Promise<void> {
    const whole = streamedOperation(request);
    if (!request.serializable) this.calls.refuseLearner();
    const wanted = whole.limit === 0 ? Number.POSITIVE_INFINITY : whole.limit;
    const first = await this.#read({ ...whole, limit: Math.min(FIRST_ROWS, wanted) }, request.serializable);
    const { revision } = first;
    let { rows, more } = first.reply;
    let part = FIRST_ROWS;
    for (let sent = rows.length; more && sent < wanted && !this.isClosed; sent += rows.length) {
      await this.write({ range_response: { kvs: rows.map(keyValue) } });
      const bytes = rows.reduce((sum, row) => sum + row.key.length + row.value.length, 0);
      if (bytes < this.#partBytes / 2) part *= 2;
      else if (bytes > this.#partBytes * 2) part = Math.max(1, Math.floor(part / 2));
      const key = Buffer.concat([rows.at(-1)?.key ?? whole.key, ZERO_BYTE]);
      const limit = Math.min(part, wanted - sent);
      // What is pinned to a revision is the same at every level.
      const next = await this.#read({ ...whole, key, limit, revision: whole.revision || revision }, true);
      ({ rows, more } = next.reply);
    }
    const rest = { header: this.calls.header(revision), more, count: first.reply.count };
    await this.write({ range_response: { kvs: rows.map(keyValue), ...rest } });
  }

  #read(operation: RangeOperation, serializable: boolean) {
    const { kv } = this.calls.services;
    const level = serializable ? "eventual" : "strong";
    return kv.range(this.calls.principal(this.call), operation, level, this.calls.options(this.call));
  }
}

/** Rows come in the order of their keys: another one needs all of them first. */
function streamedOperation(request: RangeRequest): RangeOperation {
  const operation = rangeOperation(request);
  const { sortOrder, sortTarget, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = operation;
  if (sortTarget !== "key" || sortOrder === "descend") {
    throw new ConcordError("CONCORD_UNIMPLEMENTED", "RangeStream does not support custom sort orders");
  }
  if (minModRevision + maxModRevision + minCreateRevision + maxCreateRevision > 0) {
    throw new ConcordError("CONCORD_UNIMPLEMENTED", "RangeStream does not support revision filters");
  }
  return operation;
}
