import { isLinearizable, type RegisterCall } from "./linearizability.ts";

/**
 * What clients of a simulated cluster did and saw, and whether it is linearizable. Every acknowledged write names its
 * revision, every read the revision it read at, so the order to check against is given: the check is a single sweep
 * instead of a search, and still a proof for the whole history.
 */
export type ClientOperation =
  | { readonly type: "put"; readonly key: string; readonly value: string }
  | { readonly type: "delete"; readonly key: string; readonly id: string }
  | { readonly type: "get"; readonly key: string };

export type ClientResult =
  /** `revision`: of the write, or of the store when it was read. */
  | {
      readonly type: "ok";
      readonly revision: number;
      readonly value?: string | undefined;
      readonly modRevision?: number;
    }
  | { readonly type: "failed" }
  | { readonly type: "unknown" };

interface Call {
  readonly operation: ClientOperation;
  readonly startedAt: number;
  /** Highest revision that was known to some client when this call began. */
  readonly floor: number;
  endedAt: number;
  result: ClientResult | undefined;
}

/** One change as the cluster's own history tells it, in the order of revisions. */
export interface Change {
  readonly revision: number;
  readonly key: string;
  /** Undefined for a delete. */
  readonly value: string | undefined;
}

export class History {
  readonly #calls: Call[] = [];
  #now = 0;
  /** Highest revision in any answer so far: what comes later may not be older. */
  #known = 0;

  get length(): number {
    return this.#calls.length;
  }

  count(type: ClientResult["type"]): number {
    return this.#calls.filter((call) => call.result?.type === type).length;
  }

  /** A client begins. Call what it returns with the answer; a call without an answer is unknown. */
  begin(operation: ClientOperation): (result: ClientResult) => void {
    const call: Call = { operation, startedAt: this.#now++, floor: this.#known, endedAt: Infinity, result: undefined };
    this.#calls.push(call);
    return (result) => {
      call.result = result;
      call.endedAt = this.#now++;
      if (result.type !== "ok") return;
      const behind = operation.type === "get" ? result.revision < call.floor : result.revision <= call.floor;
      if (behind && !(operation.type === "delete" && result.modRevision === 0))
        throw new Error(
          `Not linearizable: ${describe(operation)} answered with revision ${result.revision}, ` +
            `but revision ${call.floor} was known to a client before it began`,
        );
      this.#known = Math.max(this.#known, result.revision);
    };
  }

  /** Looks for an order of the first `count` calls of every key, without any help by revisions. */
  checkSamples(count: number): void {
    const byKey = new Map<string, Call[]>();
    for (const call of this.#calls) {
      const { key } = call.operation;
      const calls = byKey.get(key) ?? [];
      if (calls.length < count) calls.push(call);
      byKey.set(key, calls);
    }
    for (const [key, calls] of byKey) {
      // What ended behind the last call of the sample may have been overtaken by calls that are not in it.
      const cut = calls.at(-1)?.startedAt ?? 0;
      const sample =
        calls.length < count
          ? calls.flatMap((call) => registerCall(call, Infinity))
          : calls.flatMap((call) => registerCall(call, cut));
      if (isLinearizable(sample) === false)
        throw new Error(`No order explains the first ${calls.length} calls of ${key}`);
    }
  }

  /** Checks every answer against the cluster's history, which starts behind revision 1. */
  check(changes: readonly Change[]): void {
    const byRevision = new Map(changes.map((change) => [change.revision, change]));
    const values = new Map<string, number>();
    const versions = new Map<string, Change[]>();
    for (const change of changes) {
      if (change.value !== undefined) {
        const before = values.get(change.value);
        if (before !== undefined)
          throw new Error(
            `Twice: ${change.key}=${change.value} was written at revisions ${before} and ${change.revision}`,
          );
        values.set(change.value, change.revision);
      }
      const before = versions.get(change.key);
      if (before === undefined) versions.set(change.key, [change]);
      else before.push(change);
    }
    for (const { operation, result } of this.#calls) {
      if (operation.type === "get") {
        if (result?.type === "ok") checkRead(operation.key, result, versions.get(operation.key) ?? []);
      } else if (result?.type === "ok" && result.modRevision !== 0) {
        const change = byRevision.get(result.revision);
        const wanted = operation.type === "put" ? operation.value : undefined;
        if (change?.key !== operation.key || change.value !== wanted)
          throw new Error(
            `Lost: ${describe(operation)} was acknowledged at revision ${result.revision}, which is ${describeChange(change)}`,
          );
      } else if (result?.type === "failed" && operation.type === "put") {
        const revision = values.get(operation.value);
        if (revision !== undefined)
          throw new Error(
            `Not failed: ${describe(operation)} was answered "failed", and stands at revision ${revision}`,
          );
      }
    }
  }
}

function registerCall({ operation, startedAt, endedAt, result }: Call, cut: number): RegisterCall[] {
  if (result?.type === "failed") return [];
  const known = result?.type === "ok" && endedAt <= cut;
  if (operation.type === "get") {
    if (!known) return [];
    return [{ startedAt, endedAt, operation: { type: "read", value: result.value } }];
  }
  const value = operation.type === "put" ? operation.value : undefined;
  return [{ startedAt, endedAt: known ? endedAt : Infinity, operation: { type: "write", value } }];
}

function checkRead(key: string, result: Extract<ClientResult, { type: "ok" }>, versions: readonly Change[]): void {
  const change = versions.findLast(({ revision }) => revision <= result.revision);
  if (result.value === change?.value) return;
  throw new Error(
    `Wrong read: get ${key} at revision ${result.revision} answered ${String(result.value)}, which should be ${describeChange(change)}`,
  );
}

function describe(operation: ClientOperation): string {
  return operation.type === "put" ? `put ${operation.key}=${operation.value}` : `${operation.type} ${operation.key}`;
}

function describeChange(change: Change | undefined): string {
  if (change === undefined) return "not there";
  return change.value === undefined ? `a delete of ${change.key}` : `${change.key}=${change.value}`;
}
