import { invariant } from "./assert.ts";
import { Budget, type Sliced } from "./budget.ts";
import { type Operation, type RangeOperation, type RefusedReason, type Reply, type TxnOperation } from "./commands.ts";
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
  constructor(store: Store, operation: RangeOperation | TxnOperation, refused: RefusedReason | undefined) {
    this.#frozen = new FrozenViews(store.committed, store.compactRevision);
    const oldest = Math.min(oldestRevision(operation), store.revision);
    this.#pin = store.pin(Math.max(oldest, store.compactRevision));
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

  *#read(store: Store, operation: RangeOperation | TxnOperation): Sliced<ReadResult> {
    const views = this.#frozen;
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

  // eslint-disable-next-line require-yield -- a read without work is still a generator, as its caller expects
  *#refuse(refused: RefusedReason): Sliced<ReadResult> {
    return this.#refusal(readReason(refused));
  }

  #reply(reply: Reply): ReadResult {
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
      return reason;
    default:
      // A value to compare with that is longer than any value may be: the compare cannot hold, the txn is malformed.
      invariant(reason === "valueTooLong", () => `Read was refused with ${reason}`);
      return "keyTooLong";
  }
}
