import { existsSync, readdirSync } from "node:fs";
import { hostname } from "node:os";
import {
  type ClusterOptions,
  type FoundingList,
  type FoundingMember,
  type OpenOptions,
  READY_TIMEOUT_MS,
} from "./api/embed/options.ts";
import { ConcordError } from "./client/errors.ts";
import { findService, firstLabel } from "./transport/tcp/service-search.ts";

/** The founding list of an embedded member, from DNS where its options say so; that takes of the time to be ready. */
export async function foundingList(options: OpenOptions): Promise<FoundingList> {
  const { cluster, dataDir, readyTimeoutMs = READY_TIMEOUT_MS } = options;
  if (cluster === undefined || isList(cluster.members)) {
    const { name = "default" } = options;
    return { name, members: (cluster?.members as readonly FoundingMember[] | undefined) ?? [], readyTimeoutMs };
  }
  const { name = firstLabel(hostname()) } = options;
  const { service, size, servers } = cluster.members;
  if (!(Number.isSafeInteger(size) && size >= 1)) {
    const message = `cluster.members.size is ${size}, expected the number of members that found the cluster`;
    throw new ConcordError("CONCORD_CONFIGURATION_INVALID", message);
  }
  // The list matters only to those who found the cluster.
  const wanted = cluster.state === "existing" || hasData(dataDir) ? 1 : size;
  const began = performance.now();
  const targets = await findService({ service, size: wanted, name, servers, timeoutMs: readyTimeoutMs });
  const scheme = cluster.tls === undefined ? "http" : "https";
  const members = targets.map(({ host, port }) => ({
    name: firstLabel(host),
    peerUrls: [`${scheme}://${host}:${port}`],
  }));
  return { name, members, readyTimeoutMs: Math.max(1, readyTimeoutMs - (performance.now() - began)) };
}

function isList(members: ClusterOptions["members"]): members is readonly FoundingMember[] {
  return !("service" in members);
}

function hasData(dataDir: string | undefined): boolean {
  return dataDir !== undefined && existsSync(dataDir) && readdirSync(dataDir).length > 0;
}
