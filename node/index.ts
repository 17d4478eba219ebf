/**
 * Concord inside a program: one member of a cluster, or a whole store of its own.
 *
 * @packageDocumentation
 */
import { Store } from "./api/embed/store.ts";
import { type Assembled, openMember } from "./assembly.ts";
import { ConcordError } from "./client/errors.ts";
import { checkOptions, type CheckedOptions, LOGGER_OFF, type OpenOptions } from "./api/embed/options.ts";
import { foundingList } from "./founding-list.ts";
import { Services } from "./service/services.ts";

export { Store } from "./api/embed/store.ts";
export * from "./client/store/index.ts";
export {
  type ClusterOptions,
  type FoundingMember,
  type MemberDiscovery,
  type OpenOptions,
} from "./api/embed/options.ts";
export { CHANNELS, type EventChannel } from "./observability/channels.ts";
export {
  type AlarmChanged,
  type Answered,
  type ApiRequest,
  type Applied,
  type CertificateReloaded,
  type Checkpointed,
  type Committed,
  type Compacted,
  type DoorName,
  type Election,
  type Expired,
  type Forwarded,
  type LeaderChanged,
  type MembershipChanged,
  type NodeEvent,
  type NodeHandle,
  type PeerAnswered,
  type Persisted,
  type Proposed,
  type RequestFinished,
  type RequestKind,
  type RoleChanged,
  type SnapshotMoved,
  type Synced,
  type TermChanged,
  type TraceContext,
} from "./observability/events.ts";
export { ConcordError, ERROR_TABLE, type ErrorCode } from "./client/errors.ts";

const HAND_OVER_MS = 2_500;

/** A store in this program. See `Concord.open`. */
export class Concord extends Store {
  /** Resolves with the reason when this member must not go on: a damaged or failed disk, a removal, a bug. */
  readonly failed: Promise<Error>;

  private constructor(
    assembled: Assembled,
    { name, idempotency }: Pick<CheckedOptions, "name" | "idempotency">,
    failed: Promise<Error>,
  ) {
    const services = new Services(assembled.node, { name, clusterUid: "", idempotency });
    super(assembled.node, services, async () => {
      await assembled.node.handOver(HAND_OVER_MS);
      await assembled.close();
    });
    this.failed = failed;
  }

  /**
   * Opens a member and resolves when it serves. It installs no signal handlers, never ends the process, and logs to the
   * logger that it is given.
   *
   * @throws ConcordError `CONCORD_DATA_DIR_LOCKED` when another process has the data directory, `CONCORD_STORAGE_DAMAGED`,
   * `CONCORD_CONFIGURATION_INVALID`, or `CONCORD_TIMEOUT` when the cluster is not ready within `readyTimeoutMs`.
   * @example
   * ```ts
   * import { Concord } from "concord-kv";
   *
   * await using store = await Concord.open({ memory: true });
   * await store.put("greeting", "hello");
   * console.log(store.get("greeting")?.text()); // hello
   * ```
   */
  static async open(options: OpenOptions): Promise<Concord> {
    const checked = checkOptions(options, await foundingList(options));
    let fail: (error: Error) => void = () => undefined;
    const failed = new Promise<Error>((resolve) => {
      fail = resolve;
    });
    const assembled = await openMember({ ...checked, logger: options.logger ?? LOGGER_OFF, onFatal: fail });
    const store = new Concord(assembled, checked, failed);
    try {
      await Promise.race([
        assembled.node.ready({ timeoutMs: checked.readyTimeoutMs }),
        failed.then((error) => {
          throw ConcordError.is(error) ? error : new ConcordError("CONCORD_INTERNAL", error.message, { cause: error });
        }),
      ]);
      return store;
    } catch (error) {
      await assembled.close();
      throw error;
    }
  }
}
