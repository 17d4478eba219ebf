import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadSync, type PackageDefinition, type ServiceDefinition } from "@grpc/proto-loader";

/**
 * The version of etcd's API that Concord speaks, for clients that choose features by it. kube-apiserver asks a watch for
 * its progress from 3.5.13 on; 3.6 is the newest minor whose whole KV and Watch behaviour is implemented here.
 */
export const ETCD_API_VERSION = "3.6.0";
/** etcd's storage schema has no counterpart here; clients only compare it with the version. */
export const ETCD_STORAGE_VERSION = "3.6.0";

const PACKAGE_OF = {
  KV: "etcdserverpb",
  Watch: "etcdserverpb",
  Lease: "etcdserverpb",
  Cluster: "etcdserverpb",
  Maintenance: "etcdserverpb",
  Auth: "etcdserverpb",
  Lock: "v3lockpb",
  Election: "v3electionpb",
} as const;

/** The services of the .proto files beside this one, by their names without the package. */
export type EtcdServices = Readonly<Record<keyof typeof PACKAGE_OF, ServiceDefinition>>;

export function loadEtcdServices(): EtcdServices {
  const loaded = loadEtcdPackages();
  const services = Object.entries(PACKAGE_OF).map(([name, from]) => [name, loaded[`${from}.${name}`]]);
  return Object.fromEntries(services) as EtcdServices;
}

let loaded: PackageDefinition | undefined;

/** Reads the .proto files, once: beside this file, or, in a build, in the sources that the package carries along. */
export function loadEtcdPackages(): PackageDefinition {
  if (loaded !== undefined) return loaded;
  const candidates = ["./", "../../../../node/api/etcd/"].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const directory = candidates.find((candidate) => existsSync(join(candidate, "rpc.proto"))) ?? "";
  loaded = loadSync(["rpc.proto", "lock.proto", "election.proto"], {
    includeDirs: [directory],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return loaded;
}
