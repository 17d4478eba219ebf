import { type RaftCore } from "../../node/raft/core.ts";
import {
  type Configuration,
  type Entry,
  type KnownCommit,
  type MemberId,
  type Message,
  type Outgoing,
  type Ready,
} from "../../node/raft/types.ts";
import { decode } from "./member.ts";

/** Words for the transcripts: one line per fact, the same for equal values. */

export function describeEntry(entry: Entry): string {
  const what =
    entry.type === "configuration" ? `${entry.change.type}(${entry.change.member})` : `"${decode(entry.data)}"`;
  return `${entry.term}/${entry.index} ${what}`;
}

export function describeConfiguration({ voters, learners }: Configuration): string {
  return learners.length === 0 ? `(${voters.join(" ")})` : `(${voters.join(" ")}) learners (${learners.join(" ")})`;
}

export function describeMessage(from: MemberId, to: MemberId, message: Message): string {
  return `${from}->${to} ${message.type} ${details(message)}`.trimEnd();
}

function details(message: Message): string {
  const term = `term ${message.term}`;
  switch (message.type) {
    case "appendRequest": {
      const { previousTerm, previousIndex, commit, entries } = message;
      const list = entries.length === 0 ? "" : ` [${entries.map(describeEntry).join(", ")}]`;
      return `${term} after ${previousTerm}/${previousIndex} commit ${commit}${list}`;
    }
    case "appendResponse": {
      const flag = message.needSnapshot ? " needs snapshot" : "";
      if (!message.refused) return `${term} accepted ${message.index}${flag}`;
      return `${term} refused ${message.index} hint ${message.hintTerm}/${message.hintIndex}${flag}`;
    }
    case "heartbeat":
      return `${term} commit ${message.commit}${round(message.round)}`;
    case "heartbeatResponse":
      return `${term}${round(message.round)}${message.needSnapshot ? " needs snapshot" : ""}`;
    case "voteRequest": {
      const flags = `${message.preVote ? " pre-vote" : ""}${message.transfer ? " transfer" : ""}`;
      return `${term} last ${message.lastTerm}/${message.lastIndex}${flags}${known(message.known)}`;
    }
    case "voteResponse":
      return `${term} ${message.granted ? "granted" : "refused"}${message.preVote ? " pre-vote" : ""}${known(message.known)}`;
    case "timeoutNow":
      return term;
    case "readIndexRequest":
      return term;
    case "readIndexResponse":
      return `${term} index ${message.index}`;
    case "snapshotChunk": {
      const { transfer, sequence, last, meta } = message;
      const where = `${meta.term}/${meta.index} ${describeConfiguration(meta.configuration)}`;
      return `${term} transfer ${transfer} chunk ${sequence}${last ? " last" : ""} of ${where}`;
    }
    case "snapshotResponse": {
      const { transfer, status, sequence } = message;
      return `${term} transfer ${transfer} ${status}${status === "next" ? ` ${sequence}` : ""}`;
    }
  }
}

function round(number: number): string {
  return number === 0 ? "" : ` round ${number}`;
}

export function describeReady(id: MemberId, ready: Ready): string[] {
  const send = (label: string, list: readonly Outgoing[]): string[] =>
    list.map(({ to, message }) => `${label} ${describeMessage(id, to, message)}`);
  const list = (label: string, items: readonly string[]): string[] =>
    items.length === 0 ? [] : [`${label} ${items.join(", ")}`];
  const { hardState } = ready;
  return [
    ...(hardState === undefined
      ? []
      : [`hard state term ${hardState.term} vote ${hardState.vote || "-"} commit ${hardState.commit}`]),
    ...list("persist", ready.entries.map(describeEntry)),
    ...send("send", ready.messages),
    ...send("after persist", ready.messagesAfterPersist),
    ...list("apply", ready.committed.map(describeEntry)),
    ...ready.reads.map(({ context, index }) => `read ${context} at ${index}`),
    ...ready.failedReads.map(({ context, reason }) => `read ${context} failed: ${reason}`),
    ...ready.snapshotRequests.map((r) => `want chunk ${r.sequence} for ${r.to} transfer ${r.transfer}`),
    ...ready.install.map((c) => `install chunk ${c.sequence}${c.last ? " last" : ""} from ${c.from}`),
  ];
}

export function describeRole(core: RaftCore): string {
  const { role, term, leader } = core.status();
  if (role !== "follower") return `${role} in term ${term}`;
  return `follower in term ${term} of ${leader === "" ? "nobody" : leader}`;
}

export function describeStatus(core: RaftCore): string[] {
  const s = core.status();
  const vote = s.vote || "-";
  return [
    `${s.id} ${describeRole(core)} vote ${vote} commit ${s.commit} applied ${s.applied} log ${s.firstIndex}-${s.lastIndex}`,
    `configuration ${describeConfiguration(s.configuration)}${s.configurationPending ? " pending" : ""}`,
    ...(s.transferee === "" ? [] : [`transferring to ${s.transferee}`]),
    ...s.peers.map((peer) => {
      const flags = [peer.learner && "learner", !peer.active && "silent", peer.caughtUp && "caught up"];
      const tail = flags.filter(Boolean).map((flag) => ` ${flag}`);
      return `${peer.id} ${peer.state} match ${peer.match} next ${peer.next}${tail.join("")}`;
    }),
  ];
}

const known = ({ index, term }: KnownCommit): string => (index === 0 ? "" : ` knows ${term}/${index}`);
