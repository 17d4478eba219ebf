import { type IssueLeavesAction } from "../plan/actions.ts";
import { issueLeaves } from "../tls/leaves.ts";
import { type ActionContext } from "./context.ts";
import { readAuthority, writeSecret } from "./secret-write.ts";

export async function executeIssueLeaves(context: ActionContext, action: IssueLeavesAction): Promise<void> {
  const authorities = {
    client: await readAuthority(context, "client"),
    peer: await readAuthority(context, "peer"),
  };
  await writeSecret(context, action.secret, await issueLeaves(action, authorities), action.resourceVersion);
}
