import { type Member } from "./commands.ts";
import { Machine, type MachineOptions, type MachineRestorer } from "./machine.ts";
import { decodeMeta, encodeMeta, type Meta } from "./meta.ts";
import { CorruptPageError } from "./page-bytes.ts";
import { isRecordPage } from "./write-record-pages.ts";

/** What the state of a backup becomes in a new cluster. */
export interface Restoration {
  /**
   * Added to every revision, and everything before the newest then counts as compacted. Higher than the old cluster came
   * after the backup, it keeps revisions and fencing tokens from coming twice, and whoever watches from a revision of the
   * old cluster is told to list again. 0: revisions and history stay as they are.
   */
  readonly revisionBump: number;
  readonly clusterId: string;
  readonly clusterUid: string;
  /** All of them vote. */
  readonly members: readonly Member[];
}

/** The entry that the state of a restored cluster counts as applied: its log begins behind it, as after a founding. */
export const RESTORED_INDEX = 1;
/** Far more than any cluster writes, and far below the largest revision. */
export const REVISION_BUMP_MAX = 10 ** 12;

/** A store in which nothing was ever written: there is no revision that anybody could have seen. */
const FRESH_REVISION = 1;

/**
 * Builds the machine of a new cluster from the state of another one. Leases and rows keep the time they have left: the
 * cluster's time goes on where it stood. Idempotency keys stay behind: their answers name revisions of the old cluster.
 *
 * @param metaBytes - of that state: its pages are read by what it says
 * @throws CorruptPageError
 */
export function machineRestorer(
  options: MachineOptions,
  metaBytes: Uint8Array,
  restoration: Restoration,
): MachineRestorer<Machine> {
  const meta = decodeMeta(metaBytes, Machine.versionMax);
  const bump = meta.revision === FRESH_REVISION ? 0 : restoration.revisionBump;
  if (!Number.isSafeInteger(meta.revision + bump))
    throw new CorruptPageError(`Meta has revision ${meta.revision}, to which ${bump} cannot be added`);
  const loader = Machine.loader(options, bump);
  return {
    page: (number, bytes) => {
      if (!isRecordPage(number)) loader.page(number, bytes);
    },
    finish: () => loader.finish(encodeMeta(restoredMeta(meta, bump, restoration))),
  };
}

function restoredMeta(meta: Meta, bump: number, { clusterId, clusterUid, members }: Restoration): Meta {
  const revision = meta.revision + bump;
  return {
    ...meta,
    revision,
    compactRevision: bump === 0 ? meta.compactRevision : revision,
    appliedIndex: RESTORED_INDEX,
    records: 0,
    cluster: {
      clusterId,
      clusterUid,
      foundingSize: members.length,
      foundingComplete: true,
      awaited: [],
      members: [...members].sort((a, b) => (a.id < b.id ? -1 : 1)),
      removed: [],
      alarms: [],
    },
  };
}
