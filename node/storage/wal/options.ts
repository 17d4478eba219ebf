import { invariant } from "../../raft/assert.ts";
import { GROUPS_OFFSET, SECTOR_BYTES } from "./format.ts";

/** Sizes of a log. Tests make them small; a node has no reason to. */
export interface WalOptions {
  /** Raft group whose log this is. Segments of another one are refused. @default 0 */
  readonly groupId?: number;
  /** Size of a segment, in bytes. @default 64 MiB */
  readonly segmentBytes?: number;
  /**
   * Size of the segment that opening or creating a log writes before it returns, in bytes. Those behind it double until
   * they reach `segmentBytes`. @default the smaller of 16 MiB and `segmentBytes`
   */
  readonly firstSegmentBytes?: number;
  /** Bytes of records in one group: the bound of what one sync makes durable. @default 4 MiB, at most 1/4 of a first segment */
  readonly groupBytes?: number;
  /** Segments are filled with zeros in slices of this many bytes, each synced alone, so that the log's own syncs never wait for long. @default 256 KiB */
  readonly zeroSliceBytes?: number;
  /** Groups between two watermarks. Zeros at the very end of a log can hide at most so many groups after a crash. @default 16 */
  readonly watermarkGroups?: number;
  /** Called as a group goes to the disk; what it returns is called when the group is durable. @default nothing */
  readonly onWriting?: () => () => void;
}

export type WalSettings = Required<WalOptions>;

const MIB = 1 << 20;

/** @throws InvariantError for sizes that do not fit together */
export function walSettings(options: WalOptions): WalSettings {
  const { groupId = 0, segmentBytes = 64 * MIB, zeroSliceBytes = MIB / 4, watermarkGroups = 16 } = options;
  const { onWriting = () => () => undefined } = options;
  const firstSegmentBytes = options.firstSegmentBytes ?? Math.min(16 * MIB, segmentBytes);
  const groupBytes = options.groupBytes ?? Math.min(4 * MIB, Math.floor(firstSegmentBytes / 4));
  for (const bytes of [segmentBytes, firstSegmentBytes, zeroSliceBytes])
    invariant(bytes > 0 && bytes % SECTOR_BYTES === 0, "Sizes of a log are whole sectors");
  invariant(firstSegmentBytes <= segmentBytes, "The first segment is not larger than the others");
  invariant(segmentBytes <= 2 ** 31, "A segment is at most 2 GiB");
  invariant(firstSegmentBytes >= 4 * GROUPS_OFFSET, "A segment is at least 16 KiB");
  invariant(groupBytes > 0 && groupBytes <= entryBytesLimit(firstSegmentBytes), "A group fits into every segment");
  invariant(watermarkGroups > 0, "Watermarks are written now and then");
  return { groupId, segmentBytes, firstSegmentBytes, groupBytes, zeroSliceBytes, watermarkGroups, onWriting };
}

/** The largest entry that a log with such first segments takes, in bytes: half of a segment, so that its first group fits beside it. */
export function entryBytesLimit(firstSegmentBytes: number): number {
  return Math.floor(firstSegmentBytes / 2);
}
