import { type Action } from "../plan/actions.ts";
import { executeAddLearner } from "./add-learner.ts";
import { executeApply } from "./apply.ts";
import { type ActionContext } from "./context.ts";
import { executeDeleteObject } from "./delete-object.ts";
import { executeDeletePod } from "./delete-pod.ts";
import { executeGrantFounding } from "./grant-founding.ts";
import { executeIssueAuthority } from "./issue-authority.ts";
import { executeIssueLeaves } from "./issue-leaves.ts";
import { executeLabelPod } from "./label-pod.ts";
import { executePromote } from "./promote.ts";
import { executeRemoveMember } from "./remove-member.ts";
import { executeTransferLeadership } from "./transfer-leadership.ts";

/**
 * Carries out one action. Safe to repeat: every action either has its effect once, or finds that the world has moved.
 *
 * @throws StaleObservationError when a precondition does not hold any more; nothing was done
 * @throws ConcordError when a member refuses or does not answer
 * @throws ApiError when the API server refuses
 */
export async function execute(context: ActionContext, action: Action): Promise<void> {
  await context.failpoint(`before:${action.type}`);
  try {
    await dispatch(context, action);
  } finally {
    context.doors.expire(context.cluster);
  }
  await context.failpoint(`after:${action.type}`);
}

function dispatch(context: ActionContext, action: Action): Promise<void> {
  switch (action.type) {
    case "apply":
      return executeApply(context, action);
    case "issueAuthority":
      return executeIssueAuthority(context, action);
    case "issueLeaves":
      return executeIssueLeaves(context, action);
    case "labelPod":
      return executeLabelPod(context, action);
    case "grantFounding":
      return executeGrantFounding(context, action);
    case "addLearner":
      return executeAddLearner(context, action);
    case "promote":
      return executePromote(context, action);
    case "removeMember":
      return executeRemoveMember(context, action);
    case "transferLeadership":
      return executeTransferLeadership(context, action);
    case "deletePod":
      return executeDeletePod(context, action);
    case "deleteObject":
      return executeDeleteObject(context, action);
    default:
      return unreachable(action);
  }
}

function unreachable(action: never): never {
  throw new TypeError(`Cannot execute ${JSON.stringify(action)}`);
}
