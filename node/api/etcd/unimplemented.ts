import { ConcordError } from "../../client/errors.ts";
import { type RefusedMethod } from "../grpc/method.ts";
import { grpcStatus } from "./status.ts";

/** What to do instead, where there is something. */
const INSTEAD: Readonly<Record<string, string>> = {
  MemberAdd: "; add members over the admin door",
  MemberRemove: "; remove members over the admin door",
  MemberPromote: "; promote members over the admin door",
  Snapshot: "; take snapshots over the admin door",
  HashKV: "; compare members over the admin door",
};

/** A method of etcd's that Concord does not have says so by name. */
export function unimplemented(name: string): RefusedMethod {
  const message = `Concord does not implement ${name}${INSTEAD[name] ?? ""}`;
  return { type: "refused", status: grpcStatus(new ConcordError("CONCORD_UNIMPLEMENTED", message)) };
}
