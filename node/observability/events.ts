/**
 * What the channels carry. Several nodes may run in one process, so every event says whose it is. Keys, values and
 * certificates are never in one. Ids of members and leases are 16 hex digits, durations are milliseconds.
 */

/** A node, the same object in all its events: `Concord.handle` of the program that embeds it. */
export interface NodeHandle {
  /** Of the member, as configured. */
  readonly name: string;
}

/** What every event has. */
export interface NodeEvent {
  readonly node: NodeHandle;
}

/** Where a request belongs in a trace (W3C Trace Context). */
export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
}

/** Whether a request or its answer is a stream; gRPC's four kinds, less the one that no method is of. */
export type RequestKind = "unary" | "serverStream" | "bidiStream";

/** Which door a request came to. `gateway`: etcd's methods as JSON. */
export type DoorName = "etcd" | "gateway" | "session" | "http" | "embed";

/** A request at a door: published as it begins, and the same object in all that it causes at this member. */
export interface ApiRequest extends NodeEvent {
  readonly door: DoorName;
  /** gRPC service with its package, such as `etcdserverpb.KV`; empty where there is none. */
  readonly service: string;
  /** gRPC method, route, or method of the store: a closed set, never what a client wrote. */
  readonly operation: string;
  readonly kind: RequestKind;
  /** The client's `traceparent`, as it came. */
  readonly traceparent: string | undefined;
  /**
   * To be set by a tracer while it is told of the request: goes with the write to every member, and into log lines.
   * Undefined: not traced.
   */
  trace: TraceContext | undefined;
}

/** A request is over, whoever ended it. */
export interface RequestFinished extends NodeEvent {
  readonly request: ApiRequest;
  /** gRPC status code at the doors `etcd` and `gateway`, HTTP status at the others. */
  readonly status: number;
  readonly durationMs: number;
}

/** The leader put a write into its log. */
export interface Proposed extends NodeEvent {
  readonly index: number;
  readonly term: number;
  /** Type of the command: `put`, `txn`, `leaseExpire`. */
  readonly operation: string;
  /** Undefined for what another member handed on, and for what the node does by itself. */
  readonly request: ApiRequest | undefined;
  readonly trace: TraceContext | undefined;
}

/** A member handed a write of its client on to the leader. */
export interface Forwarded extends NodeEvent {
  readonly leaderId: string;
  readonly operation: string;
  readonly request: ApiRequest | undefined;
  readonly trace: TraceContext | undefined;
}

/** Entries are durable in this member's log. */
export interface Persisted extends NodeEvent {
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** From when they were given to the log, the wait for the group before them included. */
  readonly durationMs: number;
}

/** What waited for this member's log is on its disk: one write and sync, for entries or for the log's own records. */
export interface Synced extends NodeEvent {
  readonly durationMs: number;
}

/** Entries are committed, as far as this member knows, and wait to be applied. */
export interface Committed extends NodeEvent {
  readonly firstIndex: number;
  readonly lastIndex: number;
}

/** This member applied a command. */
export interface Applied extends NodeEvent {
  readonly index: number;
  readonly term: number;
  readonly operation: string;
  /** False: the state machine refused it, and nothing changed. */
  readonly ok: boolean;
  /** Of the store, behind it. */
  readonly revision: number;
  readonly trace: TraceContext | undefined;
}

/** A write that this member took has its outcome. */
export interface Answered extends NodeEvent {
  readonly operation: string;
  readonly outcome: "ok" | "failed" | "unknown";
  /** Code of the error table, or reason of the state machine; empty for `ok`. */
  readonly reason: string;
  readonly durationMs: number;
  readonly request: ApiRequest | undefined;
}

/** This member plays another role in Raft. */
export interface RoleChanged extends NodeEvent {
  readonly role: "follower" | "preCandidate" | "candidate" | "leader";
  readonly previous: RoleChanged["role"];
  readonly term: number;
}

/** This member follows another leader. */
export interface LeaderChanged extends NodeEvent {
  /** Empty: it knows none. */
  readonly leaderId: string;
  readonly previous: string;
  readonly term: number;
}

/** This member is in another term. */
export interface TermChanged extends NodeEvent {
  readonly term: number;
  readonly previous: number;
}

/**
 * An election as this member sees it: it asks for votes (`campaign`), it was elected (`won`), it asks no more (`lost`), or it
 * leads and has applied an entry of its own term (`office`): from then on its state is current.
 */
export interface Election extends NodeEvent {
  readonly step: "campaign" | "won" | "lost" | "office";
  readonly term: number;
}

/** This member applied a change of the membership. */
export interface MembershipChanged extends NodeEvent {
  readonly index: number;
  readonly change: "addLearner" | "promote" | "remove";
  readonly memberId: string;
  readonly voters: number;
  readonly learners: number;
}

/** The whole state, on its way: for a backup (`taken`), to another member (`sending`, `sent`), or from the leader. */
export interface SnapshotMoved extends NodeEvent {
  readonly step: "taken" | "sending" | "sent" | "receiving" | "received" | "failed";
  /** The other member; empty for `taken`. */
  readonly memberId: string;
  /** Of the last entry in it; 0 for `failed`. */
  readonly index: number;
}

/** Changed pages go to the checkpoint on disk. */
export interface Checkpointed extends NodeEvent {
  readonly step: "started" | "written" | "failed";
  readonly index: number;
  /** From the start; 0 there. */
  readonly durationMs: number;
  /** How much of it the last, atomic write took; 0 unless `written`. */
  readonly commitMs: number;
}

/** A lease, or rows with a time to live, ended. */
export interface Expired extends NodeEvent {
  readonly kind: "lease" | "row";
  /** Empty for rows. */
  readonly leaseId: string;
  /** Keys that went. */
  readonly deleted: number;
  readonly revision: number;
}

/** History before a revision is gone. */
export interface Compacted extends NodeEvent {
  readonly revision: number;
}

/** An alarm was raised or lowered. */
export interface AlarmChanged extends NodeEvent {
  readonly action: "set" | "clear";
  readonly alarm: "noSpace";
  readonly memberId: string;
}

/** Another member answered a ping over one of the connections with it. */
export interface PeerAnswered extends NodeEvent {
  readonly memberId: string;
  readonly durationMs: number;
}

/** The server certificate was read anew. */
export interface CertificateReloaded extends NodeEvent {
  /** RFC 3339. */
  readonly notAfter: string;
}
