import { join } from "node:path";
import { readdirSync, mkdirSync } from "node:fs";
import { ConcordError } from "./client/errors.ts";
import { type AutoCompaction } from "./config/configuration.ts";
import { CHANNELS } from "./observability/channels.ts";
import { type NodeHandle } from "./observability/events.ts";
import { NONE } from "./raft/types.ts";
import { type MachineLimits } from "./machine/machine.ts";
import { type Environment, type RuntimeLogger } from "./runtime/environment.ts";
import { Member } from "./runtime/member.ts";
import { type FoundingPeer, type MemberOptions } from "./runtime/member-options.ts";
import { ConcordNode } from "./runtime/node.ts";
import { GROUP_ID, TICK_MS } from "./runtime/constants.ts";
import { systemEnvironment } from "./runtime/system-environment.ts";
import { type CheckpointFactory } from "./storage/checkpoint-store.ts";
import { openDataDirectory } from "./storage/data-directory.ts";
import { MemoryCheckpoints } from "./storage/memory/checkpoint-store.ts";
import { MemoryLogStore } from "./storage/memory/log-store.ts";
import { LevelCheckpoints } from "./storage/level/checkpoint-store.ts";
import { NodeDisk } from "./storage/node-disk.ts";
import { type Disk } from "./storage/disk.ts";
import { createLog, openLog } from "./storage/wal/wal.ts";
import { TcpTransport, type TcpTransportOptions } from "./transport/tcp/transport.ts";
import { type PeerStatistics } from "./transport/tcp/statistics.ts";

/** Everything that makes a member, from a configuration or from an embedding program's options. */
export interface AssemblyOptions {
  readonly name: string;
  /** Undefined: in memory, for tests and scratch stores. */
  readonly dataDir: string | undefined;
  readonly listenPeerUrls: readonly string[];
  readonly advertisePeerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly initialCluster: readonly FoundingPeer[];
  readonly initialClusterState: "new" | "existing";
  readonly token: string;
  readonly clusterUid: string;
  readonly heartbeatMs: number;
  readonly electionTimeoutMs: number;
  readonly quotaBytes: number;
  readonly limits: MachineLimits;
  readonly autoCompaction: AutoCompaction;
  readonly peerTls: TcpTransportOptions["tls"];
  readonly logger: RuntimeLogger;
  readonly onFatal: (error: Error) => void;
}

export interface Assembled {
  readonly member: Member;
  readonly node: ConcordNode;
  /** Traffic with the other members; one row for each. */
  readonly peerStatistics: () => readonly PeerStatistics[];
  /** Stops the loop and gives the data directory back. */
  close(): Promise<void>;
}

