import { type AddLearnerAction } from "../plan/actions.ts";
import { type ActionContext, openLeader, readLiveCluster } from "./context.ts";

/** The leader asks the new member for its Raft id, and refuses one that is not empty. */
export async function executeAddLearner(context: ActionContext, action: AddLearnerAction): Promise<void> {
  await readLiveCluster(context);
  const leader = await openLeader(context, action.leader);
  await leader.addLearner({ name: action.memberName, peerUrls: [...action.peerUrls] }, { signal: context.signal });
}
