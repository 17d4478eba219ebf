import { invariant } from "./assert.ts";
import { Budget, type Sliced } from "./budget.ts";
import {
  type HistoryOperation,
  type Operation,
  type ReadOperation,
  type ReadReply,
  type RefusedReason,
} from "./commands.ts";
import { readHistory } from "./history.ts";
import { type ReadResult, type ReadTask } from "./machine-types.ts";
import { type Pin } from "./pins.ts";
import { type Store, type View } from "./store.ts";
import {
  applyOperation,
  applyPlan,
  checkPlan,
  checkRevision,
  planTxn,
  type RevisionBounds,
  type Views,
} from "./txn.ts";

type ReadReason = Extract<ReadResult, { ok: false }>["reason"];

/** A read on the state of the moment it began, in slices. Whoever abandons it closes it. */
export class SlicedRead implements ReadTask {
  readonly #frozen: FrozenViews;
  readonly #pin: Pin;
  readonly #budget = new Budget();
  #work: Sliced<ReadResult> | undefined;

  /** `refused`: what the shape of the operation is refused for, if anything. */
  constructor(store: Store, operation: ReadOperation, refused: RefusedReason | undefined) {
    this.#frozen = new FrozenViews(store.committed, store.compactRevision);
    this.#pin = operation.type === "history" ? store.pinHistory() : store.pin(oldestToKeep(store, operation));
    this.#work = refused === undefined ? this.#read(store, operation) : this.#refuse(refused);
  }

  advance(units: number): ReadResult | undefined {
    invariant(this.#work !== undefined, "Read was closed");
    this.#budget.fill(units);
    const step = this.#work.next();
    if (step.done !== true) return undefined;
    this.close();
    return step.value;
  }

  close(): void {
    this.#work = undefined;
    this.#pin.release();
  }

  *#read(store: Store, operation: ReadOperation): Sliced<ReadResult> {
    const views = this.#frozen;
    if (operation.type === "history") return yield* this.#readHistory(store, operation);
    if (operation.type === "range") {
      const refused = checkRevision(views, operation.revision);
      if (refused !== undefined) return this.#refusal(refused);
      return this.#reply(yield* applyOperation(store, views, operation, this.#budget));
    }
    const plan = yield* planTxn(store, views.viewAt(0), operation, this.#budget);
    const refused = checkPlan(store, views, plan);
    if (refused !== undefined) return this.#refusal(readReason(refused));
    return this.#reply(yield* applyPlan(store, views, plan, this.#budget));
  }

  *#readHistory(store: Store, operation: HistoryOperation): Sliced<ReadResult> {
    const views = this.#frozen;
    const refused = checkRevision(views, operation.fromRevision) ?? checkRevision(views, operation.toRevision);
    if (refused !== undefined) return this.#refusal(refused);
    const { compactRevision } = views;
    return this.#reply(yield* readHistory(store, views.viewAt(0), compactRevision, operation, this.#budget));
  }

  // eslint-disable-next-line require-yield -- a read without work is still a generator, as its caller expects
  *#refuse(refused: RefusedReason): Sliced<ReadResult> {
    return this.#refusal(readReason(refused));
  }

  #reply(reply: ReadReply): ReadResult {
    return { ok: true, revision: this.#frozen.revision, reply };
  }

  #refusal(reason: ReadReason): ReadResult {
    const { revision, compactRevision } = this.#frozen;
    return { ok: false, revision, reason, compactRevision };
  }
}

/** The states that could be read at one moment. */
class FrozenViews implements Views, RevisionBounds {
  readonly #view: View;
  readonly compactRevision: number;

  constructor(view: View, compactRevision: number) {
    this.#view = view;
    this.compactRevision = compactRevision;
  }

  get revision(): number {
    return this.#view.revision;
  }

  viewAt(revision: number): View {
    if (revision <= 0 || revision === this.#view.revision) return this.#view;
    return { ...this.#view, revision, counted: false };
  }
}

function oldestToKeep(store: Store, operation: Operation): number {
  return Math.max(Math.min(oldestRevision(operation), store.revision), store.compactRevision);
}

/** Oldest revision that some branch reads; Infinity when all read the newest. */
function oldestRevision(operation: Operation): number {
  if (operation.type === "range") return operation.revision > 0 ? operation.revision : Infinity;
  if (operation.type !== "txn") return Infinity;
  let oldest = Infinity;
  for (const branch of [operation.success, operation.failure])
    for (const inner of branch) oldest = Math.min(oldest, oldestRevision(inner));
  return oldest;
}

/** Narrows to what a read can be refused for. */
export function readReason(reason: RefusedReason): ReadReason {
  switch (reason) {
    case "compacted":
    case "futureRevision":
    case "keyEmpty":
    case "tooManyOperations":
    case "nestedTooDeep":
    case "keyTooLong":
    case "numberInvalid":
      return reason;
    default:
      // A value to compare with that is longer than any value may be: the compare cannot hold, the txn is malformed.
      invariant(reason === "valueTooLong", () => `Read was refused with ${reason}`);
      return "keyTooLong";
  }
}
