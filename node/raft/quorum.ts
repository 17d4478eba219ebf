import { type Index, type MemberId } from "./types.ts";

/**
 * The arithmetic of majorities. Pure functions over small lists; nothing here knows about roles or messages.
 * Raft paper, section 5.2 (votes) and 5.3 (commitment).
 */

/** How many of `voters` are a majority. 0 voters need 1: an empty configuration can decide nothing. */
export function quorumOf(voters: number): number {
  return (voters >> 1) + 1;
}

/**
 * The highest index that a majority has stored. Sorts `matches` in place.
 * @param matches one match index per voter
 * @returns 0 when there is no voter
 */
export function majorityIndex(matches: Index[]): Index {
  sortAscending(matches);
  return matches[matches.length - quorumOf(matches.length)] ?? 0;
}

export type VoteResult = "won" | "lost" | "pending";

/**
 * The state of an election.
 * @param votes answers so far; those of members that are not voters do not count
 * @returns `lost` as soon as a majority of yes votes is out of reach. An empty configuration is always `lost`.
 */
export function voteResult(voters: readonly MemberId[], votes: ReadonlyMap<MemberId, boolean>): VoteResult {
  let granted = 0;
  let missing = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === undefined) missing += 1;
    else if (vote) granted += 1;
  }
  const quorum = quorumOf(voters.length);
  if (granted >= quorum) return "won";
  return granted + missing >= quorum ? "pending" : "lost";
}

// Insertion sort: the list has one number per voter, and no comparison function is called on the commit path.
function sortAscending(values: Index[]): void {
  for (let i = 1; i < values.length; i += 1) {
    const value = values[i] ?? 0;
    let j = i - 1;
    for (; j >= 0 && (values[j] ?? 0) > value; j -= 1) values[j + 1] = values[j] ?? 0;
    values[j + 1] = value;
  }
}
