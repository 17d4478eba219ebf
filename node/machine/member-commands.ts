import { type Command, type RefusedReason } from "./commands.ts";
import { type Members } from "./members.ts";

export type MemberCommand = Extract<Command, { readonly type: "found" | "publish" | "alarm" }>;

/** Applies a command about the members. @returns why it was refused, or undefined. */
export function applyMember(members: Members, command: MemberCommand): RefusedReason | undefined {
  switch (command.type) {
    case "found":
      members.found(command);
      return undefined;
    case "publish": {
      const { member: id, name, peerUrls, clientUrls } = command;
      return members.publish({ id, name, peerUrls, clientUrls }) ? undefined : "unknownMember";
    }
    case "alarm":
      if (command.action === "clear") members.clearAlarm(command.member);
      else if (!members.has(command.member)) return "unknownMember";
      else members.setAlarm({ member: command.member, alarm: command.alarm });
      return undefined;
  }
}
