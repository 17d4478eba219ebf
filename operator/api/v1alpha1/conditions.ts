/** Condition types of a ConcordCluster. All are written on the first visit. */
export const CONDITION_TYPES = [
  "Ready",
  "Available",
  "Progressing",
  "Degraded",
  "Initialized",
  "Reconciling",
  "Stalled",
] as const;
export type ConditionType = (typeof CONDITION_TYPES)[number];

/** What a condition says, before it is dated. */
export interface ConditionValue {
  readonly status: "True" | "False" | "Unknown";
  /** CamelCase, part of the API: people branch on it. */
  readonly reason: string;
  readonly message: string;
}
