import { createHash } from "node:crypto";
import { join } from "node:path";
import { ConcordError } from "../client/errors.ts";
import { type Member } from "../machine/commands.ts";
import { type Machine } from "../machine/machine.ts";
import { machineRestorer, RESTORED_INDEX } from "../machine/restoration.ts";
import { NONE } from "../raft/types.ts";
import { writeFrozen } from "../runtime/checkpointer.ts";
import { membersConfiguration } from "../runtime/configuration.ts";
import { GROUP_ID } from "../runtime/constants.ts";
import { foundingList, type FoundingPeer } from "../runtime/member-options.ts";
import { systemEnvironment } from "../runtime/system-environment.ts";
import { type CheckpointStore } from "../storage/checkpoint-store.ts";
import { openRestoredDirectory } from "../storage/data-directory.ts";
import { LevelCheckpoints } from "../storage/level/checkpoint-store.ts";
import { type LogGroup, type LogIdentity } from "../storage/log-store.ts";
import { NodeDisk } from "../storage/node-disk.ts";
import { createLog } from "../storage/wal/wal.ts";
import { BACKUP_MACHINE, readSnapshotFile, unreadable } from "./snapshot-file.ts";

export interface RestoreOptions {
  readonly file: string;
  /** Must be empty, or hold a restore that did not finish. */
  readonly dataDir: string;
  /** Name of the member whose data directory this becomes; one of `initialCluster`. */
  readonly name: string;
  /** All members of the new cluster, each to be restored from the same file with the same options. */
  readonly initialCluster: readonly FoundingPeer[];
  /** Another token makes another cluster of the same file and the same list. */
  readonly token: string;
  readonly clusterUid: string;
  /** @see Restoration.revisionBump */
  readonly revisionBump: number;
}

export interface Restored {
  readonly dataDir: string;
  readonly clusterId: string;
  readonly memberId: string;
  readonly revision: number;
  readonly keys: number;
  readonly leases: number;
  readonly members: readonly { readonly id: string; readonly name: string; readonly peerUrls: readonly string[] }[];
}

const CHECKPOINT = "checkpoint-1";
const FIRST_TERM = 1;

/**
 * Makes the data directory of one member of a new cluster from a backup. The backup is read and judged before anything
 * is written. The members are restored one by one, so all of it follows from the file and the options: the same cluster
 * id, the same members, the same state at index 1. What is interrupted leaves a directory that no member starts in.
 *
 * @throws ConcordError `CONCORD_FILE_FAILED` for a bad backup, `CONCORD_USAGE` for a directory that holds something,
 * `CONCORD_DATA_DIR_LOCKED`, `CONCORD_STORAGE_FAILED`
 */
export async function restoreMember(options: RestoreOptions): Promise<Restored> {
  const { machine, own } = await restoredMachine(options);
  const directory = await openRestoredDirectory(options.dataDir);
  try {
    const checkpoint = await writeCheckpoint(directory.path, machine);
    const identity = { groupId: GROUP_ID, clusterId: machine.clusterId, memberId: own.id, memberName: own.name };
    const hardState = { term: FIRST_TERM, vote: NONE, commit: RESTORED_INDEX };
    await writeLog(join(directory.path, "log"), identity, { hardState, checkpoint, resetLog: true });
    directory.finish();
  } finally {
    directory.close();
  }
  const { revision, clusterId } = machine;
  const { keys, leases } = machine.stats();
  const members = machine.members().map(({ id, name, peerUrls }) => ({ id, name, peerUrls }));
  return { dataDir: directory.path, clusterId, memberId: own.id, revision, keys, leases, members };
}

async function restoredMachine(options: RestoreOptions): Promise<{ readonly machine: Machine; readonly own: Member }> {
  const { file, name, revisionBump, clusterUid } = options;
  // The ids follow from all of the file, so the pages wait until it is read.
  const pages: (readonly [number: number, bytes: Uint8Array])[] = [];
  const { header, sha256 } = await readSnapshotFile(file, () => ({ page: (...page) => void pages.push(page) }));
  const { clusterId, members } = newCluster(options, sha256);
  const own = members.find((member) => member.name === name);
  if (own === undefined) throw new ConcordError("CONCORD_USAGE", `"${name}" is not in the list of the new cluster`);
  try {
    const restoration = { revisionBump, clusterId, clusterUid, members };
    const restorer = machineRestorer(BACKUP_MACHINE, header.machine, restoration);
    for (let page = pages.pop(); page !== undefined; page = pages.pop()) restorer.page(...page);
    return { machine: restorer.finish(), own };
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** Ids that nobody had before, and that every member of the list comes to by itself. */
function newCluster(
  { initialCluster, token, clusterUid, revisionBump }: RestoreOptions,
  sha256: string,
): { readonly clusterId: string; readonly members: readonly Member[] } {
  const clusterId = idOf("cluster", sha256, token, clusterUid, String(revisionBump), foundingList(initialCluster));
  const members = initialCluster.map(({ name, peerUrls }) => ({
    id: idOf("member", clusterId, name),
    name,
    peerUrls,
    clientUrls: [],
    learner: false,
    joined: true,
  }));
  return { clusterId, members };
}

/** 63 bits, as all ids; JSON keeps the parts apart. */
function idOf(...parts: readonly string[]): string {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest();
  return (digest.readBigUInt64BE() & 0x7fff_ffff_ffff_ffffn).toString(16).padStart(16, "0");
}

/** Writes the state, reads it back, and says what the log is to name. */
async function writeCheckpoint(dataDir: string, machine: Machine): Promise<NonNullable<LogGroup["checkpoint"]>> {
  const meta = { index: RESTORED_INDEX, term: FIRST_TERM, configuration: membersConfiguration(machine.members()) };
  const store = await new Promise<CheckpointStore>((resolve, reject) => {
    new LevelCheckpoints(dataDir, { groupId: GROUP_ID }).open(CHECKPOINT, (error, opened) => {
      if (opened === undefined) reject(error ?? new Error("No checkpoint store"));
      else resolve(opened);
    });
  });
  const frozen = machine.freeze({ onlyDirty: false });
  try {
    await settled((done) => writeFrozen(systemEnvironment, store.begin(), frozen, meta, () => false, done));
    await settled((done) =>
      store.verify((found) => {
        const reason = found.type === "damaged" ? found.reason : "it is empty";
        const message = `The restored state cannot be read back: ${reason}`;
        done(found.type === "loaded" ? undefined : new ConcordError("CONCORD_STORAGE_DAMAGED", message));
      }),
    );
  } finally {
    frozen.close();
    await settled((done) => store.close(done));
  }
  return { meta, directory: CHECKPOINT };
}

async function writeLog(directory: string, identity: LogIdentity, group: LogGroup): Promise<void> {
  const log = createLog(new NodeDisk(), directory, identity, { groupId: GROUP_ID });
  try {
    await settled((done) => log.append(group, done));
  } finally {
    await settled((done) => log.close(done));
  }
}

function settled(begin: (done: (error: Error | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    begin((error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}
