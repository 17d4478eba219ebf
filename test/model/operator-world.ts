import { ANNOTATION } from "../../operator/resources/labels.ts";
import { memberOfPod, memberSecretName, podName } from "../../operator/resources/names.ts";
import type { KubernetesObject } from "../../operator/resources/object.ts";
import type { ConcordClusterSpec, ConcordClusterStatus } from "../../operator/api/v1alpha1/cluster.ts";
import type { CertificateFacts, MemberReport } from "../../operator/plan/observed.ts";
import type { Prng } from "../support/prng.ts";

/**
 * A world for the operator's plan: the API objects of one cluster, the controllers of Kubernetes that act on them, disks,
 * processes, and Raft as far as an operator can tell. Every rule that must never be broken is checked where it could be.
 */
export interface StoredObject {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  resourceVersion: number;
  deleting: boolean;
  manifest: KubernetesObject;
}

export interface Pod {
  readonly name: string;
  readonly uid: string;
  readonly statefulSetUid: string;
  readonly claimName: string;
  readonly image: string;
  readonly templateHash: string;
  labels: Record<string, string>;
  deleting: boolean;
  running: boolean;
  ready: boolean;
  exitedClean: boolean;
  /** Cannot talk to the other members for a while. */
  partitioned: boolean;
  /** When its node stopped to answer; it ends only when the node is back. */
  lostAt: number | undefined;
  /** A leader that was cut off goes on telling what it knew, until it hears of another one. */
  deposed: MemberReport | undefined;
}

/** What a volume holds. A new directory gets a new Raft id. */
export interface Disk {
  raftId: string;
  clusterId: string;
  /** Writes it holds: 1..applied. */
  applied: number;
}

export interface RaftMember {
  readonly id: string;
  readonly name: string;
  learner: boolean;
}

/** The one true history of a Raft group: what a majority agreed on. */
export interface RaftGroup {
  readonly clusterId: string;
  readonly size: number;
  members: RaftMember[];
  leaderId: string;
  term: number;
  founded: boolean;
  /** Acknowledged writes. */
  committed: number;
}

export const CLUSTER = { name: "demo", namespace: "default", uid: "0a1b2c3d-demo" } as const;
export const BAD_IMAGE = "concord:broken";
const LEARNER_STEP = 4;
const OVERDUE_MS = 60_000;

export class WorldError extends Error {}

export class World {
  readonly random: Prng;
  now = 1_800_000_000_000;
  spec: ConcordClusterSpec = { replicas: 3 };
  status: ConcordClusterStatus = { observedGeneration: -1 };
  generation = 1;
  clusterResourceVersion = 1;
  readonly objects = new Map<string, StoredObject>();
  readonly pods = new Map<string, Pod>();
  readonly disks = new Map<string, Disk>();
  /** Certificates in each Secret, by key. */
  readonly certificates = new Map<string, Record<string, CertificateFacts>>();
  group: RaftGroup | undefined;
  foundings = 0;
  /** After that, volumes of members that nobody remembers stay: the operator never deletes what it does not know. */
  statusWasLost = false;
  #sequence = 100;

  constructor(random: Prng) {
    this.random = random;
  }

  next(): number {
    return ++this.#sequence;
  }

  hexId(): string {
    return (this.random.next() * 2 ** 20 + this.random.below(2 ** 20)).toString(16).padStart(16, "0");
  }

  find(kind: string, name: string): StoredObject | undefined {
    return this.objects.get(`${kind}/${name}`);
  }

  ofKind(kind: string): StoredObject[] {
    return [...this.objects.values()].filter((object) => object.kind === kind);
  }

  diskOf(pod: Pod): Disk | undefined {
    const claim = this.find("PersistentVolumeClaim", pod.claimName);
    return claim && this.disks.get(claim.uid);
  }

  memberOf(pod: Pod): RaftMember | undefined {
    const disk = this.diskOf(pod);
    return this.group?.members.find((member) => member.id === disk?.raftId);
  }

  podOf(member: RaftMember): Pod | undefined {
    const pod = this.pods.get(podName(member.name));
    return pod && this.diskOf(pod)?.raftId === member.id ? pod : undefined;
  }

  alive(member: RaftMember): boolean {
    const pod = this.podOf(member);
    return pod?.running === true && !pod.partitioned && this.diskOf(pod)?.clusterId === this.group?.clusterId;
  }

