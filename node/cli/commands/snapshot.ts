import { createHash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type Command } from "commander";
import { type Restored } from "../../backup/restore.ts";
import { type SnapshotFacts } from "../../backup/snapshot-file.ts";
import { type AdminClient } from "../../client/admin-client.ts";
import { ConcordError } from "../../client/errors.ts";
import { addClientOptions, atAnyEndpoint, type ClientOptions, type CommandIo, wholeNumber } from "../context.ts";
import { addOutputOption, print, table } from "../output.ts";

interface RestoreFlags extends Readonly<Record<string, unknown>> {
  readonly revisionBump: string;
  readonly output: ClientOptions["output"];
}

const REVISION_BUMP_DEFAULT = 10 ** 9;
const MIB = 1 << 20;
const load = async (): Promise<typeof AdminClient> => (await import("../../client/admin-client.ts")).AdminClient;

/** `concord snapshot save`, `verify`, `restore`. */
export function registerSnapshot(program: Command, io: CommandIo): void {
  const snapshot = program.command("snapshot").description("save, verify and restore backups");

  addClientOptions(snapshot.command("save <file>"), io)
    .description("save all data to a file, which only its owner may read")
    .action(async (file: string, options: ClientOptions) => {
      const saved = await atAnyEndpoint(options, load, (admin) => save(admin, file, io));
      print(io, options.output, saved, () => `Saved ${saved.bytes} bytes, SHA-256 ${saved.sha256}\n`);
    });

  addOutputOption(snapshot.command("verify <file>"))
    .description("read a backup whole, check every checksum, and say what is in it")
    .action(async (file: string, options: Pick<ClientOptions, "output">) => {
      const { verifySnapshotFile } = await import("../../backup/snapshot-file.ts");
      const facts = await verifySnapshotFile(file);
      print(io, options.output, facts, () => factsTable(facts));
    });

  addOutputOption(snapshot.command("restore <file>"))
    .description("make the data directory of one member of a new cluster from a backup")
    .option("--data-dir <path>", "directory to make; empty is <name>.concord (CONCORD_DATA_DIR)")
    .option("--name <name>", "name of this member (CONCORD_NAME; default default)")
    .option("--initial-cluster <name=url,...>", "all members; empty is this one alone (CONCORD_INITIAL_CLUSTER)")
    .option(
      "--initial-cluster-token <token>",
      "keeps clusters of one file and list apart (CONCORD_INITIAL_CLUSTER_TOKEN)",
    )
    .option("--initial-advertise-peer-urls <url,...>", "of this member (CONCORD_INITIAL_ADVERTISE_PEER_URLS)")
    .option("--cluster-uid <uid>", "unique id of the new cluster in its environment (CONCORD_CLUSTER_UID)")
    .option(
      "--revision-bump <number>",
      "added to every revision, and history is dropped, so that watchers of the old cluster list again; 0 keeps both",
      String(REVISION_BUMP_DEFAULT),
    )
    .action(async (file: string, options: RestoreFlags) => {
      const restored = await restore(file, options, io);
      print(io, options.output, restored, () => restoredText(restored));
    });
}

/**
 * Written beside and renamed when it is whole and on disk: a file under the wanted name is never a part of one. What
 * comes is checked on its way, so that what is saved can be restored.
 */
async function save(
  admin: AdminClient,
  file: string,
  io: CommandIo,
): Promise<{ readonly file: string; readonly bytes: number; readonly sha256: string }> {
  const partial = `${file}.partial`;
  try {
    const { databaseBytes } = await admin.status();
    const handle = await open(partial, "w", 0o600);
    const written = await write(admin, handle, (bytes) => {
      io.progress(`${Math.floor(bytes / MIB)} MiB of about ${Math.ceil(Math.max(bytes, databaseBytes) / MIB)}`);
    }).finally(() => handle.close());
    await rename(partial, file);
    const directory = await open(dirname(file), "r");
    await directory.sync().finally(() => directory.close());
    return { file, ...written };
  } catch (error) {
    await rm(partial, { force: true });
    if (ConcordError.is(error)) throw error;
    const cause = error instanceof Error ? error : new Error(String(error));
    const message = `The snapshot was not saved to "${file}": ${cause.message}`;
    // Errors of the file system name the call that failed; those of an interrupted stream do not.
    throw new ConcordError("syscall" in cause ? "CONCORD_FILE_FAILED" : "CONCORD_UNREACHABLE", message, { cause });
  } finally {
    io.progress("");
  }
}

async function write(
  admin: AdminClient,
  handle: FileHandle,
  report: (bytes: number) => void,
): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const { SnapshotCheck } = await import("../../backup/snapshot-file.ts");
  const check = new SnapshotCheck();
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of (await admin.snapshot()) as AsyncIterable<Buffer>) {
    check.push(chunk);
    hash.update(chunk);
    await handle.writeFile(chunk);
    bytes += chunk.length;
    report(bytes);
  }
  check.finish();
  await handle.sync();
  return { bytes, sha256: hash.digest("hex") };
}

async function restore(file: string, flags: RestoreFlags, io: CommandIo): Promise<Restored> {
  const [{ configurationFrom }, { restoreMember }, { REVISION_BUMP_MAX }] = await Promise.all([
    import("../../config/load.ts"),
    import("../../backup/restore.ts"),
    import("../../machine/restoration.ts"),
  ]);
  const revisionBump = wholeNumber("--revision-bump", flags.revisionBump, 0);
  if (revisionBump > REVISION_BUMP_MAX)
    throw new ConcordError(
      "CONCORD_USAGE",
      `--revision-bump is ${revisionBump}, at most ${REVISION_BUMP_MAX} is allowed`,
    );
  const { name, dataDir, initialMembers, initialClusterToken, clusterUid } = configurationFrom(flags, io.env);
  if (initialMembers.length === 0)
    throw new ConcordError("CONCORD_USAGE", "A member that is restored does not wait: --start-mode is static for it");
  return restoreMember({
    file,
    dataDir,
    name,
    initialCluster: initialMembers,
    token: initialClusterToken,
    clusterUid,
    revisionBump,
  });
}

function factsTable(facts: SnapshotFacts): string {
  const { format, wallTimeMs, members } = facts;
  return table([
    ["File", facts.file],
    ["Size", `${facts.bytes} bytes`],
    ["SHA-256", facts.sha256],
    ["Format", `version ${format.version}, saved by ${format.savedBy}; state machine version ${facts.machineVersion}`],
    ["Cluster", facts.clusterId],
    ["Members", members.map(({ name }) => name).join(", ")],
    ["Last write", wallTimeMs === 0 ? "-" : new Date(wallTimeMs).toISOString()],
    ["Revision", `${facts.revision}, compacted ${facts.compactRevision < 0 ? "never" : `at ${facts.compactRevision}`}`],
    ["Keys", String(facts.keys)],
    ["Leases", String(facts.leases)],
    ["Data", `${facts.databaseBytes} bytes in memory`],
  ]);
}

function restoredText({ dataDir, clusterId, revision, keys, leases, memberId, members }: Restored): string {
  const lines = [`Restored ${keys} keys and ${leases} leases at revision ${revision} to "${dataDir}"`];
  lines.push(`Cluster ${clusterId}, this member is ${memberId}`);
  if (members.length > 1)
    lines.push(
      `Restore the other ${members.length - 1} members from the same file with the same options, then start all`,
    );
  return `${lines.join("\n")}\n`;
}
