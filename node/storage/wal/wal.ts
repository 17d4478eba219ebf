import { ConcordError } from "../../client/errors.ts";
import { type Disk } from "../disk.ts";
import { LogState } from "../log-state.ts";
import { type LogIdentity, type LogStore, type OpenedLog } from "../log-store.ts";
import { GROUPS_OFFSET, roundToSector, SECTOR_BYTES, segmentGeneration } from "./format.ts";
import { encodeStartedSeal, GroupEncoder } from "./group.ts";
import { type WalOptions, walSettings, type WalSettings } from "./options.ts";
import { factsOf, followRecord, type LogRecord, type Position } from "./record.ts";
import { type LiveSegment, noteIndexes, recoverLog, type RecoveredFiles } from "./recover.ts";
import { createSegment, PREPARING_NAME } from "./segment-pool.ts";
import { checkName, storageFailed, WriteAheadLog } from "./write-ahead-log.ts";

/**
 * Creates an empty log: the directory, and its first segment, both durable when this returns.
 *
 * @throws ConcordError CONCORD_STORAGE_FAILED when the directory holds a log already, or the disk fails
 */
export function createLog(disk: Disk, directory: string, identity: LogIdentity, options: WalOptions = {}): LogStore {
  const settings = walSettings({ ...options, groupId: identity.groupId });
  checkName(identity);
  if (disk.list(directory).some((name) => segmentGeneration(name) !== undefined))
    throw new ConcordError("CONCORD_STORAGE_FAILED", `Cannot create a log in "${directory}": it holds one already`);
  return guarded("create", directory, () => {
    disk.makeDirectory(directory);
    removePreparing(disk, directory);
    const begin = { previous: { generation: 0, offset: 0 }, crc: 0, generation: 1 };
    const store = beginLog(disk, directory, settings, new LogState(identity), { ...begin, records: [], older: [] });
    store.start();
    return store;
  });
}

/**
 * Opens a log, or says that there is none, or that it is damaged. A damaged log is left as it is.
 *
 * Bytes that a killed process has left in the page cache are not durable, and syncing them again proves nothing after a
 * sync that failed. At most the last group can be in that state, so it is written again, into a fresh segment that is
 * durable with its name before this returns.
 *
 * @throws ConcordError CONCORD_STORAGE_FAILED when the disk fails, or the log has a newer format
 */
export function openLog(disk: Disk, directory: string, options: WalOptions = {}): OpenedLog {
  const settings = walSettings(options);
  return guarded("open", directory, () => {
    const found = recoverLog(disk, directory, settings.groupId);
    if (found.type !== "recovered") return found;
    removePreparing(disk, directory);
    return { type: "opened", store: continueLog(disk, directory, settings, found), recovered: found.log };
  });
}

/** How a log goes on in a new segment. */
interface Beginning {
  readonly previous: Position;
  /** Checksum of the group it follows. */
  readonly crc: number;
  readonly generation: number;
  /** Written with the start, in one group. */
  readonly records: readonly LogRecord[];
  readonly older: readonly LiveSegment[];
}

/** Writes the first segment of a log, or the fresh one of an opened log, and starts the store on it. */
function beginLog(
  disk: Disk,
  directory: string,
  settings: WalSettings,
  state: LogState,
  beginning: Beginning,
): WriteAheadLog {
  const { previous, generation, records } = beginning;
  const encoder = new GroupEncoder();
  const all: LogRecord[] = [{ type: "start", previous, facts: factsOf(state) }, ...records];
  for (const record of records) followRecord(state, record);
  const place = { groupId: settings.groupId, generation, offset: GROUPS_OFFSET, previousCrc: beginning.crc };
  const group = encoder.encode(place, "start", state.hardState.term, all);
  const needed = GROUPS_OFFSET + group.bytes.length + SECTOR_BYTES;
  const bytes = Math.max(settings.firstSegmentBytes, roundToSector(needed));
  const active = createSegment(disk, directory, settings, {
    generation,
    bytes,
    identity: state.identity,
    group: group.bytes,
  });
  const live = [...beginning.older, { name: active.name, generation, bytes, maxIndex: 0 }];
  for (const record of records) noteIndexes(live, record);
  const offset = GROUPS_OFFSET + group.bytes.length;
  return new WriteAheadLog(disk, directory, settings, { encoder, state, active, offset, crc: group.crc, live });
}

/** Goes on in a fresh segment that begins with the group that may not be durable. */
function continueLog(disk: Disk, directory: string, settings: WalSettings, found: RecoveredFiles): WriteAheadLog {
  const { facts, cut, cutCrc, records, moved } = found.tail;
  const state = new LogState(facts.identity);
  state.hardState = facts.hardState;
  state.checkpoint = facts.checkpoint;
  state.lastIndex = facts.lastIndex;
  // When the only group of the last segment moves, nothing of that segment stays in the log.
  const older = cut.generation === moved.generation ? found.live : found.live.slice(0, -1);
  const generation = found.generationMax + 1;
  const store = beginLog(disk, directory, settings, state, { previous: cut, crc: cutCrc, generation, records, older });
  try {
    markContinued(disk, `${directory}/${moved.name}`, settings.groupId, { ...moved, crc: cutCrc, next: generation });
  } catch (error) {
    store.abandon();
    throw error;
  }
  for (const name of found.unused) store.discard(name);
  if (older.length < found.live.length) store.discard(moved.name);
  store.start();
  return store;
}

/**
 * Replaces the group that has moved by a seal that names the fresh segment. Without it, the loss of the fresh segment
 * would look like a log that ends here. The fresh segment is durable by now, so the moved group is not needed any more.
 */
function markContinued(
  disk: Disk,
  path: string,
  groupId: number,
  at: Position & { readonly crc: number; readonly next: number },
): void {
  const file = disk.open(path);
  try {
    file.writeSync(encodeStartedSeal(groupId, at, at.next), at.offset);
    file.syncSync();
  } finally {
    file.close();
  }
}

function removePreparing(disk: Disk, directory: string): void {
  const path = `${directory}/${PREPARING_NAME}`;
  if (disk.exists(path)) disk.remove(path);
}

function guarded<T>(operation: string, directory: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code !== "string" || ConcordError.is(error)) throw error;
    throw storageFailed(`Cannot ${operation} the log "${directory}"`, error as Error);
  }
}
