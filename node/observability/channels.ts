import { AsyncLocalStorage } from "node:async_hooks";
import { channel, type Channel } from "node:diagnostics_channel";
import {
  type AlarmChanged,
  type Answered,
  type Applied,
  type CertificateReloaded,
  type Checkpointed,
  type Committed,
  type Compacted,
  type Election,
  type Expired,
  type Forwarded,
  type LeaderChanged,
  type MembershipChanged,
  type NodeEvent,
  type PeerAnswered,
  type Persisted,
  type Proposed,
  type ApiRequest,
  type RequestFinished,
  type RoleChanged,
  type SnapshotMoved,
  type Synced,
  type TermChanged,
} from "./events.ts";

/** A channel of Node.js that carries one kind of event. Publishing to it costs nanoseconds while nobody listens. */
export type EventChannel<Event extends NodeEvent> = Channel<unknown, Event>;

/**
 * What happens in a node, for whoever wants to know: metrics, tracing, an audit log, a program that embeds Concord. The names
 * are part of the public interface. Subscribers are called at once, in the middle of the work: what they do, the node
 * waits for, and what they throw ends the process as an uncaught exception.
 *
 * @example
 * ```ts
 * import { CHANNELS, Concord, type LeaderChanged } from "concord-kv";
 *
 * const listener = (event: unknown) => {
 *   const { leaderId, term } = event as LeaderChanged;
 *   console.log(`term ${term} is led by ${leaderId}`);
 * };
 * CHANNELS.leader.subscribe(listener);
 * await using store = await Concord.open({ memory: true });
 * await store.put("greeting", "hello");
 * CHANNELS.leader.unsubscribe(listener);
 * ```
 */
export const CHANNELS = {
  started: channel("concord:api:started") as EventChannel<ApiRequest>,
  finished: channel("concord:api:finished") as EventChannel<RequestFinished>,
  forwarded: channel("concord:operation:forwarded") as EventChannel<Forwarded>,
  proposed: channel("concord:operation:proposed") as EventChannel<Proposed>,
  persisted: channel("concord:operation:persisted") as EventChannel<Persisted>,
  synced: channel("concord:operation:synced") as EventChannel<Synced>,
  committed: channel("concord:operation:committed") as EventChannel<Committed>,
  applied: channel("concord:operation:applied") as EventChannel<Applied>,
  answered: channel("concord:operation:answered") as EventChannel<Answered>,
  role: channel("concord:state:role") as EventChannel<RoleChanged>,
  leader: channel("concord:state:leader") as EventChannel<LeaderChanged>,
  term: channel("concord:state:term") as EventChannel<TermChanged>,
  election: channel("concord:state:election") as EventChannel<Election>,
  membership: channel("concord:state:membership") as EventChannel<MembershipChanged>,
  snapshot: channel("concord:state:snapshot") as EventChannel<SnapshotMoved>,
  checkpoint: channel("concord:state:checkpoint") as EventChannel<Checkpointed>,
  expiry: channel("concord:state:expiry") as EventChannel<Expired>,
  compaction: channel("concord:state:compaction") as EventChannel<Compacted>,
  alarm: channel("concord:state:alarm") as EventChannel<AlarmChanged>,
  peer: channel("concord:state:peer") as EventChannel<PeerAnswered>,
  certificate: channel("concord:state:certificate") as EventChannel<CertificateReloaded>,
} as const;

/** The request whose work is being done; entered by the doors while somebody listens to `CHANNELS.started`. */
export const currentRequest = new AsyncLocalStorage<ApiRequest>();
