import { type Budget, type Sliced } from "./budget.ts";
import { isReadOnly } from "./command-kind.ts";
import { type Command, type Outcome, type RefusedReason } from "./commands.ts";
import { compareBytes } from "./key-range.ts";
import { type Idempotency } from "./machine-types.ts";
import { factsOf, type KeyedCommand, replyAgain } from "./reply-facts.ts";
import { type Store } from "./store.ts";

const MS_PER_SECOND = 1000;

/** Whether an idempotency key makes a difference to a command: it changes something, and a client asked for it. */
export function isKeyed(command: Command): command is KeyedCommand {
  switch (command.type) {
    case "put":
    case "delete":
    case "touch":
    case "compact":
    case "leaseGrant":
    case "leaseRevoke":
      return true;
    case "txn":
      return !isReadOnly(command);
    default:
      return false;
  }
}

/**
 * Does a command unless its idempotency key says that it was done: then its outcome is told again. A refused write leaves
 * no record: it did nothing, so its retry is judged anew.
 *
 * @param nowMs - cluster time of the entry
 * @param work - applies the command; not begun yet
 */
export function* once(
  store: Store,
  command: KeyedCommand,
  idempotency: Idempotency,
  nowMs: number,
  budget: Budget,
  work: Sliced<Outcome>,
): Sliced<Outcome> {
  const { records } = store;
  const nowSeconds = Math.floor(nowMs / MS_PER_SECOND);
  records.expire(nowSeconds);
  const record = records.find(idempotency.key, nowSeconds);
  if (record !== undefined) {
    if (compareBytes(record.request, idempotency.request) !== 0) return refusal(store, "idempotencyConflict");
    const { revision } = record;
    return { ok: true, revision, reply: yield* replyAgain(store, command, record, budget), replayed: true };
  }
  if (records.bytes >= idempotency.budgetBytes) return refusal(store, "tooManyRecords");
  const outcome = yield* work;
  if (!outcome.ok) return outcome;
  records.add({
    key: idempotency.key,
    request: idempotency.request,
    revision: outcome.revision,
    // Rounded up: a record is never gone before its time.
    expiresAtSeconds: Math.ceil((nowMs + idempotency.ttlMs) / MS_PER_SECOND),
    facts: factsOf(outcome.reply),
  });
  return outcome;
}

function refusal({ revision, compactRevision }: Store, reason: RefusedReason): Outcome {
  return { ok: false, revision, reason, compactRevision };
}
