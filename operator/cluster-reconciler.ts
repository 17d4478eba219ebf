import { ConcordError } from "../node/client/index.ts";
import { type ActionContext, contextFor, type ExecutorParts } from "./execute/context.ts";
import { execute } from "./execute/executor.ts";
import { writeStatus } from "./execute/write-status.ts";
import { type Caches, type Cluster } from "./observe/caches.ts";
import { type Observer } from "./observe/observer.ts";
import { type Action, isDecisive } from "./plan/actions.ts";
import { type Observed } from "./plan/observed.ts";
import { plan, type Plan } from "./plan/plan.ts";
import { isConflict, isNamespaceTerminating } from "./runtime/api-error.ts";
import { type ReconcileResult } from "./runtime/controller.ts";
import { NotLeaderError, StaleObservationError } from "./runtime/errors.ts";
import { type EventRecorder } from "./runtime/events.ts";
import { splitKey } from "./runtime/kubernetes-object.ts";
import { type Logger } from "./runtime/logger.ts";
import { type OperatorMetrics } from "./runtime/metrics.ts";

export interface ReconcilerParts extends ExecutorParts {
  readonly observer: Observer;
  readonly events: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly log: Logger;
  /** Unix milliseconds. @default Date.now */
  readonly now?: () => number;
}

/** After a step that found the world moved, or a member that could not answer for sure. */
const LOOK_AGAIN_MS = 1000;
/** Planned waits are spread over ± this part, so that many clusters do not wake together. */
const JITTER = 0.1;

/**
 * One pass for one ConcordCluster: observe, plan, write the status, execute, wait. All memory it keeps can be lost.
 */
export class ClusterReconciler {
  readonly #parts: ReconcilerParts;
  readonly #caches: Caches;
  /** UID of each known cluster by key, to forget what belonged to one that is gone. */
  readonly #known = new Map<string, string>();

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#caches = parts.caches;
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const cluster = this.#caches.in(splitKey(key).namespace).clusters.get(key);
    await this.#forgetOthers(key, cluster);
    if (cluster === undefined) return {};
    const { observer, expectations, log } = this.#parts;
    const waiting = expectations.pending(key);
    if (waiting.length > 0) log.debug({ key, waiting }, "Caches do not show the last step yet");
    const observed = await observer.observe(cluster, signal);
    const next = plan(observed, (this.#parts.now ?? Date.now)());
    this.#report(observed, next);
    const context = contextFor(this.#parts, observed.cluster, signal);
    try {
      await this.#carryOut(context, cluster, next);
    } catch (error) {
      if (isNamespaceTerminating(error)) return {};
      if (!maySimplyLookAgain(error)) throw error;
      log.info({ key, reason: error instanceof Error ? error.message : String(error) }, "Decision was not carried out");
      return { requeueAfterMs: LOOK_AGAIN_MS };
    }
    return { requeueAfterMs: next.requeueAfterMs * (1 + JITTER * (2 * Math.random() - 1)) };
  }

  async #carryOut(context: ActionContext, cluster: Cluster, next: Plan): Promise<void> {
    if (next.actions.filter(isDecisive).length > 1) throw new TypeError("Plan has more than one decisive action");
    // The status comes first: founding rests on what it says, and serials must not be used before they are taken.
    await writeStatus(context, next.status);
    for (const event of next.events) {
      const { type, reason, message } = event;
      this.#parts.events.record(cluster, { type, reason, action: "Reconcile", note: message });
    }
    for (const action of next.actions) await this.#act(context, cluster, action);
  }

  async #act(context: ActionContext, cluster: Cluster, action: Action): Promise<void> {
    const { metrics, events, log } = this.#parts;
    const fields = { key: context.clusterKey, action: action.type, ...describe(action) };
    if (isDecisive(action)) log.info(fields, "Acting");
    else log.debug(fields, "Acting");
    try {
      await execute(context, action);
      metrics.actions.inc({ action: action.type, result: "success" });
    } catch (error) {
      const stale = maySimplyLookAgain(error);
      metrics.actions.inc({ action: action.type, result: stale ? "stale" : "error" });
      if (!stale && !isNamespaceTerminating(error) && !(error instanceof NotLeaderError) && !context.signal.aborted) {
        const note = `${action.type}: ${error instanceof Error ? error.message : String(error)}`;
        events.record(cluster, { type: "Warning", reason: "ActionFailed", action: "Reconcile", note });
      }
      throw error;
    }
  }

  #report(observed: Observed, next: Plan): void {
    const { metrics } = this.#parts;
    const { namespace, name } = observed.cluster;
    const ready = next.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
    metrics.clusterReady.set({ namespace, name }, ready ? 1 : 0);
    for (const secret of observed.secrets) {
      const ends = Object.values(secret.certificates).map(({ notAfter }) => notAfter / 1000);
      if (ends.length > 0) metrics.certificateNotAfter.set({ namespace, name: secret.name }, Math.min(...ends));
    }
  }

  async #forgetOthers(key: string, cluster: Cluster | undefined): Promise<void> {
    const before = this.#known.get(key);
    const uid = cluster?.metadata.uid;
    if (before === uid) return;
    if (uid === undefined) this.#known.delete(key);
    else this.#known.set(key, uid);
    if (before === undefined) return;
    const { expectations, lastApplied, doors, secrets, metrics } = this.#parts;
    const { namespace, name } = splitKey(key);
    expectations.forget(key);
    lastApplied.forget(key);
    secrets.forgetWhere(namespace, (secret) => {
      const ours = secret.startsWith(`${name}-`);
      if (ours) metrics.certificateNotAfter.remove({ namespace, name: secret });
      return ours;
    });
    metrics.clusterReady.remove({ namespace, name });
    await doors.forget(before);
  }
}

/** The decision was overtaken, or its outcome is not known: a fresh look tells what to do, and is no failure. */
function maySimplyLookAgain(error: unknown): boolean {
  if (error instanceof StaleObservationError || isConflict(error)) return true;
  return ConcordError.is(error) && (error.retryable || error.outcome === "unknown");
}

function describe(action: Action): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  if ("object" in action) fields["object"] = `${action.object.kind}/${action.object.metadata.name}`;
  if ("secret" in action) fields["secret"] = action.secret.metadata.name;
  if ("memberName" in action) fields["member"] = action.memberName;
  if ("target" in action) fields["member"] = action.target.memberName;
  if ("toName" in action) fields["to"] = action.toName;
  if ("podName" in action) fields["pod"] = action.podName;
  if ("name" in action) fields["object"] = `${action.kind}/${action.name}`;
  if ("reason" in action) fields["reason"] = action.reason;
  return fields;
}
