import { type MachineStats } from "./machine-types.ts";
import { type Store } from "./store.ts";

/** Sizes of a store at this moment. */
export function statsOf(store: Store): MachineStats {
  const { revision, compactRevision, committed, versions, leases, records, bytes, liveBytes } = store;
  return {
    revision,
    compactRevision,
    keys: committed.root.live,
    versions: versions.count,
    leases: leases.count,
    records: records.count,
    recordBytes: records.bytes,
    bytes,
    liveBytes,
  };
}
