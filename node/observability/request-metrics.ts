import { Counter, type Registry } from "prom-client";
import { CHANNELS } from "./channels.ts";
import { type ApiRequest, type NodeHandle, type RequestFinished, type RequestKind } from "./events.ts";
import { listen } from "./listen.ts";
import { addTallies, Tally } from "./tally.ts";

/** From a cached read to a write across continents, seconds. */
const DURATION_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Names of gRPC's codes as Go writes them, by number. */
const GRPC_CODES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

const GRPC_TYPES: Readonly<Record<RequestKind, string>> = {
  unary: "unary",
  serverStream: "server_stream",
  bidiStream: "bidi_stream",
};

/** What became of the requests of one door to one operation. */
interface Operation {
  readonly door: ApiRequest["door"];
  readonly name: string;
  /** Empty where it is no method of gRPC's. */
  readonly service: string;
  readonly kind: RequestKind;
  started: number;
  readonly finished: Map<number, number>;
  readonly durations: Tally;
}

/**
 * Counts requests, under Concord's names and, those of etcd's methods, under the names that gRPC servers in Go have. etcd's
 * own gateway calls its gRPC server, so its requests are counted there too.
 *
 * @returns What ends the counting.
 */
export function addRequestMetrics(registers: Registry[], node: NodeHandle): () => void {
  const operations = new Map<string, Operation>();
  const operationOf = ({ door, service, operation, kind }: ApiRequest): Operation => {
    const key = `${door}/${service}/${operation}`;
    const known = operations.get(key);
    if (known !== undefined) return known;
    const durations = new Tally(DURATION_BUCKETS);
    const made = { door, name: operation, service, kind, started: 0, finished: new Map<number, number>(), durations };
    operations.set(key, made);
    return made;
  };
  addCounters(registers, () => operations.values());
  addHistograms(registers, () => [...operations.values()]);
  const ends = [
    listen(CHANNELS.started, node, (request) => (operationOf(request).started += 1)),
    listen(CHANNELS.finished, node, ({ request, status, durationMs }: RequestFinished) => {
      const { finished, durations } = operationOf(request);
      finished.set(status, (finished.get(status) ?? 0) + 1);
      durations.add(durationMs);
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}

function addCounters(registers: Registry[], operations: () => Iterable<Operation>): void {
  new Counter({
    name: "concord_requests_total",
    help: "Finished requests by door, operation and status (gRPC code or HTTP status)",
    labelNames: ["door", "operation", "status"],
    registers,
    collect() {
      this.reset();
      for (const { door, name, finished } of operations())
        for (const [status, count] of finished) this.inc({ door, operation: name, status: String(status) }, count);
    },
  });
  new Counter({
    name: "grpc_server_started_total",
    help: "Calls of etcd's methods that began, over gRPC or the JSON gateway",
    labelNames: ["grpc_type", "grpc_service", "grpc_method"],
    registers,
    collect() {
      this.reset();
      for (const each of operations()) if (each.service !== "") this.inc(grpcLabels(each), each.started);
    },
  });
  new Counter({
    name: "grpc_server_handled_total",
    help: "Calls of etcd's methods that ended, by code",
    labelNames: ["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
    registers,
    collect() {
      this.reset();
      for (const each of operations()) {
        if (each.service === "") continue;
        for (const [code, count] of each.finished)
          this.inc({ ...grpcLabels(each), grpc_code: GRPC_CODES[code] ?? "Unknown" }, count);
      }
    },
  });
}

function addHistograms(registers: Registry[], operations: () => readonly Operation[]): void {
  addTallies(
    registers,
    {
      name: "concord_request_duration_seconds",
      help: "How long requests took",
      labelNames: ["door", "operation"],
    },
    () => operations().map(({ door, name, durations }) => [{ door, operation: name }, durations]),
  );
  addTallies(
    registers,
    {
      name: "grpc_server_handling_seconds",
      help: "How long calls of etcd's methods took, over gRPC or the JSON gateway",
      labelNames: ["grpc_type", "grpc_service", "grpc_method"],
    },
    () => {
      const methods = new Map<string, readonly [ReturnType<typeof grpcLabels>, Tally]>();
      for (const each of operations()) {
        if (each.service === "") continue;
        const key = `${each.service}/${each.name}`;
        const [, tally] = methods.get(key) ?? [grpcLabels(each), new Tally(DURATION_BUCKETS)];
        tally.merge(each.durations);
        methods.set(key, [grpcLabels(each), tally]);
      }
      return methods.values();
    },
  );
}

function grpcLabels({ kind, service, name }: Operation): Record<"grpc_type" | "grpc_service" | "grpc_method", string> {
  return { grpc_type: GRPC_TYPES[kind], grpc_service: service, grpc_method: name };
}
