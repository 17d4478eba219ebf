import {
  type handleUnaryCall,
  type ServerDuplexStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { ConcordError } from "../../client/errors.ts";
import { grpcError } from "./status.ts";

/** What to do instead, where there is something. */
const INSTEAD: Readonly<Record<string, string>> = {
  MemberAdd: "; add members over the admin door",
  MemberRemove: "; remove members over the admin door",
  MemberPromote: "; promote members over the admin door",
  MoveLeader: "; transfer leadership over the admin door",
  Snapshot: "; take snapshots over the admin door",
  HashKV: "; compare members over the admin door",
  Defragment: "; space is reused without it",
};

/** Completes a service: methods that Concord does not have say so by name. */
export function withUnimplemented(
  service: ServiceDefinition,
  methods: UntypedServiceImplementation,
): UntypedServiceImplementation {
  const complete: UntypedServiceImplementation = { ...methods };
  for (const [name, { responseStream }] of Object.entries(service)) {
    if (complete[name] !== undefined) continue;
    const message = `Concord does not implement ${name}${INSTEAD[name] ?? ""}`;
    const failure = (): ReturnType<typeof grpcError> => grpcError(new ConcordError("CONCORD_UNIMPLEMENTED", message));
    const refuseStream = (call: ServerDuplexStream<unknown, unknown>): void => void call.emit("error", failure());
    const refuseUnary: handleUnaryCall<unknown, unknown> = (_call, callback) => callback(failure());
    complete[name] = responseStream ? refuseStream : refuseUnary;
  }
  return complete;
}
