import type { KubernetesObject } from "../resources/object.ts";

/**
 * What the executor can do, as data. Every action names the state it was decided on (uid, resourceVersion, Raft id); the
 * executor passes these on as preconditions and gives up, without harm, when they do not hold any more.
 */
export type Action = SupportingAction | DecisiveAction;

/** May be several in one plan: they take nothing away from a running member. */
export type SupportingAction = ApplyAction | IssueAuthorityAction | IssueLeavesAction | LabelPodAction;

/** At most one in a plan: they change who is a member, who leads, which pods run or which volumes exist. */
export type DecisiveAction =
  | GrantFoundingAction
  | AddLearnerAction
  | PromoteAction
  | RemoveMemberAction
  | TransferLeadershipAction
  | DeletePodAction
  | DeleteObjectAction;

/** Server-side apply with `force` under the field manager of the operator. */
export interface ApplyAction {
  readonly type: "apply";
  readonly object: KubernetesObject;
  /** Hash of `object`; the executor remembers it together with the resourceVersion of the answer. */
  readonly hash: string;
  /** UID of the object the decision saw; undefined: it saw none, the apply creates it. */
  readonly uid: string | undefined;
}

export type Authority = "client" | "peer";

/** Makes or renews a self-signed CA: fills `ca.crt`, `tls.crt` (the same) and `tls.key` of `secret`. */
export interface IssueAuthorityAction {
  readonly type: "issueAuthority";
  readonly authority: Authority;
  /** The Secret without data. */
  readonly secret: KubernetesObject;
  /** Undefined: it does not exist, and must still not exist when it is written. */
  readonly resourceVersion: string | undefined;
  /** Sign anew with the key that is there, so that all leaves stay valid. */
  readonly keepKey: boolean;
  readonly commonName: string;
  readonly durationSeconds: number;
  readonly reason: string;
}

/** Issues all leaves of one Secret anew, with fresh keys, beside the CA certificates the holder has to trust. */
export interface IssueLeavesAction {
  readonly type: "issueLeaves";
  /** The Secret without data. */
  readonly secret: KubernetesObject;
  readonly resourceVersion: string | undefined;
  readonly leaves: readonly LeafRequest[];
  /** Key in the Secret, and the authority whose certificates go there. */
  readonly trust: readonly { readonly key: string; readonly authority: Authority }[];
  readonly reason: string;
}

export interface LeafRequest {
  readonly authority: Authority;
  readonly certificateKey: string;
  readonly privateKeyKey: string;
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly uris: readonly string[];
  readonly usages: readonly ("serverAuth" | "clientAuth")[];
  /** Cut to the end of the CA. */
  readonly durationSeconds: number;
}

/** Sets labels on one pod; `null` takes a label away. */
export interface LabelPodAction {
  readonly type: "labelPod";
  readonly podName: string;
  readonly podUid: string;
  readonly labels: Readonly<Record<string, string | null>>;
}

/** Where the executor finds the admin door of a member. */
export interface MemberTarget {
  readonly memberName: string;
  readonly podName: string;
  readonly podUid: string;
}

/** POST /admin/v1/grant. Only planned when `status` already holds the cluster id and the volume. */
export interface GrantFoundingAction {
  readonly type: "grantFounding";
  readonly target: MemberTarget;
  readonly clusterId: string;
  readonly clusterUid: string;
  readonly size: number;
  readonly volumeClaimName: string;
  readonly volumeClaimUid: string;
}

/** POST /admin/v1/members at the leader. */
export interface AddLearnerAction {
  readonly type: "addLearner";
  readonly leader: MemberTarget;
  readonly memberName: string;
  readonly peerUrls: readonly string[];
}

/** POST /admin/v1/members/<id>/promote at the leader. */
export interface PromoteAction {
  readonly type: "promote";
  readonly leader: MemberTarget;
  readonly memberName: string;
  readonly memberId: string;
}

/** DELETE /admin/v1/members/<id> at the leader. */
export interface RemoveMemberAction {
  readonly type: "removeMember";
  readonly leader: MemberTarget;
  readonly memberName: string;
  readonly memberId: string;
  readonly reason: string;
}

/** POST /admin/v1/transfer at the leader. */
export interface TransferLeadershipAction {
  readonly type: "transferLeadership";
  readonly leader: MemberTarget;
  readonly toName: string;
  readonly toId: string;
  readonly reason: string;
}

/** Delete one pod, with its UID as precondition; its StatefulSet makes it again from the current template. */
export interface DeletePodAction {
  readonly type: "deletePod";
  readonly podName: string;
  readonly podUid: string;
  readonly reason: string;
}

/** Delete with UID as precondition. A StatefulSet takes its pod along (background propagation). */
export interface DeleteObjectAction {
  readonly type: "deleteObject";
  readonly apiVersion: string;
  readonly kind: "StatefulSet" | "PersistentVolumeClaim" | "PodDisruptionBudget" | "Secret";
  readonly name: string;
  readonly uid: string;
  readonly reason: string;
}

const SUPPORTING: ReadonlySet<Action["type"]> = new Set(["apply", "issueAuthority", "issueLeaves", "labelPod"]);

/** Whether the action counts towards "at most one in a plan". */
export function isDecisive(action: Action): action is DecisiveAction {
  return !SUPPORTING.has(action.type);
}
