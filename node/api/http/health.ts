import { Type } from "typebox";
import { ConcordError } from "../../client/errors.ts";
import { type NodeInfo } from "../../runtime/node-api.ts";
import { type Exchange } from "./exchange.ts";
import { type Answer, json, operation, type OperationGroup, type QueryValues } from "./operation.ts";
import { text } from "./parameters.ts";

/** Less than the second that Kubernetes gives a probe by default. */
const READY_TIMEOUT_MS = 800;

interface Check {
  readonly name: string;
  /** Undefined: passed. */
  readonly failure: string | undefined;
}

const VERBOSE = { verbose: text("One line a check") };
const PLAIN = { "text/plain": Type.String() };
const CHECKS: readonly Answer[] = [
  { description: "Healthy", content: PLAIN },
  { status: 503, description: "Not healthy; one line a check", content: PLAIN },
];
const ETCD_HEALTH_QUERY = {
  serializable: text("`true` asks about this member alone"),
  exclude: text("An alarm that does not count: `NOSPACE`"),
};
const EtcdHealth = Type.Object({ health: Type.Enum(["true", "false"]), reason: Type.String() });
const EtcdVersion = Type.Object({
  etcdserver: Type.String(),
  etcdcluster: Type.String(),
  storage: Type.String(),
});

const live = operation({
  id: "livez",
  method: "GET",
  path: "/livez",
  summary: "Whether the process answers",
  // Never about the quorum: restarting a member does not bring one back.
  description: "It says nothing about the cluster.",
  query: VERBOSE,
  answers: CHECKS,
  handle: (exchange, { query }) => sendChecks(exchange, query, [notFailed(exchange.services.info())]),
});

const started = operation({
  id: "startupz",
  method: "GET",
  path: "/startupz",
  summary: "Whether the data directory is open and the state loaded",
  description: "A member that waits for its cluster has started.",
  query: VERBOSE,
  answers: CHECKS,
  handle: (exchange, { query }) => sendChecks(exchange, query, [notFailed(exchange.services.info())]),
});

const ready = operation({
  id: "readyz",
  method: "GET",
  path: "/readyz",
  summary: "Whether linearizable reads work here and the founding is complete",
  query: VERBOSE,
  answers: CHECKS,
  handle: async (exchange, { query }) => sendChecks(exchange, query, await readiness(exchange)),
});

const health = operation({
  id: "health",
  method: "GET",
  path: "/health",
  summary: "etcd's health",
  query: ETCD_HEALTH_QUERY,
  answers: [
    { description: "Healthy", content: { "application/json": EtcdHealth } },
    { status: 503, description: "Not healthy", content: { "application/json": EtcdHealth } },
  ],
  handle: (exchange, { query }) => etcdHealth(exchange, query),
});

const version = operation({
  id: "version",
  method: "GET",
  path: "/version",
  summary: "The version of etcd's API that is spoken here",
  answers: [json("The version", EtcdVersion)],
  handle: (exchange, _input, { etcdVersion }) =>
    exchange.send({ etcdserver: etcdVersion, etcdcluster: etcdVersion, storage: etcdVersion }),
});

const metrics = operation({
  id: "metrics",
  method: "GET",
  path: "/metrics",
  summary: "Metrics in the text format of Prometheus",
  answers: [{ description: "The metrics", content: PLAIN }],
  async handle(exchange, _input, context) {
    const { text: body, contentType } = await context.metrics();
    exchange.sendBytes(Buffer.from(body), { "content-type": contentType });
  },
});

/** No permission needed, and no key or value in them. */
export const PROBES: OperationGroup = {
  name: "probes",
  description: "Probes, versions and metrics",
  operations: [live, started, ready, health, version, metrics],
};

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
function sendChecks(exchange: Exchange, { verbose }: QueryValues<typeof VERBOSE>, checks: readonly Check[]): void {
  const healthy = checks.every((check) => check.failure === undefined);
  const lines = checks.map(({ name, failure }) =>
    failure === undefined ? `[+]${name} ok` : `[-]${name} failed: ${failure}`,
  );
  const body = verbose !== undefined || !healthy ? `${lines.join("\n")}\n` : "ok";
  exchange.sendBytes(Buffer.from(body), { "content-type": "text/plain; charset=utf-8" }, healthy ? 200 : 503);
}

/** etcd's `/health`: JSON with texts for values; `serializable=true` asks about this member alone. */
async function etcdHealth(exchange: Exchange, query: QueryValues<typeof ETCD_HEALTH_QUERY>): Promise<void> {
  const info = exchange.services.info();
  let reason = "";
  if (info.alarms.length > 0 && query.exclude !== "NOSPACE") reason = "ALARM NOSPACE";
  else if (query.serializable !== "true") {
    if (info.leaderId === "") reason = "RAFT NO LEADER";
    else {
      const failed = (await readiness(exchange)).find((check) => check.failure !== undefined);
      if (failed !== undefined) reason = `RANGE ERROR:${failed.failure ?? ""}`;
    }
  }
  const body = Buffer.from(JSON.stringify({ health: String(reason === ""), reason }));
  exchange.sendBytes(body, { "content-type": "application/json" }, reason === "" ? 200 : 503);
}
