import { type Member } from "../machine/commands.ts";
import { type MemberId, type Refusal } from "../raft/types.ts";
import { type ByteReader, type ByteWriter, CodecError } from "./bytes.ts";
import {
  copyBytes,
  MEMBERS_MAX,
  type MessageFormat,
  readCount,
  readFlag,
  readId,
  readStrings,
  readTag,
  type Tags,
  writeFlag,
  writeStrings,
} from "./message-fields.ts";

/** A change of the cluster that only its leader can make. */
export type AdminRequest =
  | { readonly type: "addLearner"; readonly name: string; readonly peerUrls: readonly string[] }
  | { readonly type: "promote"; readonly id: MemberId }
  | { readonly type: "remove"; readonly id: MemberId }
  /** Empty `to`: the voter that is furthest. */
  | { readonly type: "transfer"; readonly to: MemberId };

/** What became of a forwarded command. */
export type ForwardResult =
  /** Applied, or refused by the machine: its encoded outcome. */
  | { readonly type: "outcome"; readonly outcome: Uint8Array }
  /** Certainly not proposed. */
  | { readonly type: "refused"; readonly reason: Refusal }
  /** Proposed, and its fate is not known. */
  | { readonly type: "unknown" };

export type AdminResult =
  | {
      readonly type: "ok";
      /** The members after the change. */
      readonly members: readonly Member[];
      /** Who leads after a transfer; else the leader that answers. */
      readonly leader: MemberId;
    }
  /** `code` is one of the error table's codes. */
  | { readonly type: "failed"; readonly code: string; readonly message: string };

/** What a member hands to the leader on behalf of its clients, and the leader's answer. A request is forwarded once. */
export type ForwardMessage =
  | {
      readonly type: "forward";
      /** The sender's own number, unique among its requests in flight. Given back in the reply. */
      readonly requestId: number;
      /** Milliseconds that are left to the client when the request is sent. Clocks of members are not compared. */
      readonly deadlineMs: number;
      /** See codec/proposal.ts. */
      readonly command: Uint8Array;
    }
  | { readonly type: "forwardReply"; readonly requestId: number; readonly result: ForwardResult }
  | {
      readonly type: "forwardAdmin";
      readonly requestId: number;
      /** Milliseconds that are left to the caller when the request is sent. */
      readonly deadlineMs: number;
      readonly request: AdminRequest;
    }
  | { readonly type: "forwardAdminReply"; readonly requestId: number; readonly result: AdminResult };

/** Largest command or outcome in one message. Requests end at 2 MiB by default; the rest is room for settings. */
export const FORWARD_BYTES_MAX = 16 << 20;
/** Longest a forwarded request may wait, ms. One hour. */
export const FORWARD_DEADLINE_MS_MAX = 3_600_000;

const NAME_BYTES_MAX = 1024;
const URLS = { count: 32, bytes: 4096 } as const;
const CODE_BYTES_MAX = 64;
const TEXT_BYTES_MAX = 4096;
const MEMBER_BYTES_MIN = 21;

const ADMIN_TAGS: Tags<AdminRequest["type"]> = { addLearner: 1, promote: 2, remove: 3, transfer: 4 };
const RESULT_TAGS: Tags<ForwardResult["type"]> = { outcome: 1, refused: 2, unknown: 3 };
const REFUSAL_TAGS: Tags<Refusal> = {
  notLeader: 1,
  transferring: 2,
  tooManyUncommitted: 3,
  notCommittedInTerm: 4,
  configurationPending: 5,
  unknownMember: 6,
  alreadyMember: 7,
  notLearner: 8,
  learnerBehind: 9,
  wouldLoseQuorum: 10,
  lastVoter: 11,
};

type ForwardFormats = {
  readonly [T in ForwardMessage["type"]]: MessageFormat<Extract<ForwardMessage, { readonly type: T }>>;
};

