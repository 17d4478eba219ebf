import { TERM_MAX } from "./state.ts";
import { type Configuration, type Entry, type KnownCommit, type Message } from "./types.ts";

/**
 * Whether a message makes sense in itself: whole, non-negative numbers, a believable term, entries without gaps.
 * What fails here is dropped. The transport has authenticated the sender, so this guards against bugs and damage of
 * another version, at the cost of a few comparisons.
 */
export function isWellFormed(message: Message): boolean {
  if (!isCount(message.term) || message.term > TERM_MAX) return false;
  switch (message.type) {
    case "appendRequest":
      return isCount(message.commit) && hasEntriesInOrder(message);
    case "appendResponse":
      return isCount(message.index) && isCount(message.hintIndex) && isCount(message.hintTerm);
    case "heartbeat":
      return isCount(message.commit) && isCount(message.round);
    case "heartbeatResponse":
      return isCount(message.round);
    case "voteRequest":
      return (
        isCount(message.lastIndex) &&
        isCount(message.lastTerm) &&
        message.lastTerm <= message.term &&
        isKnownCommit(message.known)
      );
    case "voteResponse":
      return isKnownCommit(message.known);
    case "readIndexRequest":
      return isCount(message.context);
    case "readIndexResponse":
      return isCount(message.context) && isCount(message.index);
    case "snapshotChunk":
      return (
        isCount(message.transfer) &&
        isCount(message.sequence) &&
        isCount(message.meta.index) &&
        isCount(message.meta.term) &&
        message.meta.term <= message.term &&
        isSoundConfiguration(message.meta.configuration)
      );
    case "snapshotResponse":
      return isCount(message.transfer) && isCount(message.sequence);
    case "timeoutNow":
      return true;
  }
}

function isKnownCommit({ index, term }: KnownCommit): boolean {
  return isCount(index) && isCount(term);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function hasEntriesInOrder(message: Extract<Message, { type: "appendRequest" }>): boolean {
  if (!isCount(message.previousIndex) || !isCount(message.previousTerm)) return false;
  let index = message.previousIndex;
  let term = message.previousTerm;
  for (const entry of message.entries) {
    index += 1;
    if (entry.index !== index || !isTermFrom(entry, term)) return false;
    term = entry.term;
  }
  return Number.isSafeInteger(index) && term <= message.term;
}

function isTermFrom(entry: Entry, lowest: number): boolean {
  return Number.isSafeInteger(entry.term) && entry.term >= lowest;
}

/** A snapshot that is worth installing has a voter, and names nobody twice. */
function isSoundConfiguration(configuration: Configuration): boolean {
  const members = [...configuration.voters, ...configuration.learners];
  return configuration.voters.length > 0 && new Set(members).size === members.length;
}
