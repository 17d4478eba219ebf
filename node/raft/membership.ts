import { type Configuration, type ConfigurationChange, type MemberId, type Refusal } from "./types.ts";
import { quorumOf } from "./quorum.ts";

/**
 * Single-step membership changes (Raft thesis, section 4.1). A change adds, promotes or removes one member, so any
 * majority of the old configuration and any of the new one share a voter.
 */

export const EMPTY_CONFIGURATION: Configuration = { voters: [], learners: [] };

export function isVoter(configuration: Configuration, member: MemberId): boolean {
  return configuration.voters.includes(member);
}

export function isLearner(configuration: Configuration, member: MemberId): boolean {
  return configuration.learners.includes(member);
}

export function isMember(configuration: Configuration, member: MemberId): boolean {
  return isVoter(configuration, member) || isLearner(configuration, member);
}

/** The configuration after `change`. A change that has nothing to do, or would leave no voter, changes nothing. */
export function applyChange(configuration: Configuration, change: ConfigurationChange): Configuration {
  const { voters, learners } = configuration;
  const member = change.member;
  switch (change.type) {
    case "addLearner":
      return isMember(configuration, member) ? configuration : { voters, learners: [...learners, member] };
    case "promote":
      if (!isLearner(configuration, member)) return configuration;
      return { voters: [...voters, member], learners: learners.filter((id) => id !== member) };
    case "remove":
      if (voters.length === 1 && voters[0] === member) return configuration;
      return { voters: voters.filter((id) => id !== member), learners: learners.filter((id) => id !== member) };
  }
}

/** What the leader knows about its peers when it judges a change. */
export interface PeerView {
  /** Heard from within an election timeout. The leader itself is active. */
  isActive(member: MemberId): boolean;
  isCaughtUp(member: MemberId): boolean;
}

/** Why `change` must not be proposed, or undefined. */
export function refusalOf(
  configuration: Configuration,
  change: ConfigurationChange,
  peers: PeerView,
): Refusal | undefined {
  const member = change.member;
  if (change.type === "addLearner") return isMember(configuration, member) ? "alreadyMember" : undefined;
  if (!isMember(configuration, member)) return "unknownMember";
  if (change.type === "promote") {
    if (!isLearner(configuration, member)) return "notLearner";
    if (!peers.isCaughtUp(member)) return "learnerBehind";
  } else if (isLearner(configuration, member)) {
    return undefined;
  } else if (configuration.voters.length === 1) {
    return "lastVoter";
  }
  const voters = applyChange(configuration, change).voters;
  const active = voters.filter((id) => peers.isActive(id)).length;
  return active < quorumOf(voters.length) ? "wouldLoseQuorum" : undefined;
}
