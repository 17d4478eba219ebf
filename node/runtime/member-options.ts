import { type ConcordError } from "../client/errors.ts";
import { type MachineOptions } from "../machine/machine.ts";
import { type NodeHandle } from "../observability/events.ts";
import { type CoreOptions } from "../raft/config.ts";
import { type MemberId } from "../raft/types.ts";
import { type CheckpointFactory } from "../storage/checkpoint-store.ts";
import { type LogIdentity, type LogStore, type OpenedLog } from "../storage/log-store.ts";
import { type Transport, type TransportIdentity } from "../transport/transport.ts";
import { type AutoCompactionPolicy } from "./auto-compaction.ts";
import { type Environment, type RuntimeLogger } from "./environment.ts";
import { type ReplicaOptions } from "./replica.ts";

/** A name and its peer URLs, of `--initial-cluster`. */
export interface FoundingPeer {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

export interface MemberOptions {
  readonly environment: Environment;
  /** Whose events those of the member are. @default an object of its own, with `name` */
  readonly handle?: NodeHandle;
  readonly logger: RuntimeLogger;
  /** Opens the log of the data directory, or says that there is none or that it is damaged. */
  readonly openLog: () => OpenedLog;
  readonly createLog: (identity: LogIdentity) => LogStore;
  /**
   * Moves checkpoints and log of a damaged member out of the way (`damaged-<time>`), and says where. The log goes last:
   * what is interrupted begins anew, because the damage is found again, and a checkpoint without a log is never its work.
   */
  readonly setAside: () => string;
  /** The id that this member gave up because of damage, kept until it votes again under its new one; else `NONE`. */
  readonly formerId: { read(): MemberId; write(id: MemberId): void };
  readonly checkpoints: CheckpointFactory;
  /** Made once the member knows its id. */
  readonly transport: (identity: TransportIdentity) => Transport;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly token: string;
  readonly clusterUid: string;
  /** The founding list with this member in it; empty for a member that only waits. */
  readonly initialCluster: readonly FoundingPeer[];
  /** `new`: the first of the list founds the cluster. `existing`: wait to be added. */
  readonly initialClusterState: "new" | "existing";
  readonly machine: MachineOptions;
  readonly autoCompaction: AutoCompactionPolicy;
  readonly core: Partial<Pick<CoreOptions, "electionTimeoutTicks" | "heartbeatTicks" | "appendBytesMax">>;
  readonly replica?: Pick<ReplicaOptions, "checkpointEntries" | "checkpointLogBytes" | "onApplied">;
  /** This member must not go on. Called once. */
  readonly onFatal: (error: ConcordError | Error) => void;
}

/** The founding list in the one form that members compare: sorted by name. */
export function foundingList(peers: readonly FoundingPeer[]): string {
  return [...peers]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, peerUrls }) => `${name}=${[...peerUrls].sort().join("|")}`)
    .join(",");
}
