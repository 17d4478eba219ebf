import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { loadSync, type PackageDefinition, type ServiceDefinition } from "@grpc/proto-loader";

/**
 * The version of etcd's API that Concord speaks, for clients that choose features by it. kube-apiserver asks a watch for
 * its progress from 3.5.13 on; 3.6 is the newest minor whose whole KV and Watch behaviour is implemented here.
 */
export const ETCD_API_VERSION = "3.6.0";
/** etcd's storage schema has no counterpart here; clients only compare it with the version. */
export const ETCD_STORAGE_VERSION = "3.6.0";

/** The services of rpc.proto by their name without the package. */
export type EtcdServices = Readonly<Record<"KV" | "Watch" | "Lease" | "Cluster" | "Maintenance", ServiceDefinition>>;

export function loadEtcdServices(): EtcdServices {
  const service = (name: string): ServiceDefinition =>
    loadEtcdPackage()[`${ETCD_PACKAGE}.${name}`] as ServiceDefinition;
  return {
    KV: service("KV"),
    Watch: service("Watch"),
    Lease: service("Lease"),
    Cluster: service("Cluster"),
    Maintenance: service("Maintenance"),
  };
}

/** What is in front of the names of services, messages and enums. */
export const ETCD_PACKAGE = "etcdserverpb";

let loaded: PackageDefinition | undefined;

/** Reads rpc.proto, once: beside this file, or, in a build, in the sources that the package carries along. */
export function loadEtcdPackage(): PackageDefinition {
  if (loaded !== undefined) return loaded;
  const candidates = ["./rpc.proto", "../../../../node/api/etcd/rpc.proto"].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const path = candidates.find((candidate) => existsSync(candidate)) ?? candidates[0] ?? "";
  loaded = loadSync(path, { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true });
  return loaded;
}
