import { setTimeout as delay } from "node:timers/promises";
import { ConcordError } from "../../client/errors.ts";
import { NameResolver, type ServiceTarget } from "./resolver.ts";

export interface ServiceSearch {
  /** Of the SRV records. */
  readonly service: string;
  /** Targets to wait for. */
  readonly size: number;
  /** First label of the host of a target that must be among them. */
  readonly name: string;
  /** Name servers to ask instead of the system's. */
  readonly servers?: readonly string[] | undefined;
  readonly timeoutMs: number;
}

/** Time between two looks. What a name server is asked twice a second it answers from memory. */
const INTERVAL_MS = 500;

/**
 * The targets of a service, once there are as many as wanted and the wanted one is among them.
 *
 * @throws ConcordError `CONCORD_TIMEOUT`, with what was found last.
 */
export async function findService(search: ServiceSearch): Promise<readonly ServiceTarget[]> {
  const { service, size, name, servers, timeoutMs } = search;
  const resolver = new NameResolver(servers === undefined ? {} : { servers });
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const { targets, failure } = await look(resolver, service);
    if (targets.length >= size && targets.some(({ host }) => firstLabel(host) === name)) return targets;
    if (performance.now() + INTERVAL_MS > deadline) {
      const found = targets.map(({ host, port }) => `${host}:${port}`).join(", ");
      const seen = failure === undefined ? `found ${found}` : failure.message;
      const wanted = `${size} members, "${name}" among them`;
      throw new ConcordError("CONCORD_TIMEOUT", `The service ${service} did not name ${wanted}: ${seen}`);
    }
    await delay(INTERVAL_MS);
  }
}

export function firstLabel(host: string): string {
  return host.split(".", 1)[0] ?? "";
}

function look(
  resolver: NameResolver,
  service: string,
): Promise<{ readonly targets: readonly ServiceTarget[]; readonly failure: Error | undefined }> {
  return new Promise((resolve) => {
    resolver.resolveService(service, (failure, targets) => resolve({ targets, failure }));
  });
}