  voters(): RaftMember[] {
    return this.group?.members.filter((member) => !member.learner) ?? [];
  }

  hasQuorum(): boolean {
    const voters = this.voters();
    return voters.length > 0 && voters.filter((voter) => this.alive(voter)).length > voters.length / 2;
  }

  /** Voters whose disk still exists and still is theirs: what can come back without a person. */
  intactVoters(): RaftMember[] {
    return this.voters().filter((voter) =>
      [...this.disks.values()].some((disk) => disk.raftId === voter.id && disk.clusterId === this.group?.clusterId),
    );
  }

  // ---- the API server ----

  apply(manifest: KubernetesObject): StoredObject {
    const key = `${manifest.kind}/${manifest.metadata.name}`;
    const stored = this.objects.get(key);
    if (stored === undefined) {
      const created: StoredObject = {
        kind: manifest.kind,
        name: manifest.metadata.name,
        uid: `uid-${this.next()}`,
        resourceVersion: this.next(),
        deleting: false,
        manifest,
      };
      this.objects.set(key, created);
      if (manifest.kind === "PersistentVolumeClaim") this.disks.set(created.uid, this.emptyDisk());
      return created;
    }
    if (JSON.stringify(stored.manifest) !== JSON.stringify(manifest)) {
      stored.manifest = manifest;
      stored.resourceVersion = this.next();
    }
    return stored;
  }

  emptyDisk(): Disk {
    return { raftId: this.hexId(), clusterId: "", applied: 0 };
  }

  /** Deletion as the API server and its garbage collector do it. */
  delete(kind: string, name: string): void {
    const stored = this.find(kind, name);
    if (stored === undefined) return;
    if (kind === "PersistentVolumeClaim") {
      stored.deleting = true;
      stored.resourceVersion = this.next();
      return;
    }
    this.objects.delete(`${kind}/${name}`);
    if (kind === "Secret") this.certificates.delete(name);
    if (kind === "StatefulSet") {
      for (const pod of this.pods.values()) if (pod.statefulSetUid === stored.uid) pod.deleting = true;
    }
  }

  // ---- controllers, kubelet and Raft: one small step of everything ----

  tick(): void {
    this.now += this.random.between(200, 3000);
    this.#endPods();
    this.#collectClaims();
    for (const set of this.ofKind("StatefulSet")) if (this.random.chance(0.7)) this.#reconcileStatefulSet(set);
    for (const pod of this.pods.values())
      if (!pod.running && pod.lostAt === undefined && this.random.chance(0.6)) this.#start(pod);
    this.#raft();
    for (const pod of this.pods.values()) pod.ready = this.#isReady(pod);
  }

