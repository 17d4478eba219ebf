import type { DecisiveAction } from "./actions.ts";

/** Why a cluster is not at rest; also the reason of the condition Progressing. */
export type StepReason =
  | "CreatingMembers"
  | "WaitingForPods"
  | "Founding"
  | "WaitingForLeader"
  | "Replacing"
  | "ScalingUp"
  | "WaitingForLearner"
  | "ScalingDown"
  | "RemovingMember"
  | "RollingUpdate"
  | "WaitingForMembers";

/** The outcome of asking one part of the plan what should happen next. Undefined: nothing, ask the next part. */
export type Step = ActStep | WaitStep | BlockedStep;

export interface ActStep {
  readonly type: "act";
  readonly reason: StepReason;
  readonly message: string;
  readonly action: DecisiveAction;
}

/** Something is under way that only has to be awaited. */
export interface WaitStep {
  readonly type: "wait";
  readonly reason: StepReason;
  readonly message: string;
  /** A member that gets the new pod template now, before its pod is restarted. */
  readonly updateMember?: string;
  /** The founding that goes into status, before anything is granted. */
  readonly found?: { readonly member: string; readonly memberId: string; readonly volumeClaimUid: string };
}

/** An invariant forbids the next step. Terminal ones do not end by waiting. */
export interface BlockedStep {
  readonly type: "blocked";
  readonly reason: StepReason;
  readonly invariant: InvariantName;
  readonly message: string;
  readonly terminal: boolean;
}

export type InvariantName =
  "OwnObjectsOnly" | "OneClusterId" | "FoundOnce" | "KeepQuorum" | "OneDownAtATime" | "ReplacementEnabled";

export const act = (reason: StepReason, message: string, action: DecisiveAction): ActStep => ({
  type: "act",
  reason,
  message,
  action,
});

export const wait = (reason: StepReason, message: string): WaitStep => ({ type: "wait", reason, message });

export const blocked = (
  reason: StepReason,
  invariant: InvariantName,
  message: string,
  options: { readonly terminal: boolean },
): BlockedStep => ({ type: "blocked", reason, invariant, message, terminal: options.terminal });
