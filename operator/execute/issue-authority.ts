import { type IssueAuthorityAction } from "../plan/actions.ts";
import { issueAuthority, renewAuthority } from "../tls/authority.ts";
import { type ActionContext } from "./context.ts";
import { readAuthority, writeSecret } from "./secret-write.ts";

export async function executeIssueAuthority(context: ActionContext, action: IssueAuthorityAction): Promise<void> {
  const pair = action.keepKey
    ? await renewAuthority((await readAuthority(context, action.authority)).pair, action)
    : await issueAuthority(action);
  const data = { "ca.crt": pair.certificate, "tls.crt": pair.certificate, "tls.key": pair.privateKey };
  await writeSecret(context, action.secret, data, action.resourceVersion);
}
