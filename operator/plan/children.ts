import { ANNOTATION, LABEL } from "../resources/labels.ts";
import { podDisruptionBudgetName } from "../resources/names.ts";
import type { KubernetesObject } from "../resources/object.ts";
import { contentHash } from "../resources/hash.ts";
import { buildPodDisruptionBudget } from "../resources/pdb.ts";
import { buildVolumeClaim } from "../resources/pvc.ts";
import { buildServiceAccount } from "../resources/service-account.ts";
import { buildAnyService, buildClientService, buildPeersService } from "../resources/services.ts";
import { buildStatefulSet } from "../resources/statefulset.ts";
import type { ApplyAction, DeleteObjectAction, LabelPodAction } from "./actions.ts";
import type { ObjectFacts } from "./observed.ts";
import { mayHaveNewTemplate } from "./rollout.ts";
import { everJoined, majority, type MemberView, type View } from "./view.ts";

/** What the plan decided about members, as far as their objects depend on it. */
export interface ChildrenOptions {
  /** Serials that do not exist yet. */
  readonly created: readonly number[];
  /** Names of members whose objects are being taken away: nothing of theirs is made again. */
  readonly discarded: ReadonlySet<string>;
  /** The member whose turn it is in a rollout. */
  readonly updateMember: string | undefined;
}

/**
 * The objects the cluster should consist of, as applies. An object is applied when it is missing, when what is wanted
 * changed, or when somebody else wrote to it since our last apply; otherwise nothing is sent.
 */
export function planChildren(view: View, options: ChildrenOptions): readonly (ApplyAction | LabelPodAction)[] {
  const { cluster, objects } = view.observed;
  const kept = view.members.filter((member) => !options.discarded.has(member.name));
  const shared = [
    buildServiceAccount(cluster),
    buildPeersService(cluster, { clusterId: view.clusterId, size: view.foundingSize }),
    buildClientService(cluster, cluster.spec),
    buildAnyService(cluster),
  ];
  const budget = minAvailable(view, kept.length + options.created.length);
  if (budget !== undefined) shared.push(buildPodDisruptionBudget(cluster, budget));
  return [
    ...shared.map((object) => applyIfNeeded(object, find(objects, object))),
    ...kept.flatMap((member) => memberObjects(view, member, options.updateMember)),
    ...options.created.flatMap((serial) => newMemberObjects(view, serial)),
    ...kept.map((member) => labelPod(member, isServing(view, member))),
  ].filter((action) => action !== undefined);
}

/**
 * How many pods must stay while nodes are drained: all but the voters that may be missing. Undefined: no budget, because
 * a single member would block every drain.
 */
function minAvailable(view: View, pods: number): number | undefined {
  const voters = view.leader?.voters.length ?? view.observed.cluster.status.quorum?.voters ?? 0;
  if (!view.spec.podDisruptionBudget || voters <= 1) return undefined;
  return pods - (voters - majority(voters));
}

/** A budget that is not wanted any more. */
export function budgetToDelete(view: View): DeleteObjectAction | undefined {
  const name = podDisruptionBudgetName(view.observed.cluster);
  const budget = view.observed.objects.find((object) => object.kind === "PodDisruptionBudget" && object.name === name);
  if (budget === undefined || budget.deleting || minAvailable(view, view.members.length) !== undefined)
    return undefined;
  return {
    type: "deleteObject",
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    name,
    uid: budget.uid,
    reason: "one voter needs no budget",
  };
}

function memberObjects(
  view: View,
  member: MemberView,
  updateMember: string | undefined,
): readonly (ApplyAction | undefined)[] {
  const { statefulSet, claim } = member;
  // The volume of a member that joined is never made again: an empty one in its place would hide the loss.
  const makeClaim = claim !== undefined || !everJoined(member);
  return [
    makeClaim
      ? applyIfNeeded(buildVolumeClaim(view.observed.cluster, view.spec.storage, member.serial), claim)
      : undefined,
    mayHaveNewTemplate(view, member, updateMember)
      ? applyIfNeeded(statefulSetOf(view, member.serial, isServing(view, member)), statefulSet)
      : undefined,
  ];
}

function newMemberObjects(view: View, serial: number): readonly (ApplyAction | undefined)[] {
  return [
    applyIfNeeded(buildVolumeClaim(view.observed.cluster, view.spec.storage, serial), undefined),
    applyIfNeeded(statefulSetOf(view, serial, false), undefined),
  ];
}

function statefulSetOf(view: View, serial: number, serving: boolean): KubernetesObject {
  const { cluster } = view.observed;
  return buildStatefulSet(cluster, cluster.spec, {
    serial,
    image: view.spec.image,
    serving,
    restartedAt: cluster.annotations[ANNOTATION.restartedAt],
  });
}

/** Clients may be sent to a voter of a founded cluster. Without a leader, what was so stays so. */
function isServing(view: View, member: MemberView): boolean {
  if (!view.founded) return false;
  if (member.configured !== undefined) return !member.configured.learner;
  return member.recorded?.role === "Leader" || member.recorded?.role === "Follower";
}

/** A running pod gets the label at once; later pods of the member have it from the template. */
function labelPod(member: MemberView, serving: boolean): LabelPodAction | undefined {
  const pod = member.pod;
  if (pod === undefined || pod.deleting || (pod.labels[LABEL.serving] === "true") === serving) return undefined;
  return {
    type: "labelPod",
    podName: pod.name,
    podUid: pod.uid,
    labels: { [LABEL.serving]: serving ? "true" : null },
  };
}

function applyIfNeeded(object: KubernetesObject, facts: ObjectFacts | undefined): ApplyAction | undefined {
  const hash = contentHash(object);
  if (facts?.deleting === true) return undefined;
  const last = facts?.lastApplied;
  if (facts !== undefined && last?.hash === hash && last.resourceVersion === facts.resourceVersion) return undefined;
  return { type: "apply", object, hash, uid: facts?.uid };
}

const find = (objects: readonly ObjectFacts[], wanted: KubernetesObject): ObjectFacts | undefined =>
  objects.find((object) => object.kind === wanted.kind && object.name === wanted.metadata.name);
