import { type Command, type Operation } from "./commands.ts";

/** Whether a command only reads. A txn reads when no branch of it, nested ones included, puts or deletes. */
export function isReadOnly(command: Command): boolean {
  return command.type === "range" || (command.type === "txn" && !hasOperation(command, isWrite));
}

/** Whether a command may put or grant, which takes room. */
export function mayPut(command: Command): boolean {
  return (
    command.type === "put" || command.type === "leaseGrant" || (command.type === "txn" && hasOperation(command, isPut))
  );
}

/** Commands that wait for the founding: what changes keys or their history. */
export function isClientWrite(command: Command): boolean {
  switch (command.type) {
    case "put":
    case "delete":
    case "touch":
    case "compact":
    case "leaseGrant":
    case "leaseRevoke":
    case "leaseKeepAlive":
      return true;
    case "txn":
      return !isReadOnly(command);
    default:
      return false;
  }
}

function isWrite(operation: Operation): boolean {
  return operation.type === "put" || operation.type === "delete" || operation.type === "touch";
}

function isPut(operation: Operation): boolean {
  return operation.type === "put";
}

function hasOperation(operation: Operation, wanted: (operation: Operation) => boolean): boolean {
  if (operation.type !== "txn") return wanted(operation);
  const inBranch = (branch: readonly Operation[]): boolean => branch.some((inner) => hasOperation(inner, wanted));
  return inBranch(operation.success) || inBranch(operation.failure);
}
