import { isClientWrite, mayPut } from "./command-kind.ts";
import { type Command, type RefusedReason } from "./commands.ts";
import { checkCommand, LIMIT_CEILINGS } from "./limits.ts";
import { type Members } from "./members.ts";

/** What stands against a command before its operations are looked at, or undefined. */
export function admission(members: Members, command: Command): RefusedReason | undefined {
  if (command.type === "found") return members.isFounded ? "alreadyFounded" : undefined;
  if (!members.isFounded) return "notFounded";
  const reason = checkCommand(command, LIMIT_CEILINGS);
  if (reason !== undefined) return reason;
  const { foundingComplete, alarms } = members.state;
  if (!foundingComplete && isClientWrite(command)) return "founding";
  return alarms.length > 0 && mayPut(command) ? "noSpace" : undefined;
}
