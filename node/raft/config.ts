import { invariant } from "./assert.ts";
import {
  type Configuration,
  type Entry,
  type HardState,
  type Index,
  type MemberId,
  type SnapshotMeta,
} from "./types.ts";

/** Settings of a Raft core. Time is counted in ticks of the shell (default 10 ms each). */
export interface CoreOptions {
  readonly id: MemberId;
  /** What the log store recovered. `entries` start behind `snapshot.index`. */
  readonly recovered: RecoveredState;
  /** A follower that hears nothing for this long (plus a random part of as much again) campaigns. Danger below 3 heartbeats. @default 30 */
  readonly electionTimeoutTicks: number;
  /** @default 5 */
  readonly heartbeatTicks: number;
  /** Draws the random part of the election timeout: an integer in [0, bound). Injected, so that a seed decides. */
  readonly random: (bound: number) => number;
  /** Bytes of entries in one append message. @default 1 MiB */
  readonly appendBytesMax: number;
  /** Append messages in flight to one peer. @default 256 */
  readonly inflightMessagesMax: number;
  /** Bytes in flight to one peer. @default 16 MiB */
  readonly inflightBytesMax: number;
  /** Back-pressure: proposals are refused when last − commit exceeds either. @default 64 MiB */
  readonly uncommittedBytesMax: number;
  /** @default 20 000 */
  readonly uncommittedEntriesMax: number;
  /** A learner is promoted only when its match stayed this close to the commit index for one election timeout. @default 1000 */
  readonly promotionLagEntries: number;
  /** The log is whole but the machine's state is lost: votes, but asks for a snapshot and neither campaigns nor takes a transfer. Implied while `recovered.configuration` is empty. @default false */
  readonly machineMissing: boolean;
}

/** State found on disk. */
export interface RecoveredState {
  readonly hardState: HardState;
  /** The state the machine starts from. `index` 0 and an empty configuration for a member that waits to be added. */
  readonly snapshot: SnapshotMeta;
  /** Entries behind the snapshot, all durable. */
  readonly entries: readonly Entry[];
  /** Applied index of the machine; at least `snapshot.index`. */
  readonly applied: Index;
  /** Configuration at `applied`. */
  readonly configuration: Configuration;
}

/** Defaults for everything but identity, state and randomness. */
export const CORE_DEFAULTS = {
  electionTimeoutTicks: 30,
  heartbeatTicks: 5,
  appendBytesMax: 1 << 20,
  inflightMessagesMax: 256,
  inflightBytesMax: 16 << 20,
  uncommittedBytesMax: 64 << 20,
  uncommittedEntriesMax: 20_000,
  promotionLagEntries: 1000,
  machineMissing: false,
} as const;

// A follower that misses a beat or two must not campaign.
const HEARTBEATS_PER_ELECTION_MIN = 3;

/** Relations between the settings. Checked when a core is made. */
export function checkOptions(options: CoreOptions): void {
  const { electionTimeoutTicks, heartbeatTicks } = options;
  invariant(options.id !== "", "A member needs an id");
  invariant(Number.isSafeInteger(heartbeatTicks) && heartbeatTicks >= 1, "heartbeatTicks must be at least 1");
  invariant(
    Number.isSafeInteger(electionTimeoutTicks) && electionTimeoutTicks >= HEARTBEATS_PER_ELECTION_MIN * heartbeatTicks,
    "electionTimeoutTicks must be at least 3 heartbeatTicks",
  );
  invariant(options.appendBytesMax >= 1, "appendBytesMax must be at least 1");
  invariant(options.inflightMessagesMax >= 1, "inflightMessagesMax must be at least 1");
  invariant(options.inflightBytesMax >= options.appendBytesMax, "inflightBytesMax must be at least appendBytesMax");
  invariant(options.uncommittedBytesMax >= 1, "uncommittedBytesMax must be at least 1");
  invariant(options.uncommittedEntriesMax >= 1, "uncommittedEntriesMax must be at least 1");
  invariant(options.promotionLagEntries >= 0, "promotionLagEntries must not be negative");
}
