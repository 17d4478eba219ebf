import { type MethodDefinition } from "@grpc/proto-loader";
import { type EtcdServices, loadEtcdServices } from "../etcd/definition.ts";
import { schemasOf, type MessageSchema } from "./schema.ts";

/** Paths as etcd 3.7 has them, and the methods behind them. */
const PATHS: Readonly<Record<string, readonly [service: keyof EtcdServices, method: string]>> = {
  "/v3/kv/range": ["KV", "Range"],
  "/v3/kv/put": ["KV", "Put"],
  "/v3/kv/deleterange": ["KV", "DeleteRange"],
  "/v3/kv/txn": ["KV", "Txn"],
  "/v3/kv/compaction": ["KV", "Compact"],
  "/v3/watch": ["Watch", "Watch"],
  "/v3/lease/grant": ["Lease", "LeaseGrant"],
  "/v3/lease/revoke": ["Lease", "LeaseRevoke"],
  "/v3/kv/lease/revoke": ["Lease", "LeaseRevoke"],
  "/v3/lease/keepalive": ["Lease", "LeaseKeepAlive"],
  "/v3/lease/timetolive": ["Lease", "LeaseTimeToLive"],
  "/v3/kv/lease/timetolive": ["Lease", "LeaseTimeToLive"],
  "/v3/lease/leases": ["Lease", "LeaseLeases"],
  "/v3/kv/lease/leases": ["Lease", "LeaseLeases"],
  "/v3/cluster/member/add": ["Cluster", "MemberAdd"],
  "/v3/cluster/member/remove": ["Cluster", "MemberRemove"],
  "/v3/cluster/member/update": ["Cluster", "MemberUpdate"],
  "/v3/cluster/member/list": ["Cluster", "MemberList"],
  "/v3/cluster/member/promote": ["Cluster", "MemberPromote"],
  "/v3/maintenance/alarm": ["Maintenance", "Alarm"],
  "/v3/maintenance/status": ["Maintenance", "Status"],
  "/v3/maintenance/defragment": ["Maintenance", "Defragment"],
  "/v3/maintenance/hash": ["Maintenance", "Hash"],
  "/v3/maintenance/hashkv": ["Maintenance", "HashKV"],
  "/v3/maintenance/snapshot": ["Maintenance", "Snapshot"],
  "/v3/maintenance/transfer-leadership": ["Maintenance", "MoveLeader"],
  "/v3/maintenance/downgrade": ["Maintenance", "Downgrade"],
  "/v3/lock/lock": ["Lock", "Lock"],
  "/v3/lock/unlock": ["Lock", "Unlock"],
  "/v3/election/campaign": ["Election", "Campaign"],
  "/v3/election/proclaim": ["Election", "Proclaim"],
  "/v3/election/leader": ["Election", "Leader"],
  "/v3/election/observe": ["Election", "Observe"],
  "/v3/election/resign": ["Election", "Resign"],
  "/v3/auth/status": ["Auth", "AuthStatus"],
};

export interface GatewayRoute {
  /** Of the method, as gRPC has it. */
  readonly method: string;
  readonly request: MessageSchema;
  readonly response: MessageSchema;
  /** Of a request that was read: what gRPC would have sent. */
  readonly serialize: (request: object) => Buffer;
  /** Takes any number of requests. */
  readonly requestStream: boolean;
  /** A body that has a length ends at once: that must not be the end of what it asked for. */
  readonly outlivesBody: boolean;
}

/** Every path of the gateway, those of `/v3beta` not among them. */
export function gatewayRoutes(): ReadonlyMap<string, GatewayRoute> {
  const services = loadEtcdServices();
  const routes = new Map<string, GatewayRoute>();
  for (const [path, [service, name]] of Object.entries(PATHS)) {
    const definition = services[service][name] as MethodDefinition<object, object>;
    routes.set(path, {
      method: definition.path,
      ...schemasOf(definition),
      serialize: definition.requestSerialize,
      requestStream: definition.requestStream,
      outlivesBody: name === "Watch",
    });
  }
  return routes;
}

/** Everything below it is answered in etcd's way, even that there is nothing. */
export function isGatewayPath(path: string): boolean {
  return path.startsWith("/v3/");
}