/** How these messages are written and read; their numbers start at 64, Raft's end below. */
export const FORWARD_FORMATS: ForwardFormats = {
  forward: {
    code: 64,
    write(writer, { requestId, deadlineMs, command }) {
      writer.u53(requestId).u32(Math.min(deadlineMs, FORWARD_DEADLINE_MS_MAX)).u32(command.length);
    },
    tail: ({ command }) => command,
    read: (reader) => ({
      type: "forward",
      requestId: reader.u53(),
      deadlineMs: readDeadline(reader),
      command: copyBytes(reader.bytes(FORWARD_BYTES_MAX)),
    }),
  },
  forwardReply: {
    code: 65,
    write(writer, { requestId, result }) {
      writer.u53(requestId).u8(RESULT_TAGS[result.type]);
      if (result.type === "refused") writer.u8(REFUSAL_TAGS[result.reason]);
      if (result.type === "outcome") writer.u32(result.outcome.length);
    },
    tail: ({ result }) => (result.type === "outcome" ? result.outcome : undefined),
    read: (reader) => ({ type: "forwardReply", requestId: reader.u53(), result: readForwardResult(reader) }),
  },
  forwardAdmin: {
    code: 66,
    write(writer, { requestId, deadlineMs, request }) {
      writer.u53(requestId).u32(Math.min(deadlineMs, FORWARD_DEADLINE_MS_MAX));
      writeAdminRequest(writer, request);
    },
    read: (reader) => ({
      type: "forwardAdmin",
      requestId: reader.u53(),
      deadlineMs: readDeadline(reader),
      request: readAdminRequest(reader),
    }),
  },
  forwardAdminReply: {
    code: 67,
    write(writer, { requestId, result }) {
      writer.u53(requestId);
      writeFlag(writer, result.type === "ok");
      if (result.type === "failed") {
        writer.string(result.code).string(cutText(result.message));
        return;
      }
      writer.id(result.leader).u32(result.members.length);
      for (const member of result.members) writeMember(writer, member);
    },
    read: (reader) => ({ type: "forwardAdminReply", requestId: reader.u53(), result: readAdminResult(reader) }),
  },
};

function readDeadline(reader: ByteReader): number {
  const deadlineMs = reader.u32();
  if (deadlineMs > FORWARD_DEADLINE_MS_MAX)
    throw new CodecError(`Deadline of ${deadlineMs} ms, at most ${FORWARD_DEADLINE_MS_MAX} are allowed`);
  return deadlineMs;
}

function readForwardResult(reader: ByteReader): ForwardResult {
  const type = readTag(reader, RESULT_TAGS, "result of a forwarded command");
  switch (type) {
    case "outcome":
      return { type, outcome: copyBytes(reader.bytes(FORWARD_BYTES_MAX)) };
    case "refused":
      return { type, reason: readTag(reader, REFUSAL_TAGS, "refusal") };
    case "unknown":
      return { type };
  }
}

function writeAdminRequest(writer: ByteWriter, request: AdminRequest): void {
  writer.u8(ADMIN_TAGS[request.type]);
  switch (request.type) {
    case "addLearner":
      writer.string(request.name);
      writeStrings(writer, request.peerUrls);
      return;
    case "promote":
    case "remove":
      writer.id(request.id);
      return;
    case "transfer":
      writer.id(request.to);
      return;
  }
}

function readAdminRequest(reader: ByteReader): AdminRequest {
  const type = readTag(reader, ADMIN_TAGS, "admin request");
  switch (type) {
    case "addLearner":
      return { type, name: reader.string(NAME_BYTES_MAX), peerUrls: readStrings(reader, URLS) };
    case "promote":
    case "remove":
      return { type, id: readId(reader) };
    case "transfer":
      return { type, to: reader.id() };
  }
}

function readAdminResult(reader: ByteReader): AdminResult {
  if (!readFlag(reader))
    return { type: "failed", code: reader.string(CODE_BYTES_MAX), message: reader.string(TEXT_BYTES_MAX) };
  const leader = reader.id();
  const count = readCount(reader, MEMBER_BYTES_MIN, MEMBERS_MAX);
  return { type: "ok", leader, members: Array.from({ length: count }, () => readMember(reader)) };
}

function writeMember(writer: ByteWriter, member: Member): void {
  writer.id(member.id).string(member.name);
  writeStrings(writer, member.peerUrls);
  writeStrings(writer, member.clientUrls);
  writeFlag(writer, member.learner);
  writeFlag(writer, member.joined);
}

function readMember(reader: ByteReader): Member {
  return {
    id: readId(reader),
    name: reader.string(NAME_BYTES_MAX),
    peerUrls: readStrings(reader, URLS),
    clientUrls: readStrings(reader, URLS),
    learner: readFlag(reader),
    joined: readFlag(reader),
  };
}

/** An error's text may quote what a user gave; a reply that its receiver refuses would be worse than a shorter text. */
function cutText(text: string): string {
  // A UTF-16 unit takes at most three bytes. A pair cut in half becomes U+FFFD.
  return text.slice(0, Math.floor(TEXT_BYTES_MAX / 3));
}
