import { type MemberId } from "../raft/types.ts";
import { ByteReader, ByteWriter, CodecError } from "./bytes.ts";

/**
 * What two members say to each other before the first frame: the dialling one a hello, the other one answer.
 *
 * A hello is written in the layout of its `minimumVersion`, so that whoever can talk to the sender at all can read it.
 */

/** The newest version of the peer protocol this program speaks. */
export const PROTOCOL_VERSION = 1;
/** The oldest version of the peer protocol this program still speaks. */
export const PROTOCOL_VERSION_MIN = 1;

/** Hellos and answers are bounded far below frames: nobody is authenticated yet. */
export const HANDSHAKE_BYTES_MAX = 65_536;
export const MEMBER_NAME_BYTES_MAX = 256;
export const REFUSAL_BYTES_MAX = 1024;
/** Members named in the answer of a probe. */
export const PROBE_MEMBERS_MAX = 128;
const HASH_BYTES_MAX = 64;

/** A member by id and name. In a hello's `to` both may be empty: anybody. */
export interface MemberName {
  readonly id: MemberId;
  readonly name: string;
}

export interface Hello {
  /** Newest version the sender speaks. */
  readonly protocolVersion: number;
  /** Oldest version the sender speaks, and the layout of this hello. */
  readonly minimumVersion: number;
  readonly groupId: number;
  /** 16 hex digits, or empty while the sender belongs to no cluster. */
  readonly clusterId: string;
  readonly from: MemberName;
  /** Whom the sender expects. Empty fields are not compared; probes leave both empty. */
  readonly to: MemberName;
  readonly kind: "session" | "probe";
  /** SHA-256 of the cluster token. */
  readonly tokenHash: Uint8Array;
  /** SHA-256 of the founding list, or no bytes without one. */
  readonly foundingListHash: Uint8Array;
}

/** Who answered a probe. The fields mean what those of the transport's `ProbeAnswer` mean. */
export interface ProbeReply {
  readonly state: "empty" | "member" | "refused";
  readonly memberId: MemberId;
  readonly memberName: string;
  readonly clusterId: string;
  readonly formerId: MemberId;
  readonly members: readonly { readonly id: MemberId; readonly name: string; readonly joined: boolean }[];
  readonly reason: string;
}

export type HelloAnswer =
  | {
      readonly type: "accepted";
      /** The version both speak from now on. */
      readonly protocolVersion: number;
      readonly clusterId: string;
      readonly member: MemberName;
      /** True: the answering member belonged to no cluster until this hello. */
      readonly adopted: boolean;
    }
  | { readonly type: "refused"; readonly reason: string }
  /** `member` was removed from `clusterId`. Both are repeated so that the answer can be for nobody else. */
  | { readonly type: "removed"; readonly clusterId: string; readonly member: MemberId }
  | { readonly type: "probed"; readonly reply: ProbeReply };

const KINDS = ["session", "probe"] as const;
const STATES = ["empty", "member", "refused"] as const;
const ANSWERS = ["accepted", "refused", "removed", "probed"] as const;

export function encodeHello(hello: Hello): Uint8Array {
  const writer = new ByteWriter(256);
  writer.u16(hello.protocolVersion).u16(hello.minimumVersion).u32(hello.groupId).id(hello.clusterId);
  writeMember(writer, hello.from);
  writeMember(writer, hello.to);
  writer.u8(KINDS.indexOf(hello.kind)).bytes(hello.tokenHash).bytes(hello.foundingListHash);
  return writer.finish();
}

/**
 * Reads a hello. The result owns its bytes.
 *
 * @throws CodecError when it is malformed, or when no version is spoken by both sides.
 */
export function decodeHello(bytes: Uint8Array): Hello {
  const reader = new ByteReader(bytes);
  const protocolVersion = reader.u16();
  const minimumVersion = reader.u16();
  if (minimumVersion > PROTOCOL_VERSION || protocolVersion < PROTOCOL_VERSION_MIN || protocolVersion < minimumVersion)
    throw new CodecError(
      `Peer speaks protocol versions ${minimumVersion} to ${protocolVersion}, wanted ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION}`,
    );
  const hello: Hello = {
    protocolVersion,
    minimumVersion,
    groupId: reader.u32(),
    clusterId: reader.id(),
    from: readMember(reader),
    to: readMember(reader),
    kind: readOne(reader, KINDS, "kind of hello"),
    tokenHash: reader.bytes(HASH_BYTES_MAX).slice(),
    foundingListHash: reader.bytes(HASH_BYTES_MAX).slice(),
  };
  reader.end();
  if (hello.from.id === "") throw new CodecError("Hello names no sender");
  return hello;
}

