import { type PromoteAction } from "../plan/actions.ts";
import { type ActionContext, openLeader, readLiveCluster } from "./context.ts";

/** The leader refuses a learner that is not close behind. */
export async function executePromote(context: ActionContext, action: PromoteAction): Promise<void> {
  await readLiveCluster(context);
  const leader = await openLeader(context, action.leader);
  await leader.promote(action.memberId, { signal: context.signal });
}
