import { ConcordError } from "../client/errors.ts";
import { type HistoryOperation, type KeyRange, type Operation } from "../machine/commands.ts";
import { type Principal } from "./principal.ts";

/** One thing a request touches. A request is allowed when all of its accesses are. */
export type Access =
  | { readonly type: "read" | "write"; readonly range: KeyRange }
  /** Leases, and the names of the keys that hang on them. */
  | { readonly type: "lease" }
  /** Members and state of the node, without keys or values. */
  | { readonly type: "status" }
  /** Discarding history: reads of old revisions end for everybody. */
  | { readonly type: "compact" }
  /** Founding, membership, leadership, alarms, snapshots: whatever concerns the cluster as a whole. */
  | { readonly type: "administer" };

/**
 * The one place that decides. Every door and every operation goes through here with everything it touches.
 *
 * @throws ConcordError `CONCORD_PERMISSION_DENIED`. It does not say whether what was asked for exists.
 */
export function authorize(principal: Principal, accesses: Iterable<Access>): void {
  for (const access of accesses) {
    if (!permits(principal, access)) throw new ConcordError("CONCORD_PERMISSION_DENIED");
  }
}

function permits(principal: Principal, access: Access): boolean {
  switch (access.type) {
    case "read":
    case "write":
    case "lease":
    case "status":
    case "compact":
      return true;
    case "administer":
      return principal.kind === "admin" || (principal.kind === "anonymous" && principal.local);
  }
}

/**
 * Everything an operation touches, nested txns included. What a put or delete returns of the old row is a read, and so is
 * `ignoreValue`, which keeps the old value. A lease that is attached can delete the key later: whoever attaches it may
 * write the key anyway.
 */
export function* accessesOf(operation: Operation | HistoryOperation): Generator<Access> {
  switch (operation.type) {
    case "range":
      yield { type: "read", range: operation };
      return;
    case "history":
      yield { type: "read", range: { key: operation.key, rangeEnd: NO_END } };
      return;
    case "put": {
      const range = { key: operation.key, rangeEnd: NO_END };
      yield { type: "write", range };
      if (operation.previous || operation.ignoreValue) yield { type: "read", range };
      return;
    }
    case "delete":
      yield { type: "write", range: operation };
      if (operation.previous) yield { type: "read", range: operation };
      return;
    case "touch":
      yield { type: "write", range: { key: operation.key, rangeEnd: NO_END } };
      return;
    case "txn":
      for (const compare of operation.compares) yield { type: "read", range: compare };
      for (const each of operation.success) yield* accessesOf(each);
      for (const each of operation.failure) yield* accessesOf(each);
      return;
  }
}

/** Whether an operation can change nothing, whichever way its compares go. */
export function isReadOnly(operation: Operation): boolean {
  for (const access of accessesOf(operation)) if (access.type === "write") return false;
  return true;
}

const NO_END = new Uint8Array(0);
