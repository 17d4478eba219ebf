import type { ConcordClusterStatus } from "../api/v1alpha1/cluster.ts";
import { type Action } from "./actions.ts";
import type { Observed } from "./observed.ts";

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

/**
 * Decides the next step for one cluster. Pure: the same observation gives the same plan.
 *
 * @param observed what is known
 * @param now Unix milliseconds
 */
export function plan(observed: Observed, now: number): Plan {
  return {
    status: observed.cluster.status,
    actions: [],
    requeueAfterMs: now - now + 60_000,
    blocked: undefined,
    events: [],
  };
}
