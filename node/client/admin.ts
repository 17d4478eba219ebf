import { Type, type Static } from "typebox";

/**
 * The admin door: what an operator needs of a member. Served on the client port under `/admin/v1`, only to a
 * certificate with the URI SAN `concord://<cluster-uid>/role/admin` (or, while TLS is off, to loopback). All bodies are
 * JSON; errors are `application/problem+json` with a `code`. The routes are in `api/http/openapi.json`.
 */
export const MemberInfo = Type.Object({
  id: Type.String({ pattern: "^[0-9a-f]{16}$", description: "Raft id, 16 hex digits" }),
  name: Type.String(),
  peerUrls: Type.Array(Type.String()),
  clientUrls: Type.Array(Type.String()),
  learner: Type.Boolean(),
});
export type MemberInfo = Static<typeof MemberInfo>;

export const MemberStatus = Type.Object({
  /** `waiting`: empty disk, belongs to no cluster. `founding`: not all founding members vote yet. `recovering`: catching up after damage or a snapshot. */
  state: Type.Union([
    Type.Literal("waiting"),
    Type.Literal("founding"),
    Type.Literal("running"),
    Type.Literal("recovering"),
    Type.Literal("removed"),
    Type.Literal("failed"),
  ]),
  id: Type.String({ description: "Raft id, 16 hex digits" }),
  name: Type.String(),
  clusterId: Type.String({ description: "16 hex digits, empty while waiting" }),
  clusterUid: Type.String(),
  version: Type.String({ description: "Version of Concord" }),
  /**
   * From the configuration that this member has applied, as `members`: the leader may have applied a newer one. `learner`
   * also while that configuration does not contain this member yet.
   */
  role: Type.Union([
    Type.Literal("follower"),
    Type.Literal("preCandidate"),
    Type.Literal("candidate"),
    Type.Literal("leader"),
    Type.Literal("learner"),
  ]),
  leaderId: Type.String({ description: "Empty when no leader is known" }),
  term: Type.Integer(),
  commitIndex: Type.Integer(),
  appliedIndex: Type.Integer(),
  revision: Type.Integer(),
  compactRevision: Type.Integer(),
  members: Type.Array(
    Type.Object({
      ...MemberInfo.properties,
      /** Only known at the leader; elsewhere -1, false and false. */
      matchIndex: Type.Integer(),
      active: Type.Boolean(),
      caughtUp: Type.Boolean(),
    }),
  ),
  machineVersion: Type.Integer(),
  databaseBytes: Type.Integer(),
  alarms: Type.Array(Type.String()),
  certificateNotAfter: Type.String({ description: "RFC 3339, of the server certificate; empty without TLS" }),
});
export type MemberStatus = Static<typeof MemberStatus>;

export const GrantRequest = Type.Object(
  {
    clusterId: Type.String({ pattern: "^[0-9a-f]{16}$" }),
    clusterUid: Type.String({ maxLength: 128 }),
    /** No client write is accepted before this many members vote. */
    size: Type.Integer({ minimum: 1, maximum: 9 }),
    /** The pod's own view of itself must agree, or the grant is refused. */
    memberName: Type.String(),
  },
  { additionalProperties: false },
);
export type GrantRequest = Static<typeof GrantRequest>;

/** The leader asks the member at `peerUrls` for its Raft id (it must be empty and carry this name) and adds it as a learner. */
export const AddLearnerRequest = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 253 }),
    peerUrls: Type.Array(Type.String(), { minItems: 1, maxItems: 8 }),
  },
  { additionalProperties: false },
);
export type AddLearnerRequest = Static<typeof AddLearnerRequest>;

export const MembersAnswer = Type.Object({ members: Type.Array(MemberInfo) });
export type MembersAnswer = Static<typeof MembersAnswer>;

export const TransferRequest = Type.Object(
  {
    /** Raft id; empty = the voter that is furthest. */
    to: Type.String({ pattern: "^([0-9a-f]{16})?$" }),
  },
  { additionalProperties: false },
);
export type TransferRequest = Static<typeof TransferRequest>;

export const TransferAnswer = Type.Object({ leaderId: Type.String() });
export type TransferAnswer = Static<typeof TransferAnswer>;

/** Equal on all members at an equal revision and compact revision. */
export const HashAnswer = Type.Object({
  revision: Type.Integer(),
  compactRevision: Type.Integer(),
  hash: Type.String(),
});
export type HashAnswer = Static<typeof HashAnswer>;

/** History before the revision goes; reads of it and from it on stay. */
export const CompactRequest = Type.Object(
  { revision: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }) },
  { additionalProperties: false },
);
export type CompactRequest = Static<typeof CompactRequest>;

export const CompactAnswer = Type.Object({ revision: Type.Integer(), compactRevision: Type.Integer() });
export type CompactAnswer = Static<typeof CompactAnswer>;
