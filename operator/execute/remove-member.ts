import { type RemoveMemberAction } from "../plan/actions.ts";
import { type ActionContext, openLeader, readLiveCluster } from "./context.ts";

/** The leader refuses when too few healthy voters would be left. */
export async function executeRemoveMember(context: ActionContext, action: RemoveMemberAction): Promise<void> {
  await readLiveCluster(context);
  const leader = await openLeader(context, action.leader);
  await leader.remove(action.memberId, { signal: context.signal });
}
