import { ConcordError, ERROR_TABLE } from "../../client/errors.ts";
import { type NodeInfo } from "../../runtime/node-api.ts";
import { type EtcdCalls, type UnaryHandlers } from "./calls.ts";
import { ETCD_API_VERSION, ETCD_STORAGE_VERSION } from "./definition.ts";
import { type AlarmRequest, type DowngradeRequest, type HashKvRequest, type MoveLeaderRequest } from "./messages.ts";
import { hexId, natural } from "./requests.ts";
import { decimalId } from "./responses.ts";

const ALARM_ACTIONS: Readonly<Record<string, "set" | "clear">> = { ACTIVATE: "set", DEACTIVATE: "clear" };

/** With or without a patch level. */
const VERSION = /^\d+\.\d+(\.\d+)?$/;
/** Without the patch level, as etcd names the version of a cluster. */
const CLUSTER_VERSION = ETCD_API_VERSION.slice(0, ETCD_API_VERSION.lastIndexOf("."));

/** etcdserverpb.Maintenance. Snapshot is a stream of its own. */
export function maintenanceMethods(calls: EtcdCalls, options: { readonly quotaBytes: number }): UnaryHandlers {
  return {
    // Answered from here alone, whatever state the cluster is in: it is how one finds out.
    Status: calls.unary((_request, principal) => {
      const info = calls.services.cluster.info(principal);
      return Promise.resolve({
        header: calls.header(),
        version: ETCD_API_VERSION,
        // Never 0, as it never is at etcd: its clients divide by it.
        dbSize: Math.max(1, info.databaseBytes),
        leader: decimalId(info.leaderId),
        raftIndex: info.commitIndex,
        raftTerm: info.term,
        raftAppliedIndex: info.appliedIndex,
        errors: statusErrors(info),
        dbSizeInUse: info.databaseBytesInUse,
        isLearner: info.role === "learner",
        storageVersion: ETCD_STORAGE_VERSION,
        dbSizeQuota: options.quotaBytes,
        downgradeInfo: { enabled: false },
      });
    }),

    Alarm: calls.unary<AlarmRequest>(async (request, principal, requestOptions) => {
      const { maintenance } = calls.services;
      if (request.action === "GET")
        return { header: calls.header(), alarms: alarmMessages(calls.info(), request.alarm) };
      calls.refuseLearner();
      const action = ALARM_ACTIONS[request.action];
      if (action === undefined || (request.alarm !== "NOSPACE" && !(action === "clear" && request.alarm === "NONE"))) {
        throw new ConcordError("CONCORD_INVALID_ARGUMENT", "Only the alarm NOSPACE can be activated or deactivated");
      }
      const member = hexId(request.memberID);
      // Deactivating for member 0 means every member, which is what `etcdctl alarm disarm` sends.
      const members = member !== "" ? [member] : maintenance.alarms(principal).map((each) => each.member);
      let revision: number | undefined;
      for (const each of members) {
        revision = (await maintenance.setAlarm(principal, action, each, requestOptions)).revision;
      }
      return {
        header: calls.header(revision),
        alarms: members.map((each) => ({ memberID: decimalId(each), alarm: "NOSPACE" })),
      };
    }),

    // Space is in memory and is used again by itself: there is nothing to do, and scripts that ask for it go on.
    Defragment: calls.unary((_request, principal) => {
      calls.services.cluster.info(principal);
      return Promise.resolve({ header: calls.header() });
    }),

    Hash: calls.unary(async (_request, principal, requestOptions) => {
      const { hash } = await calls.services.maintenance.hash(principal, 0, requestOptions);
      return { header: calls.header(), hash: shortHash(hash) };
    }),

    HashKV: calls.unary<HashKvRequest>(async (request, principal, requestOptions) => {
      const wanted = natural(request.revision);
      const { hash, revision, compactRevision } = await calls.services.maintenance.hash(
        principal,
        wanted,
        requestOptions,
      );
      return {
        header: calls.header(),
        hash: shortHash(hash),
        compact_revision: compactRevision,
        hash_revision: revision,
      };
    }),

    // No data here is of a version of etcd's, so there is none to go back to. Cancelling finds nothing to cancel.
    Downgrade: calls.unary<DowngradeRequest>((request, principal) => {
      calls.refuseLearner();
      calls.services.cluster.administratorsInfo(principal);
      if (request.action !== "CANCEL") {
        const known = VERSION.test(request.version);
        throw new ConcordError(known ? "CONCORD_DOWNGRADE_TARGET_INVALID" : "CONCORD_DOWNGRADE_VERSION_FORMAT");
      }
      return Promise.resolve({ header: calls.header(), version: CLUSTER_VERSION });
    }),

    // As at etcd only the leader is asked. Any member could hand the request on, but a client that asks another one has
    // an old picture of the cluster.
    MoveLeader: calls.unary<MoveLeaderRequest>(async (request, principal, requestOptions) => {
      const target = hexId(request.targetID);
      const { leaderId, memberId } = calls.services.header();
      if (leaderId !== memberId) throw new ConcordError("CONCORD_NOT_LEADER");
      if (target === "") throw new ConcordError("CONCORD_BAD_LEADER_TRANSFEREE");
      await calls.services.cluster.transfer(principal, target, requestOptions);
      return { header: calls.header() };
    }),
  };
}

/** The lower half of the store's hash: as good a hash as the whole one, and as wide as etcd's. */
function shortHash(hash: string): number {
  return Number.parseInt(hash.slice(-8), 16);
}

function alarmMessages(info: NodeInfo, wanted: string | number): readonly object[] {
  if (wanted !== "NONE" && wanted !== "NOSPACE") return [];
  return info.alarms.map(({ member }) => ({ memberID: decimalId(member), alarm: "NOSPACE" }));
}

function statusErrors(info: NodeInfo): readonly string[] {
  const errors = info.alarms.map(({ member }) => `memberID:${decimalId(member)} alarm:NOSPACE`);
  return info.leaderId === "" ? [`etcdserver: ${ERROR_TABLE.CONCORD_NO_LEADER.message}`, ...errors] : errors;
}
