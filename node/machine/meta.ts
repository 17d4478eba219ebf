import { type Bytes, type Member } from "./commands.ts";
import { type ClusterState } from "./members.ts";
import { PageReader, PageWriter } from "./page-bytes.ts";

/** What a frozen state says besides its pages. */
export interface Meta {
  readonly revision: number;
  readonly compactRevision: number;
  readonly appliedIndex: number;
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  readonly machineVersion: number;
  /** Pages of the tree, live keys and leases of the state; a load that finds others is refused. */
  readonly pages: number;
  readonly liveKeys: number;
  readonly leases: number;
  /** Idempotency records, and the number of their next segment. */
  readonly records: number;
  readonly nextRecordSegment: number;
  /** Every page number below it may be taken. */
  readonly nextPage: number;
  readonly cluster: ClusterState;
}

const META_FORMAT_VERSION = 3;
const LEARNER = 1;
const JOINED = 2;

export function encodeMeta(meta: Meta): Uint8Array {
  const writer = new PageWriter();
  writer.u8(META_FORMAT_VERSION);
  writer.u32(meta.machineVersion);
  writer.u53(meta.revision);
  writer.u53(meta.compactRevision);
  writer.u53(meta.appliedIndex);
  writer.u53(meta.clusterTimeMs);
  writer.u53(meta.wallTimeMs);
  writer.u53(meta.pages);
  writer.u53(meta.liveKeys);
  writer.u53(meta.leases);
  writer.u53(meta.records);
  writer.u53(meta.nextRecordSegment);
  writer.u53(meta.nextPage);
  writeCluster(writer, meta.cluster);
  return writer.take();
}

/**
 * @param machineVersionMax - a state of a newer machine version is refused: it may hold what this code cannot keep
 * @throws CorruptPageError
 */
export function decodeMeta(bytes: Bytes, machineVersionMax: number): Meta {
  const reader = new PageReader(bytes, "Meta");
  const format = reader.u8();
  if (format !== META_FORMAT_VERSION)
    reader.fail(`has format version ${format}, this member reads ${META_FORMAT_VERSION}`);
  const machineVersion = reader.u32();
  if (machineVersion < 1 || machineVersion > machineVersionMax)
    reader.fail(`is of machine version ${machineVersion}, this member runs 1 to ${machineVersionMax}`);
  const meta = {
    machineVersion,
    revision: reader.u53(),
    compactRevision: reader.u53(-1),
    appliedIndex: reader.u53(),
    clusterTimeMs: reader.u53(),
    wallTimeMs: reader.u53(),
    pages: reader.u53(),
    liveKeys: reader.u53(),
    leases: reader.u53(),
    records: reader.u53(),
    nextRecordSegment: reader.u53(),
    nextPage: reader.u53(),
    cluster: readCluster(reader),
  };
  reader.end();
  if (meta.revision < 1 || meta.compactRevision > meta.revision)
    reader.fail(`has revision ${meta.revision} and compact revision ${meta.compactRevision}`);
  return meta;
}

function writeCluster(writer: PageWriter, cluster: ClusterState): void {
  writer.string(cluster.clusterId);
  writer.string(cluster.clusterUid);
  writer.u32(cluster.foundingSize);
  writer.u8(Number(cluster.foundingComplete));
  writer.u32(cluster.awaited.length);
  for (const { name, peerUrls } of cluster.awaited) {
    writer.string(name);
    writer.strings(peerUrls);
  }
  writer.u32(cluster.members.length);
  for (const member of cluster.members) writeMember(writer, member);
  writer.strings(cluster.removed);
  writer.strings(cluster.alarms.map(({ member }) => member));
}

function readCluster(reader: PageReader): ClusterState {
  return {
    clusterId: reader.string(),
    clusterUid: reader.string(),
    foundingSize: reader.u32(),
    foundingComplete: reader.u8() !== 0,
    awaited: reader.list(() => ({ name: reader.string(), peerUrls: reader.strings() })),
    members: reader.list(() => readMember(reader)),
    removed: reader.strings(),
    alarms: reader.strings().map((member) => ({ member, alarm: "noSpace" as const })),
  };
}

function writeMember(writer: PageWriter, member: Member): void {
  writer.string(member.id);
  writer.string(member.name);
  writer.strings(member.peerUrls);
  writer.strings(member.clientUrls);
  writer.u8((member.learner ? LEARNER : 0) | (member.joined ? JOINED : 0));
}

function readMember(reader: PageReader): Member {
  const id = reader.string();
  const name = reader.string();
  const peerUrls = reader.strings();
  const clientUrls = reader.strings();
  const flags = reader.u8();
  if (flags > (LEARNER | JOINED)) reader.fail(`has a member with flags ${flags}`);
  return { id, name, peerUrls, clientUrls, learner: (flags & LEARNER) !== 0, joined: (flags & JOINED) !== 0 };
}