/** Puts a member together and opens it. It may still be waiting for its cluster then: see `ConcordNode.ready`. */
export async function openMember(options: AssemblyOptions): Promise<Assembled> {
  const handle = { name: options.name };
  const storage = options.dataDir === undefined ? memoryStorage() : await diskStorage(options.dataDir, options, handle);
  let transport: TcpTransport | undefined;
  const member = new Member({
    environment: systemEnvironment,
    handle,
    logger: options.logger,
    openLog: storage.openLog,
    createLog: storage.createLog,
    setAside: storage.setAside,
    formerId: storage.formerId,
    checkpoints: storage.checkpoints,
    transport: (identity) => (transport = transportOf(options, identity, handle)),
    name: options.name,
    peerUrls: options.advertisePeerUrls,
    clientUrls: options.clientUrls,
    token: options.token,
    clusterUid: options.clusterUid,
    initialCluster: options.initialCluster,
    initialClusterState: options.initialClusterState,
    machine: { limits: options.limits, quotaBytes: options.quotaBytes },
    autoCompaction: options.autoCompaction,
    core: {
      electionTimeoutTicks: Math.max(1, Math.round(options.electionTimeoutMs / TICK_MS)),
      heartbeatTicks: Math.max(1, Math.round(options.heartbeatMs / TICK_MS)),
    },
    onFatal: options.onFatal,
  });
  const close = async (): Promise<void> => {
    await new Promise<void>((resolve) => member.close(resolve));
    storage.close();
  };
  try {
    await new Promise<void>((resolve, reject) => {
      member.open((error) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { member, node: new ConcordNode(member), peerStatistics: () => transport?.statistics() ?? [], close };
}

/** A member alone in memory or without peers needs no socket; the transport then has no address. */
function transportOf(
  options: AssemblyOptions,
  identity: Parameters<MemberOptions["transport"]>[0],
  node: NodeHandle,
): TcpTransport {
  return new TcpTransport({
    listenUrls: options.listenPeerUrls,
    identity,
    logger: options.logger,
    onRoundTrip: (memberId, durationMs) => {
      if (CHANNELS.peer.hasSubscribers) CHANNELS.peer.publish({ node, memberId, durationMs });
    },
    ...(options.peerTls === undefined ? {} : { tls: options.peerTls }),
  });
}

interface Storage extends Pick<MemberOptions, "openLog" | "createLog" | "setAside" | "formerId"> {
  readonly checkpoints: CheckpointFactory;
  close(): void;
}

async function diskStorage(
  dataDir: string,
  { logger }: Pick<AssemblyOptions, "logger">,
  node: NodeHandle,
): Promise<Storage> {
  const directory = await openDataDirectory(dataDir);
  for (const warning of directory.warnings) logger.warn("The data directory was repaired", { warning });
  const disk = new NodeDisk();
  const logDirectory = join(directory.path, "log");
  const checkpoints = new LevelCheckpoints(directory.path);
  const walOptions = { groupId: GROUP_ID, onWriting: () => syncing(node) };
  return {
    openLog: () => openLog(disk, logDirectory, walOptions),
    createLog: (identity) => createLog(disk, logDirectory, identity, walOptions),
    setAside: () => setAside(disk, directory.path, systemEnvironment),
    formerId: formerIdFile(disk, join(directory.path, "former-id")),
    checkpoints,
    close: () => directory.close(),
  };
}

/** @returns What to call when the write that begins now is durable. */
function syncing(node: NodeHandle): () => void {
  if (!CHANNELS.synced.hasSubscribers) return () => undefined;
  const began = performance.now();
  return () => CHANNELS.synced.publish({ node, durationMs: performance.now() - began });
}

function memoryStorage(): Storage {
  const checkpoints = new MemoryCheckpoints((run) => setImmediate(run));
  return {
    openLog: () => ({ type: "empty" }),
    createLog: (identity) => new MemoryLogStore(identity),
    setAside: () => {
      throw new ConcordError("CONCORD_INTERNAL", "A store in memory has nothing to set aside");
    },
    formerId: { read: () => NONE, write: () => undefined },
    checkpoints: checkpoints.factory(),
    close: () => undefined,
  };
}

/** One line with the id, written durably. */
function formerIdFile(disk: Disk, path: string): MemberOptions["formerId"] {
  return {
    read: () => (disk.exists(path) ? Buffer.from(disk.readFile(path)).toString("latin1").trim() : NONE),
    write: (id) => disk.writeFileDurably(path, Buffer.from(`${id}\n`, "latin1")),
  };
}

/** Moves checkpoints and log of a damaged member into `damaged-<time>`, for people to look at. */
function setAside(disk: Disk, dataDir: string, environment: Environment): string {
  const target = join(dataDir, `damaged-${new Date(environment.wallTime()).toISOString().replaceAll(":", "-")}`);
  mkdirSync(target, { mode: 0o700 });
  const checkpoints = readdirSync(dataDir).filter((name) => name.startsWith("checkpoint-"));
  for (const name of [...checkpoints, "log"]) disk.renameDurably(join(dataDir, name), join(target, name));
  return target;
}
