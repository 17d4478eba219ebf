import { ConcordError } from "../../client/errors.ts";
import { type EtcdCalls, type UnaryHandlers } from "./calls.ts";
import {
  type CompactionRequest,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type TxnRequest,
} from "./messages.ts";
import { deleteOperation, isSerializable, natural, putOperation, rangeOperation, txnOperation } from "./requests.ts";
import { deleteResponse, putResponse, rangeResponse, txnResponse } from "./responses.ts";

/** etcdserverpb.KV */
export function kvMethods(calls: EtcdCalls, limits: { readonly operationsMax: number }): UnaryHandlers {
  const { kv } = calls.services;
  return {
    Range: calls.unary<RangeRequest>(async (request, principal, options) => {
      if (!request.serializable) calls.refuseLearner();
      const level = request.serializable ? "eventual" : "strong";
      const { revision, reply } = await kv.range(principal, rangeOperation(request), level, options);
      return { header: calls.header(revision), ...rangeResponse(reply) };
    }),

    Put: calls.unary<PutRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      const { revision, reply } = await kv.put(principal, putOperation(request), options);
      return { header: calls.header(revision), ...putResponse(reply) };
    }),

    DeleteRange: calls.unary<DeleteRangeRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      const { revision, reply } = await kv.delete(principal, deleteOperation(request), options);
      return { header: calls.header(revision), ...deleteResponse(reply) };
    }),

    Txn: calls.unary<TxnRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      const level = isSerializable(request) ? "eventual" : "strong";
      const { revision, reply } = await kv.txn(principal, txnOperation(request, limits.operationsMax), level, options);
      return { header: calls.header(revision), ...txnResponse(reply, revision) };
    }),

    // `physical` asks to wait until the space is free. Space is freed in memory right behind the answer, so it waits for
    // the compaction alone, and no read can tell the difference.
    Compact: calls.unary<CompactionRequest>(async (request, principal, options) => {
      calls.refuseLearner();
      if (BigInt(request.revision) < 0n) throw new ConcordError("CONCORD_COMPACTED");
      const answer = await kv.compact(principal, natural(request.revision), options);
      return { header: calls.header(answer.revision) };
    }),
  };
}
