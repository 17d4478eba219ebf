import { type VolumeClaimObject } from "../observe/shapes.ts";
import { type GrantFoundingAction } from "../plan/actions.ts";
import { StaleObservationError } from "../runtime/errors.ts";
import { RESOURCES } from "../runtime/kubernetes-object.ts";
import { type ActionContext, openTarget, readLive, readLiveCluster } from "./context.ts";

/**
 * Founds the cluster at one member. Founding twice is the worst an operator can do, so everything the decision rests on
 * is read again: the status that names cluster id and volume (written before), the volume, the pod that mounts it, and
 * the member, which must wait and be empty.
 */
export async function executeGrantFounding(context: ActionContext, action: GrantFoundingAction): Promise<void> {
  const { target } = action;
  const live = await readLiveCluster(context);
  const { clusterID, founding, bootstrapTime } = live.status ?? {};
  if (
    clusterID !== action.clusterId ||
    founding?.member !== target.memberName ||
    founding.volumeClaimUID !== action.volumeClaimUid ||
    founding.size !== action.size ||
    bootstrapTime !== undefined
  ) {
    throw new StaleObservationError("The status does not name this founding");
  }
  await readLive<VolumeClaimObject>(
    context,
    RESOURCES.persistentVolumeClaims,
    action.volumeClaimName,
    action.volumeClaimUid,
  );
  const { admin, pod } = await openTarget(context, target);
  const mounts = pod.spec?.volumes?.some(
    (volume) => volume.persistentVolumeClaim?.claimName === action.volumeClaimName,
  );
  if (mounts !== true) throw new StaleObservationError(`Pod ${target.podName} does not mount the founding volume`);
  const status = await admin.status({ signal: context.signal });
  if (status.state !== "waiting" || status.name !== target.memberName || status.id !== founding.memberID) {
    throw new StaleObservationError(`Member ${target.memberName} does not wait for its founding`);
  }
  await admin.grant(
    {
      clusterId: action.clusterId,
      clusterUid: action.clusterUid,
      size: action.size,
      memberName: target.memberName,
    },
    { signal: context.signal },
  );
}
