import { type EtcdCalls, type UnaryHandlers } from "./calls.ts";

/** Of a store whose users were never changed. */
const FIRST_REVISION = 1;

/** etcdserverpb.Auth: whether there are users and passwords. There are none, identities come from client certificates. */
export function authMethods(calls: EtcdCalls): UnaryHandlers {
  return {
    AuthStatus: calls.unary((_request, principal) => {
      calls.refuseLearner();
      calls.services.cluster.info(principal);
      return Promise.resolve({ header: calls.header(), enabled: false, authRevision: FIRST_REVISION });
    }),
  };
}