export function encodeHelloAnswer(answer: HelloAnswer): Uint8Array {
  const writer = new ByteWriter(256).u8(ANSWERS.indexOf(answer.type));
  switch (answer.type) {
    case "accepted":
      writer.u16(answer.protocolVersion).id(answer.clusterId);
      writeMember(writer, answer.member);
      return writer.u8(answer.adopted ? 1 : 0).finish();
    case "refused":
      return writer.string(cut(answer.reason)).finish();
    case "removed":
      return writer.id(answer.clusterId).id(answer.member).finish();
    case "probed":
      writeReply(writer, answer.reply);
      return writer.finish();
  }
}

/** @throws CodecError when the answer is malformed, or chooses a version that this program does not speak. */
export function decodeHelloAnswer(bytes: Uint8Array): HelloAnswer {
  const reader = new ByteReader(bytes);
  const answer = readAnswer(reader);
  reader.end();
  return answer;
}

function readAnswer(reader: ByteReader): HelloAnswer {
  const type = readOne(reader, ANSWERS, "answer to a hello");
  switch (type) {
    case "accepted": {
      const protocolVersion = reader.u16();
      if (protocolVersion < PROTOCOL_VERSION_MIN || protocolVersion > PROTOCOL_VERSION)
        throw new CodecError(`Peer chose protocol version ${protocolVersion}, which was not offered`);
      const clusterId = reader.id();
      const member = readMember(reader);
      return { type, protocolVersion, clusterId, member, adopted: readFlag(reader) };
    }
    case "refused":
      return { type, reason: reader.string(REFUSAL_BYTES_MAX) };
    case "removed":
      return { type, clusterId: reader.id(), member: reader.id() };
    case "probed":
      return { type, reply: readReply(reader) };
  }
}

function writeReply(writer: ByteWriter, reply: ProbeReply): void {
  writer.u8(STATES.indexOf(reply.state));
  writeMember(writer, { id: reply.memberId, name: reply.memberName });
  writer.id(reply.clusterId).id(reply.formerId);
  const members = reply.members.slice(0, PROBE_MEMBERS_MAX);
  writer.u16(members.length);
  for (const member of members) {
    writeMember(writer, member);
    writer.u8(member.joined ? 1 : 0);
  }
  writer.string(cut(reply.reason));
}

function readReply(reader: ByteReader): ProbeReply {
  const state = readOne(reader, STATES, "state of a probed member");
  const { id: memberId, name: memberName } = readMember(reader);
  const clusterId = reader.id();
  const formerId = reader.id();
  const count = reader.u16();
  if (count > PROBE_MEMBERS_MAX) throw new CodecError(`${count} members in a probe, at most ${PROBE_MEMBERS_MAX}`);
  const members = Array.from({ length: count }, () => ({ ...readMember(reader), joined: readFlag(reader) }));
  return { state, memberId, memberName, clusterId, formerId, members, reason: reader.string(REFUSAL_BYTES_MAX) };
}

function writeMember(writer: ByteWriter, member: MemberName): void {
  writer.id(member.id).string(member.name);
}

function readMember(reader: ByteReader): MemberName {
  return { id: reader.id(), name: reader.string(MEMBER_NAME_BYTES_MAX) };
}

function readFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new CodecError(`Flag is ${value}, wanted 0 or 1`);
  return value === 1;
}

function readOne<T extends string>(reader: ByteReader, values: readonly T[], what: string): T {
  const code = reader.u8();
  const value = values[code];
  if (value === undefined) throw new CodecError(`Unknown ${what}: ${code}`);
  return value;
}

/** Reasons are for people: a long one is cut, never an error. A character takes at most three bytes per UTF-16 unit. */
function cut(reason: string): string {
  return reason.slice(0, Math.floor(REFUSAL_BYTES_MAX / 3));
}
