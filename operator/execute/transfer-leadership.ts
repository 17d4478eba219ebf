import { type TransferLeadershipAction } from "../plan/actions.ts";
import { type ActionContext, openLeader, readLiveCluster } from "./context.ts";

export async function executeTransferLeadership(
  context: ActionContext,
  action: TransferLeadershipAction,
): Promise<void> {
  await readLiveCluster(context);
  const leader = await openLeader(context, action.leader);
  await leader.transfer(action.toId, { signal: context.signal });
}
