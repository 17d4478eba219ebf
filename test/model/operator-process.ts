import { ANNOTATION } from "../../operator/resources/labels.ts";
import {
  isDecisive,
  type Action,
  type DecisiveAction,
  type IssueAuthorityAction,
  type IssueLeavesAction,
} from "../../operator/plan/actions.ts";
import { isDeepStrictEqual } from "node:util";
import type { CertificateFacts, MemberReport, ObjectFacts, Observed, PodFacts } from "../../operator/plan/observed.ts";
import { plan, type Plan } from "../../operator/plan/plan.ts";
import { CLUSTER, WorldError, type World, type Pod, type StoredObject } from "./operator-world.ts";

/** How the surroundings treat the operator. All zero: a perfect day. */
export interface Weather {
  /** Chance that a cache does not show the newest state in a pass. */
  readonly stale: number;
  /** Chance that a member's answer is lost in a pass. */
  readonly unanswered: number;
  /** Chance, per action, that the process dies before it; and that it dies after it, not knowing the outcome. */
  readonly crash: number;
}

export const FAIR: Weather = { stale: 0, unanswered: 0, crash: 0 };

interface Caches {
  readonly objects: readonly StoredObject[];
  readonly pods: readonly Pod[];
  readonly certificates: ReadonlyMap<string, Record<string, CertificateFacts>>;
  readonly cluster: Observed["cluster"];
}

class Crash extends Error {}

/** The impure half of the operator, in small: caches that lag, memory that is lost, actions with preconditions. */
export class OperatorProcess {
  readonly #world: World;
  #caches: Caches;
  #lastApplied = new Map<string, { hash: string; resourceVersion: string }>();
  /** Own writes: what the caches must show at least. */
  #expected = new Map<string, number>();
  #weather = FAIR;
  readonly trace: string[] = [];

  constructor(world: World) {
    this.#world = world;
    this.#caches = this.#snapshot();
  }

  /** One pass. Returns the plan and whether anything was written. */
  pass(weather: Weather): { readonly plan: Plan; readonly wrote: boolean } {
    const world = this.#world;
    this.#weather = weather;
    if (!world.random.chance(weather.stale)) this.#caches = this.#snapshot();
    const observed = this.#observe(weather);
    const next = plan(observed, world.now);
    const decisive = next.actions.filter(isDecisive);
    if (decisive.length > 1) throw new Error(`${decisive.length} decisive actions in one plan`);
    // The world moves between the observation and the deed.
    if (weather !== FAIR && world.random.chance(0.3)) world.tick();
    let wrote = false;
    try {
      wrote = this.#writeStatus(observed, next);
      for (const action of next.actions) {
        this.#maybeCrash(weather);
        this.#execute(action);
        wrote = true;
        this.#maybeCrash(weather);
      }
    } catch (error) {
      if (error instanceof Crash) this.restart();
      else if (!(error instanceof WorldError)) throw error;
    }
    return { plan: next, wrote };
  }

  /** Memory is gone, caches are filled anew. */
  restart(): void {
    this.trace.push("restart");
    this.#lastApplied = new Map();
    this.#expected = new Map();
    this.#caches = this.#snapshot();
  }

  #maybeCrash(weather: Weather): void {
    if (this.#world.random.chance(weather.crash)) throw new Crash();
  }

