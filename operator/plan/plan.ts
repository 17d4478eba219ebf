import type { ConcordClusterStatus } from "../api/v1alpha1/cluster.ts";
import { ANNOTATION } from "../resources/labels.ts";
import { memberName } from "../resources/names.ts";
import { isDecisive, type Action } from "./actions.ts";
import { invariant } from "./assert.ts";
import { budgetToDelete, planChildren } from "./children.ts";
import { planEvents } from "./events.ts";
import { foundingStep } from "./founding.ts";
import { foreignMember, foreignObject, quorumLost } from "./invariants.ts";
import { clearRemovedStep, discardedMembers, forgottenMembers, surplusStep } from "./discard.ts";
import type { Observed } from "./observed.ts";
import { replacementStep } from "./replacement.ts";
import { restartIdleStep, rolloutStep } from "./rollout.ts";
import { createStep, missingSerials, scaleDownStep, scaleUpStep } from "./scale.ts";
import { planStatus } from "./status.ts";
import { wait, type Step } from "./step.ts";
import { planTls } from "./tls.ts";
import { buildView, type View } from "./view.ts";

/** What to do next for one cluster. */
export interface Plan {
  /**
   * The status the cluster should have. Written before the actions, only when it differs from the observed one, and with
   * the observed resourceVersion as precondition; when that write fails, no action is executed.
   */
  readonly status: ConcordClusterStatus;
  /** In order; the executor stops at the first failure. At most one of them is decisive (`isDecisive`). */
  readonly actions: readonly Action[];
  /** Look again after this time at the latest, even if nothing changes. */
  readonly requeueAfterMs: number;
  /** The invariant that forbids the next step, if one does. */
  readonly blocked: Blocked | undefined;
  /** For the Events of the ConcordCluster. */
  readonly events: readonly PlannedEvent[];
}

export interface Blocked {
  readonly invariant: string;
  readonly message: string;
}

export interface PlannedEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** Raft cannot be watched through the API server, so a cluster in motion is looked at often, one at rest now and then. */
const REQUEUE_MOVING_MS = 2_000;
const REQUEUE_PENDING_MS = 500;
const REQUEUE_RESTING_MS = 60_000;

/**
 * Decides the next step for one cluster. Pure: the same observation gives the same plan.
 *
 * The order of the questions is the order of importance: is this still our cluster, does it exist, is it whole, does it
 * have the right size, does it run the right template. The first answer ends the pass, so there is never more than one
 * change of membership, leadership or running pods under way.
 *
 * @param observed what is known
 * @param now Unix milliseconds
 */
export function plan(observed: Observed, now: number): Plan {
  const { cluster, pending } = observed;
  if (cluster.deleting) return idle(observed, REQUEUE_RESTING_MS);
  if (pending.length > 0) return idle(observed, REQUEUE_PENDING_MS);
  const view = buildView(observed);
  const paused = cluster.spec.paused === true || cluster.annotations[ANNOTATION.paused] === "true";
  const step = paused ? undefined : nextStep(view);
  const frozen = paused || (step?.type === "blocked" && FREEZING.has(step.invariant));
  const created = frozen ? [] : missingSerials(view);
  const discarded = new Set(discardedMembers(view).map((member) => member.name));
  const status = planStatus(view, { step, paused, created, forgotten: forgottenMembers(view) }, now);
  const tls = planTls(view, memberNames(view, created, discarded), now);
  const actions = frozen ? [] : planActions(view, step, { created, discarded, tls: tls.actions });
  return {
    status,
    actions,
    requeueAfterMs: requeueAfter(status, step !== undefined || actions.length > 0, tls.nextDueAt, now),
    blocked: step?.type === "blocked" ? { invariant: step.invariant, message: step.message } : undefined,
    events: planEvents(cluster.status, status, step?.type === "act" ? step : undefined),
  };
}

/** Nothing at all is touched while one of these does not hold: it is not certain that it is ours. */
const FREEZING: ReadonlySet<string> = new Set(["OneClusterId", "OwnObjectsOnly"]);

function nextStep(view: View): Step | undefined {
  const { leader } = view;
  const unsafe = foreignObject(view) ?? foreignMember(view);
  if (unsafe !== undefined) return unsafe;
  const withoutLeader =
    restartIdleStep(view) ?? (view.clusterId === undefined ? (surplusStep(view) ?? createStep(view)) : undefined);
  if (leader === undefined) {
    return (
      withoutLeader ??
      foundingStep(view) ??
      quorumLost(view) ??
      wait("WaitingForLeader", "No leader answers that a majority of the voters follows")
    );
  }
  return (
    withoutLeader ??
    replacementStep(view, leader) ??
    clearRemovedStep(view) ??
    surplusStep(view) ??
    createStep(view) ??
    scaleDownStep(view, leader) ??
    scaleUpStep(view, leader) ??
    rolloutStep(view, leader)
  );
}

function planActions(
  view: View,
  step: Step | undefined,
  parts: {
    readonly created: readonly number[];
    readonly discarded: ReadonlySet<string>;
    readonly tls: readonly Action[];
  },
): readonly Action[] {
  const decisive = step?.type === "act" ? step.action : budgetToDelete(view);
  const children = planChildren(view, {
    created: parts.created,
    discarded: parts.discarded,
    updateMember: step?.type === "wait" ? step.updateMember : undefined,
  });
  const actions = [...parts.tls, ...children, ...(decisive === undefined ? [] : [decisive])];
  invariant(actions.filter(isDecisive).length <= 1, "A plan holds at most one decisive action");
  return actions;
}

function memberNames(view: View, created: readonly number[], discarded: ReadonlySet<string>): readonly string[] {
  const existing = view.members.filter((member) => !discarded.has(member.name)).map((member) => member.name);
  return [...existing, ...created.map((serial) => memberName(view.observed.cluster, serial))];
}

function idle(observed: Observed, requeueAfterMs: number): Plan {
  return { status: observed.cluster.status, actions: [], requeueAfterMs, blocked: undefined, events: [] };
}

function requeueAfter(status: ConcordClusterStatus, moving: boolean, dueAt: number, now: number): number {
  const ready = status.conditions?.find((condition) => condition.type === "Ready")?.status === "True";
  const usual = ready && !moving ? REQUEUE_RESTING_MS : REQUEUE_MOVING_MS;
  return Math.max(REQUEUE_PENDING_MS, Math.min(usual, dueAt > now ? dueAt - now : usual));
}
