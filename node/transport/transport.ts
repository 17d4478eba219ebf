import { type MemberId } from "../raft/types.ts";

/** A peer as the transport sees it. URLs are dialled in turn and resolved anew at each dial. */
export interface Peer {
  readonly id: MemberId;
  readonly name: string;
  readonly urls: readonly string[];
}

/** What a member says of itself in a handshake, and what it accepts. */
export interface TransportIdentity {
  readonly groupId: number;
  /** 16 hex digits, or empty while the member waits to be founded or adopted. */
  readonly clusterId: string;
  readonly memberId: MemberId;
  readonly memberName: string;
  /** Of a waiting member whose log was damaged: the id it gave up for good. */
  readonly formerId?: MemberId;
  /** `--initial-cluster-token` (or what stands for it): strangers of the same network are told apart by it. */
  readonly token: string;
  /** The founding list (`name=url,…`, sorted) or empty. Compared by probes. */
  readonly initialCluster: string;
}

/** Answer of a probe: who is there. */
export interface ProbeAnswer {
  /** `refused`: another token or another list, or a certificate that does not fit; `reason` says which. */
  readonly state: "empty" | "member" | "refused";
  readonly memberId: MemberId;
  readonly memberName: string;
  readonly clusterId: string;
  /** Of an empty member: the id it gave up because its log was damaged, or empty. */
  readonly formerId: MemberId;
  /** Of a member: names of its cluster's members and whether each has ever joined. */
  readonly members: readonly { readonly id: MemberId; readonly name: string; readonly joined: boolean }[];
  readonly reason: string;
}

export interface TransportHandler {
  /** A frame from an authenticated member of this cluster. `payload` is valid during the call only. */
  onFrame(from: MemberId, payload: Uint8Array): void;
  /** The connection from `member` ended (FIN or RST), and no other stands. */
  onConnectionLost(member: MemberId): void;
  /** Frames to `member` were dropped (no connection, or its buffer is full). */
  onUnreachable(member: MemberId): void;
  /**
   * A member of `clusterId` wants to speak to this member, which belongs to no cluster yet. True: it is being adopted;
   * frames are dropped until that is durable, as a network may. False: refused.
   */
  onAdopt(clusterId: string, from: { readonly id: MemberId; readonly name: string }): boolean;
  /** A peer says that this member was removed from its cluster. */
  onRemoved(): void;
  /** What to answer to a probe beyond the identity. */
  members(): ProbeAnswer["members"];
  /** Whether `id` was once removed from this cluster; it is told so in the handshake. */
  isRemoved(id: MemberId): boolean;
}

/** Moves frames between members. Never blocks, never throws, may lose, never reorders within one connection. */
export interface Transport {
  start(handler: TransportHandler, done: (error: Error | undefined) => void): void;
  /** The identity may be completed once: from waiting to member. */
  setIdentity(identity: TransportIdentity): void;
  setPeers(peers: readonly Peer[]): void;
  /** False: dropped. The chunks are one frame. */
  send(to: MemberId, chunks: readonly Uint8Array[]): boolean;
  /** Asks who listens at `urls`, outside any cluster. Errors (nobody there, time-out) come as `error`. */
  probe(urls: readonly string[], done: (error: Error | undefined, answer: ProbeAnswer | undefined) => void): void;
  close(done: () => void): void;
}
