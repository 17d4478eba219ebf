import { type Member } from "../machine/commands.ts";
import { type Configuration } from "../raft/types.ts";

/** The Raft configuration that a table of members stands for. */
export function membersConfiguration(members: readonly Member[]): Configuration {
  return {
    voters: members.filter((member) => !member.learner).map(({ id }) => id),
    learners: members.filter((member) => member.learner).map(({ id }) => id),
  };
}
