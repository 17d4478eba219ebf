import { InvariantError, unreachable } from "./assert.ts";
import { type Budget, type Sliced } from "./budget.ts";
import {
  type Bytes,
  type Command,
  type DeleteOperation,
  type KeyValue,
  type Operation,
  type PutOperation,
  type RangeOperation,
  type Reply,
  type TxnOperation,
} from "./commands.ts";
import { FieldReader, FieldWriter } from "./fields.ts";
import { EMPTY } from "./key-range.ts";
import { rangeVersions, readRange } from "./range.ts";
import { ALL_CHANGES, type Store, type View } from "./store.ts";
import { checkRevision } from "./txn.ts";

/** Commands whose outcome is kept for retries. */
export type KeyedCommand = Extract<
  Command,
  { readonly type: Operation["type"] | "compact" | "leaseGrant" | "leaseRevoke" }
>;

/**
 * What a reply says that cannot be read from the store later: which branches of txns ran, how many keys were deleted,
 * the id and time to live of a lease. Rows that it showed are not in here; they are read again at the write's revision.
 */
export function factsOf(reply: Reply): Uint8Array {
  if (reply.type === "put" || reply.type === "compact") return EMPTY;
  const writer = new FieldWriter(32);
  writeFacts(writer, reply);
  return writer.finish();
}

function writeFacts(writer: FieldWriter, reply: Reply): void {
  switch (reply.type) {
    case "put":
    case "range":
    case "compact":
      return;
    case "delete":
    case "leaseRevoke":
      writer.u32(reply.deleted);
      return;
    case "leaseGrant":
      writer.i64(reply.id).u53(reply.ttlSeconds);
      return;
    case "touch":
      writer.u8(Number(reply.touched));
      return;
    case "txn":
      writer.u8(Number(reply.succeeded));
      for (const inner of reply.replies) writeFacts(writer, inner);
      return;
    case "leaseKeepAlive":
    case "leaseTimeToLive":
    case "ok":
      throw new InvariantError("A reply has no facts to keep");
    default:
      unreachable(reply);
  }
}

/**
 * The reply of a write that was applied before, for its retry. Rows are read as the write saw them: those before it, and
 * within a txn those after the operations before. What has been compacted since is left out of it.
 */
export function* replyAgain(
  store: Store,
  command: KeyedCommand,
  record: { readonly revision: number; readonly facts: Bytes },
  budget: Budget,
): Sliced<Reply> {
  const facts = new FactsReader(record.facts);
  switch (command.type) {
    case "compact":
      return { type: "compact" };
    case "leaseGrant":
      return { type: "leaseGrant", id: facts.i64(), ttlSeconds: facts.u53() };
    case "leaseRevoke":
      return { type: "leaseRevoke", deleted: facts.u32() };
    case "put":
    case "range":
    case "delete":
    case "touch":
    case "txn":
      return yield* new Replay(store, record.revision, changesOf(command, new FactsReader(record.facts)), budget).reply(
        command,
        facts,
      );
    default:
      return unreachable(command);
  }
}

/** How many changes an operation made. */
function changesOf(operation: Operation, facts: FactsReader): number {
  switch (operation.type) {
    case "put":
      return 1;
    case "range":
      return 0;
    case "delete":
      return facts.u32();
    case "touch":
      facts.u8();
      return 0;
    case "txn": {
      const branch = facts.u8() === 1 ? operation.success : operation.failure;
      return branch.reduce((changes, inner) => changes + changesOf(inner, facts), 0);
    }
    default:
      return unreachable(operation);
  }
}

class Replay {
  readonly #store: Store;
  readonly #revision: number;
  readonly #budget: Budget;
  /** Changes made so far; all of the revision's when the operation made none, so that the revision is not its own. */
  #changes: number;

  constructor(store: Store, revision: number, changes: number, budget: Budget) {
    this.#store = store;
    this.#revision = revision;
    this.#budget = budget;
    this.#changes = changes === 0 ? ALL_CHANGES : 0;
  }

  *reply(operation: Operation, facts: FactsReader): Sliced<Reply> {
    switch (operation.type) {
      case "put":
        return this.#put(operation);
      case "range":
        return yield* this.#range(operation);
      case "delete":
        return yield* this.#delete(operation, facts.u32());
      case "touch":
        return { type: "touch", touched: facts.u8() === 1 };
      case "txn":
        return yield* this.#txn(operation, facts);
      default:
        return unreachable(operation);
    }
  }

  #put(put: PutOperation): Reply {
    const view = put.previous ? this.#view() : undefined;
    const before = view === undefined ? 0 : this.#store.find(view, put.key);
    this.#changes += 1;
    return { type: "put", previous: before === 0 ? undefined : this.#store.row(before) };
  }

  *#range(range: RangeOperation): Sliced<Reply> {
    const readable = checkRevision(this.#store, range.revision) === undefined;
    const view = range.revision <= 0 ? this.#view() : readable ? this.#store.committedAt(range.revision) : undefined;
    if (view === undefined) return { type: "range", rows: [], count: 0, more: false };
    return yield* readRange(this.#store, view, range, this.#budget);
  }

  *#delete(operation: DeleteOperation, deleted: number): Sliced<Reply> {
    const previous: KeyValue[] = [];
    const view = operation.previous && deleted > 0 ? this.#view() : undefined;
    if (view !== undefined)
      for (const version of yield* rangeVersions(this.#store, view, operation, this.#budget)) {
        previous.push(this.#store.row(version));
        if (this.#budget.spendBytes(this.#store.versions.valueLength(version))) yield;
      }
    this.#changes += deleted;
    return { type: "delete", deleted, previous };
  }

  *#txn(txn: TxnOperation, facts: FactsReader): Sliced<Reply> {
    const succeeded = facts.u8() === 1;
    const replies: Reply[] = [];
    for (const operation of succeeded ? txn.success : txn.failure) replies.push(yield* this.reply(operation, facts));
    return { type: "txn", succeeded, replies };
  }

  /** The state after the changes so far; undefined when it has been compacted. */
  #view(): View | undefined {
    const oldest = this.#changes === ALL_CHANGES ? this.#revision : this.#revision - 1;
    if (oldest < this.#store.compactRevision) return undefined;
    return { ...this.#store.committedAt(this.#revision), counted: false, changes: this.#changes };
  }
}

class FactsReader extends FieldReader {
  override fail(reason: string): never {
    throw new InvariantError(`Facts of a write record: ${reason}`);
  }
}