  #endPods(): void {
    for (const pod of [...this.pods.values()]) {
      if (pod.lostAt === undefined && pod.deleting && this.random.chance(0.6)) this.pods.delete(pod.name);
    }
  }

  #collectClaims(): void {
    for (const claim of this.ofKind("PersistentVolumeClaim")) {
      const used = [...this.pods.values()].some((pod) => pod.claimName === claim.name);
      if (!claim.deleting || used) continue;
      this.objects.delete(`PersistentVolumeClaim/${claim.name}`);
      this.disks.delete(claim.uid);
    }
  }

  #reconcileStatefulSet(set: StoredObject): void {
    if (this.pods.has(podName(set.name))) return;
    const { template } = set.manifest["spec"] as {
      template: {
        metadata: { labels: Record<string, string>; annotations: Record<string, string> };
        spec: { containers: { image: string }[]; volumes: { persistentVolumeClaim?: { claimName: string } }[] };
      };
    };
    this.pods.set(podName(set.name), {
      name: podName(set.name),
      uid: `pod-${this.next()}`,
      statefulSetUid: set.uid,
      claimName: template.spec.volumes[0]?.persistentVolumeClaim?.claimName ?? "",
      image: template.spec.containers[0]?.image ?? "",
      templateHash: template.metadata.annotations[ANNOTATION.templateHash] ?? "",
      labels: { ...template.metadata.labels },
      deleting: false,
      running: false,
      ready: false,
      exitedClean: false,
      partitioned: false,
      lostAt: undefined,
      deposed: undefined,
    });
  }

  #start(pod: Pod): void {
    const member = memberOfPod(pod.name) ?? "";
    if (pod.image === BAD_IMAGE || !this.certificates.has(memberSecretName(member))) return;
    const disk = this.diskOf(pod);
    if (disk === undefined) return;
    // A removed member is told so by the others and ends.
    pod.exitedClean = disk.clusterId !== "" && this.memberOf(pod) === undefined && this.hasQuorum();
    pod.running = !pod.exitedClean;
  }

  #raft(): void {
    const group = this.group;
    if (group === undefined) return;
    for (const pod of this.pods.values()) {
      if (pod.running && this.diskOf(pod)?.clusterId === group.clusterId && this.memberOf(pod) === undefined) {
        pod.running = false;
        pod.exitedClean = true;
      }
    }
    if (!this.hasQuorum()) {
      group.leaderId = "";
      return;
    }
    const leader = group.members.find((member) => member.id === group.leaderId);
    if (leader === undefined || leader.learner || !this.alive(leader)) this.#elect(group);
    if (this.voters().length >= group.size) group.founded = true;
    if (group.founded) group.committed += 1;
    for (const member of group.members.filter((candidate) => this.alive(candidate))) {
      const disk = this.diskOf(this.podOf(member) as Pod) as Disk;
      disk.applied = member.learner ? Math.min(group.committed, disk.applied + LEARNER_STEP) : group.committed;
    }
  }

  /** Raft's election rule: the winner holds everything that was acknowledged. If nobody does, data is lost. */
  #elect(group: RaftGroup): void {
    const alive = this.voters().filter((voter) => this.alive(voter));
    const able = alive.filter((voter) => this.diskOf(this.podOf(voter) as Pod)?.applied === group.committed);
    if (able.length === 0) throw new WorldError(`Acknowledged writes are lost: nobody alive holds ${group.committed}`);
    group.leaderId = this.random.pick(able).id;
    group.term += 1;
  }

  #isReady(pod: Pod): boolean {
    const member = this.memberOf(pod);
    return (
      member !== undefined && !member.learner && this.alive(member) && this.hasQuorum() && this.group?.founded === true
    );
  }

  partition(pod: Pod): void {
    const report = this.report(pod);
    pod.deposed = report?.role === "leader" ? report : undefined;
    pod.partitioned = true;
  }

  /** The node of a pod is lost: Kubernetes gives the pod up, and nobody can end it. */
  loseNode(pod: Pod): void {
    pod.lostAt = this.now;
    pod.running = false;
    pod.deleting = true;
  }

  isOverdue(pod: Pod): boolean {
    return pod.lostAt !== undefined && pod.deleting && this.now > pod.lostAt + OVERDUE_MS;
  }

  heal(): void {
    for (const pod of this.pods.values()) {
      pod.lostAt = undefined;
      pod.partitioned = false;
      pod.deposed = undefined;
    }
  }

  // ---- the admin door ----

  report(pod: Pod): MemberReport | undefined {
    const disk = this.diskOf(pod);
    if (!pod.running || disk === undefined) return undefined;
    if (pod.deposed !== undefined) return pod.deposed;
    const member = this.memberOf(pod);
    const group = disk.clusterId === "" ? undefined : this.group;
    const isLeader = group !== undefined && group.leaderId === disk.raftId;
    const behind = member?.learner === true && disk.applied < (group?.committed ?? 0);
    return {
      podName: pod.name,
      podUid: pod.uid,
      ageMs: 0,
      state: group === undefined ? "waiting" : !group.founded ? "founding" : behind ? "recovering" : "running",
      id: disk.raftId,
      name: memberOfPod(pod.name) ?? "",
      clusterId: disk.clusterId,
      clusterUid: CLUSTER.uid,
      role: isLeader ? "leader" : member?.learner === true ? "learner" : "follower",
      leaderId: pod.partitioned ? "" : (group?.leaderId ?? ""),
      term: group?.term ?? 0,
      members: (group?.members ?? []).map((other) => ({
        id: other.id,
        name: other.name,
        peerUrls: [],
        learner: other.learner,
        active: isLeader && this.alive(other),
        caughtUp: isLeader && this.alive(other) && this.#caughtUp(other),
      })),
    };
  }

  #caughtUp(member: RaftMember): boolean {
    const pod = this.podOf(member);
    return pod !== undefined && (this.diskOf(pod)?.applied ?? 0) >= (this.group?.committed ?? 0) - 2;
  }

  grant(pod: Pod, clusterId: string, size: number): void {
    const disk = this.diskOf(pod);
    if (!pod.running || disk === undefined) throw new WorldError("unreachable");
    if (disk.clusterId === clusterId) return;
    if (disk.clusterId !== "") throw new WorldError("refused");
    if (disk.raftId !== this.status.founding?.memberID) throw new Error("Founded on a disk that status does not name");
    this.foundings += 1;
    if (this.foundings > 1) throw new Error(`Founded ${this.foundings} times`);
    disk.clusterId = clusterId;
    const name = memberOfPod(pod.name) ?? "";
    this.group = {
      clusterId,
      size,
      members: [{ id: disk.raftId, name, learner: false }],
      leaderId: "",
      term: 1,
      founded: false,
      committed: 0,
    };
  }

  /** The pod must lead, and a majority must be there to commit. */
  leaderGroup(pod: Pod): RaftGroup {
    const group = this.group;
    if (group === undefined || !pod.running || this.diskOf(pod)?.raftId !== group.leaderId || !this.hasQuorum()) {
      throw new WorldError("not leader");
    }
    return group;
  }

  addLearner(leader: Pod, name: string): void {
    const group = this.leaderGroup(leader);
    const pod = this.pods.get(podName(name));
    const disk = pod && this.diskOf(pod);
    if (pod?.running !== true || disk?.clusterId !== "") throw new WorldError("not an empty member");
    disk.clusterId = group.clusterId;
    group.members.push({ id: disk.raftId, name, learner: true });
  }

  promote(leader: Pod, id: string): void {
    const group = this.leaderGroup(leader);
    const member = group.members.find((candidate) => candidate.id === id);
    if (member?.learner !== true || !this.alive(member) || !this.#caughtUp(member)) throw new WorldError("not ready");
    const pod = this.podOf(member) as Pod;
    (this.diskOf(pod) as Disk).applied = group.committed;
    member.learner = false;
    if (!this.hasQuorum()) throw new Error(`Promotion of ${member.name} lost the quorum`);
  }

  removeMember(leader: Pod, id: string): void {
    const group = this.leaderGroup(leader);
    const member = group.members.find((candidate) => candidate.id === id);
    if (member === undefined) throw new WorldError("no such member");
    if (id === group.leaderId) throw new Error("The leader is removed without a transfer");
    group.members = group.members.filter((candidate) => candidate.id !== id);
    if (!this.hasQuorum()) throw new Error(`Removal of ${member.name} lost the quorum`);
  }

  transfer(leader: Pod, id: string): void {
    const group = this.leaderGroup(leader);
    const heir = group.members.find((candidate) => candidate.id === id);
    if (heir === undefined || heir.learner || !this.alive(heir)) throw new WorldError("bad transferee");
    group.leaderId = id;
    group.term += 1;
  }

  /** A restart that the operator decided: with three voters or more, it costs no quorum that was there. */
  checkRestart(pod: Pod): void {
    const member = this.memberOf(pod);
    const alive = this.voters().filter((voter) => this.alive(voter)).length;
    if (member === undefined || member.learner || !this.alive(member) || this.voters().length < 3) return;
    if (this.hasQuorum() && alive - 1 <= this.voters().length / 2)
      throw new Error(`Restart of ${pod.name} costs quorum`);
  }

  /** A member that the operator makes: the node of a member that was removed is free for it. */
  checkCreate(kind: string): void {
    if (kind !== "StatefulSet") return;
    for (const { name, state } of this.status.members ?? []) {
      const pod = this.pods.get(podName(name));
      const placed = (pod !== undefined && !this.isOverdue(pod)) || this.find("StatefulSet", name) !== undefined;
      if (state === "Removing" && placed)
        throw new Error(`A member is made while the pod of ${name}, which was removed, still takes its place`);
    }
  }

  /** A deletion that the operator decided; nobody else is held to these rules. */
  checkDelete(kind: string, name: string): void {
    if (kind !== "PersistentVolumeClaim") return;
    const claim = this.find(kind, name);
    const disk = claim && this.disks.get(claim.uid);
    if (disk && this.group?.members.some((member) => member.id === disk.raftId)) {
      throw new Error(`The volume of a member of the configuration is deleted: ${name}`);
    }
  }
}