  #snapshot(): Caches {
    const world = this.#world;
    return {
      objects: [...world.objects.values()].map((object) => ({ ...object })),
      pods: [...world.pods.values()].map((pod) => ({ ...pod, labels: { ...pod.labels } })),
      certificates: new Map(world.certificates),
      cluster: {
        ...CLUSTER,
        generation: world.generation,
        resourceVersion: String(world.clusterResourceVersion),
        deleting: false,
        annotations: {},
        spec: world.spec,
        status: world.status,
      },
    };
  }

  #observe(weather: Weather): Observed {
    const { objects, pods, certificates, cluster } = this.#caches;
    const ofKinds = (...kinds: string[]) => objects.filter((object) => kinds.includes(object.kind));
    return {
      cluster,
      settings: { defaultImage: "concord:1", clusterDomain: "cluster.local" },
      objects: ofKinds("Service", "ServiceAccount", "PodDisruptionBudget").map((object) => this.#facts(object)),
      statefulSets: ofKinds("StatefulSet").map((object) => ({
        ...this.#facts(object),
        ...templateFacts(object),
        settled: true,
      })),
      pods: pods.map((pod) => podFacts(pod, this.#world.isOverdue(pod))),
      volumeClaims: ofKinds("PersistentVolumeClaim").map((object) => ({
        ...this.#facts(object),
        phase: "Bound",
        requestedSize: "1Gi",
        storageClassName: undefined,
      })),
      secrets: ofKinds("Secret").map((object) => ({
        ...this.#facts(object),
        certificates: certificates.get(object.name) ?? {},
        keys: [],
      })),
      reports: this.#reports(weather),
      pending: [...this.#expected]
        .filter(([key, version]) => !this.#shows(key, version))
        .map(([key]) => ({ kind: key, name: key, waitingFor: "own write" })),
      proposedClusterId: this.#world.hexId(),
    };
  }

  #shows(key: string, version: number): boolean {
    if (key === "cluster") return Number(this.#caches.cluster.resourceVersion) >= version;
    if (version < 0) {
      // A deletion: the object with this uid must be gone or going.
      const uid = key;
      const pod = this.#caches.pods.find((candidate) => candidate.uid === uid);
      const object = this.#caches.objects.find((candidate) => candidate.uid === uid);
      return (pod === undefined || pod.deleting) && (object === undefined || object.deleting);
    }
    const object = this.#caches.objects.find((candidate) => `${candidate.kind}/${candidate.name}` === key);
    return object === undefined ? !this.#world.objects.has(key) : object.resourceVersion >= version;
  }

  #reports(weather: Weather): MemberReport[] {
    const { random } = this.#world;
    return this.#caches.pods
      .map((cached) => this.#world.pods.get(cached.name))
      .filter((pod): pod is Pod => pod !== undefined)
      .map((pod) => this.#world.report(pod))
      .filter((report): report is MemberReport => report !== undefined && !random.chance(weather.unanswered))
      .map((report) => ({ ...report, ageMs: random.below(3000) }));
  }

  #facts(object: StoredObject): ObjectFacts {
    const { metadata } = object.manifest;
    return {
      kind: object.kind,
      name: object.name,
      uid: object.uid,
      resourceVersion: String(object.resourceVersion),
      deleting: object.deleting,
      labels: metadata.labels ?? {},
      annotations: metadata.annotations ?? {},
      controllerUid: object.kind === "PersistentVolumeClaim" ? undefined : CLUSTER.uid,
      lastApplied: this.#lastApplied.get(`${object.kind}/${object.name}`),
    };
  }

  #writeStatus(observed: Observed, next: Plan): boolean {
    const world = this.#world;
    if (isDeepStrictEqual(next.status, observed.cluster.status)) return false;
    if (String(world.clusterResourceVersion) !== observed.cluster.resourceVersion) throw new WorldError("conflict");
    const before = world.status.clusterID;
    if (before !== undefined && next.status.clusterID !== before) throw new Error("The cluster id changed");
    world.status = next.status;
    world.clusterResourceVersion = world.next();
    this.#expected.set("cluster", world.clusterResourceVersion);
    return true;
  }

  #execute(action: Action): void {
    const world = this.#world;
    if (isDecisive(action)) this.trace.push(describe(action));
    switch (action.type) {
      case "apply": {
        const key = `${action.object.kind}/${action.object.metadata.name}`;
        const live = world.objects.get(key);
        if (action.uid !== undefined && live?.uid !== action.uid) throw new WorldError("another object");
        if (live?.deleting === true) throw new WorldError("is being deleted");
        if (live === undefined && this.#weather === FAIR) world.checkCreate(action.object.kind);
        const stored = world.apply(action.object);
        this.#lastApplied.set(key, { hash: action.hash, resourceVersion: String(stored.resourceVersion) });
        this.#expected.set(key, stored.resourceVersion);
        return;
      }
      case "issueAuthority":
      case "issueLeaves":
        world.apply(action.secret);
        world.certificates.set(action.secret.metadata.name, issue(action, world.now));
        return;
      case "labelPod": {
        const pod = this.#pod(action.podName, action.podUid);
        for (const [label, value] of Object.entries(action.labels)) {
          if (value === null) Reflect.deleteProperty(pod.labels, label);
          else pod.labels[label] = value;
        }
        return;
      }
      case "grantFounding": {
        const { founding, clusterID } = world.status;
        if (clusterID !== action.clusterId || founding?.member !== action.target.memberName) {
          throw new Error("A founding that status does not name");
        }
        const claim = world.find("PersistentVolumeClaim", action.volumeClaimName);
        if (claim?.uid !== action.volumeClaimUid) throw new WorldError("another volume");
        world.grant(this.#pod(action.target.podName, action.target.podUid), action.clusterId, action.size);
        return;
      }
      case "addLearner":
        world.addLearner(this.#pod(action.leader.podName, action.leader.podUid), action.memberName);
        return;
      case "promote":
        world.promote(this.#pod(action.leader.podName, action.leader.podUid), action.memberId);
        return;
      case "removeMember":
        world.removeMember(this.#pod(action.leader.podName, action.leader.podUid), action.memberId);
        return;
      case "transferLeadership":
        world.transfer(this.#pod(action.leader.podName, action.leader.podUid), action.toId);
        return;
      case "deletePod":
        if (this.#weather === FAIR) world.checkRestart(this.#pod(action.podName, action.podUid));
        this.#pod(action.podName, action.podUid).deleting = true;
        this.#expected.set(action.podUid, -1);
        return;
      case "deleteObject": {
        const live = world.find(action.kind, action.name);
        if (live?.uid !== action.uid) throw new WorldError("another object");
        world.checkDelete(action.kind, action.name);
        world.delete(action.kind, action.name);
        this.#expected.set(action.uid, -1);
        return;
      }
    }
  }

  #pod(name: string, uid: string): Pod {
    const pod = this.#world.pods.get(name);
    if (pod?.uid !== uid) throw new WorldError("another pod");
    return pod;
  }
}

function templateFacts(set: StoredObject): { templateHash: string | undefined; image: string | undefined } {
  const { template } = set.manifest["spec"] as {
    template: { metadata: { annotations: Record<string, string> }; spec: { containers: { image: string }[] } };
  };
  return {
    templateHash: template.metadata.annotations[ANNOTATION.templateHash],
    image: template.spec.containers[0]?.image,
  };
}

function podFacts(pod: Pod, overdue: boolean): PodFacts {
  return {
    name: pod.name,
    uid: pod.uid,
    resourceVersion: "1",
    deleting: pod.deleting,
    overdue,
    labels: pod.labels,
    annotations: { [ANNOTATION.templateHash]: pod.templateHash },
    controllerUid: pod.statefulSetUid,
    ready: pod.ready,
    running: pod.running,
    nodeName: "node",
    restartCount: 0,
    lastTermination: pod.exitedClean ? { exitCode: 0, reason: "Completed", code: "", message: "" } : undefined,
    waitingReason: pod.running ? undefined : pod.exitedClean ? "CrashLoopBackOff" : "ImagePullBackOff",
  };
}

function issue(action: IssueAuthorityAction | IssueLeavesAction, now: number): Record<string, CertificateFacts> {
  const fact = (publicKey: string, issuer: string, seconds: number): CertificateFacts => ({
    notBefore: now,
    notAfter: now + seconds * 1000,
    commonName: "",
    dnsNames: [],
    ipAddresses: [],
    uris: [],
    publicKeyFingerprint: publicKey,
    keyMatches: true,
    fingerprints: [publicKey],
    issuerPublicKeyFingerprint: issuer,
  });
  if (action.type === "issueAuthority") {
    const own = fact(action.authority, action.authority, action.durationSeconds);
    return { "tls.crt": own, "ca.crt": own };
  }
  const trust = action.trust.map(({ key, authority }) => [key, fact(authority, authority, 1e9)] as const);
  const leaves = action.leaves.map((leaf) => {
    const { dnsNames, ipAddresses, uris } = leaf;
    return [
      leaf.certificateKey,
      { ...fact("leaf", leaf.authority, leaf.durationSeconds), dnsNames, ipAddresses, uris },
    ] as const;
  });
  return Object.fromEntries([...trust, ...leaves]);
}

function describe(action: DecisiveAction): string {
  switch (action.type) {
    case "grantFounding":
      return `${action.type} ${action.target.memberName}`;
    case "transferLeadership":
      return `${action.type} ${action.toName}`;
    case "deletePod":
      return `${action.type} ${action.podName}`;
    case "deleteObject":
      return `${action.type} ${action.kind} ${action.name}`;
    case "addLearner":
    case "promote":
    case "removeMember":
      return `${action.type} ${action.memberName}`;
  }
}
