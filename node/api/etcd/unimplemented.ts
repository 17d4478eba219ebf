import { ConcordError } from "../../client/errors.ts";
import { type MethodName, type RefusedMethod } from "../grpc/method.ts";
import { grpcStatus } from "./status.ts";

/** What to do instead, where there is something. */
const INSTEAD: Readonly<Record<string, string>> = {
  MemberUpdate: "; remove the member and add it with its new peer URLs",
};

/** A method of etcd's that Concord does not have says so by name. */
export function unimplemented(method: MethodName): RefusedMethod {
  const { name } = method;
  const message = `Concord does not implement ${name}${INSTEAD[name] ?? ""}`;
  return { ...method, type: "refused", status: grpcStatus(new ConcordError("CONCORD_UNIMPLEMENTED", message)) };
}
