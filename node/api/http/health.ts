import { ConcordError } from "../../client/errors.ts";
import { type NodeInfo } from "../../runtime/node-api.ts";
import { type Exchange } from "./exchange.ts";

/** Less than the second that Kubernetes gives a probe by default. */
const READY_TIMEOUT_MS = 800;

export interface HealthOptions {
  readonly etcdVersion: string;
  /** The Prometheus text and its content type. */
  readonly metrics: () => Promise<{ readonly text: string; readonly contentType: string }>;
}

interface Check {
  readonly name: string;
  /** Undefined: passed. */
  readonly failure: string | undefined;
}

const ROUTES: Readonly<Record<string, (exchange: Exchange, options: HealthOptions) => Promise<void> | void>> = {
  // The process answers, so its loop runs. Never about the quorum: restarting a member does not bring one back.
  "/livez": (exchange) => sendChecks(exchange, [notFailed(exchange.services.info())]),
  // The data directory is open and the state loaded. A member that waits for its cluster has started.
  "/startupz": (exchange) => sendChecks(exchange, [notFailed(exchange.services.info())]),
  "/readyz": async (exchange) => sendChecks(exchange, await readiness(exchange)),
  "/health": etcdHealth,
  "/version": (exchange, { etcdVersion }) => {
    exchange.query();
    exchange.send({ etcdserver: etcdVersion, etcdcluster: etcdVersion, storage: etcdVersion });
  },
  "/metrics": async (exchange, { metrics }) => {
    exchange.query();
    const { text, contentType } = await metrics();
    exchange.sendBytes(Buffer.from(text), { "content-type": contentType });
  },
};

/**
 * Probes, versions and metrics: no permission needed, and no key or value in them.
 *
 * @returns Whether the path was one of them.
 */
export async function handleHealth(exchange: Exchange, options: HealthOptions): Promise<boolean> {
  const handle = Object.hasOwn(ROUTES, exchange.path) ? ROUTES[exchange.path] : undefined;
  if (handle === undefined) return false;
  exchange.allowMethods("GET", "HEAD");
  await handle(exchange, options);
  return true;
}

/** Ready: linearizable reads work here and the founding is complete. Every check is made, so that `?verbose` shows all. */
async function readiness(exchange: Exchange): Promise<readonly Check[]> {
  const info = exchange.services.info();
  const checks: Check[] = [
    { name: "running", failure: info.state === "running" ? undefined : `the member is ${info.state}` },
    { name: "leader", failure: info.leaderId === "" ? "no leader is known" : undefined },
  ];
  try {
    await exchange.services.ready({ timeoutMs: READY_TIMEOUT_MS });
    checks.push({ name: "linearizable-read", failure: undefined });
  } catch (error) {
    checks.push({ name: "linearizable-read", failure: ConcordError.is(error) ? error.message : "internal error" });
  }
  return checks;
}

function notFailed(info: NodeInfo): Check {
  return { name: "process", failure: info.state === "failed" ? "the member has failed" : undefined };
}

/** Kubernetes' form: `ok`, or with `?verbose` one line a check. */
function sendChecks(exchange: Exchange, checks: readonly Check[]): void {
  const verbose = exchange.query("verbose").verbose !== undefined;
  const healthy = checks.every((check) => check.failure === undefined);
  const lines = checks.map(({ name, failure }) =>
    failure === undefined ? `[+]${name} ok` : `[-]${name} failed: ${failure}`,
  );
  const text = verbose || !healthy ? `${lines.join("\n")}\n` : "ok";
  exchange.sendBytes(Buffer.from(text), { "content-type": "text/plain; charset=utf-8" }, healthy ? 200 : 503);
}

/** etcd's `/health`: JSON with texts for values; `serializable=true` asks about this member alone. */
async function etcdHealth(exchange: Exchange): Promise<void> {
  const query = exchange.query("serializable", "exclude");
  const info = exchange.services.info();
  let reason = "";
  if (info.alarms.length > 0 && query.exclude?.toString("latin1") !== "NOSPACE") reason = "ALARM NOSPACE";
  else if (query.serializable?.toString("latin1") !== "true") {
    if (info.leaderId === "") reason = "RAFT NO LEADER";
    else {
      const failed = (await readiness(exchange)).find((check) => check.failure !== undefined);
      if (failed !== undefined) reason = `RANGE ERROR:${failed.failure ?? ""}`;
    }
  }
  const body = Buffer.from(JSON.stringify({ health: String(reason === ""), reason }));
  exchange.sendBytes(body, { "content-type": "application/json" }, reason === "" ? 200 : 503);
}
