import {
  type Context,
  defaultTextMapGetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { CHANNELS } from "./channels.ts";
import {
  type ApiRequest,
  type Applied,
  type Committed,
  type Forwarded,
  type NodeHandle,
  type Persisted,
  type Proposed,
  type RequestFinished,
  type TraceContext,
} from "./events.ts";
import { listen } from "./listen.ts";
import { type Logger } from "./log.ts";

export interface TracingOptions {
  /** Where OTLP over HTTP is received, without the path: `http://localhost:4318`. */
  readonly endpoint: string;
  readonly serviceName: string;
  readonly instanceId: string;
  readonly version: string;
  /** Of requests without a trace of their own. Those whose client samples them always are. */
  readonly samplesPerMillion: number;
  readonly logger: Logger;
}

/** What was gathered is sent this often, ms. */
const SEND_PERIOD_MS = 1_000;
const SEND_TIMEOUT_MS = 5_000;
/** When a node stops, the last spans are given this long to leave. */
const CLOSE_MS = 1_000;
/** gRPC codes that are the server's fault, by the conventions of OpenTelemetry. */
const GRPC_FAULTS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);
const propagator = new W3CTraceContextPropagator();

/**
 * Follows requests from their door through the log into the state machine, and sends what is sampled as OpenTelemetry spans:
 * one of the request at its door, and as its children the way through Raft at the leader and the apply at every
 * member. It knows a node by its channels alone.
 */
export class Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer: ReturnType<TracerProvider["getTracer"]>;
  readonly #requests = new WeakMap<ApiRequest, Span>();
  /** By index: in the leader's log, and not committed yet. */
  readonly #proposals = new Map<number, Span>();
  /** What is committed and not applied yet, and since when (monotonic ms). */
  #commits: { readonly lastIndex: number; readonly at: number }[] = [];
  readonly #ends: readonly (() => void)[];

  constructor(node: NodeHandle, options: TracingOptions) {
    const { serviceName, instanceId, version, samplesPerMillion } = options;
    const root =
      samplesPerMillion === 0 ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(samplesPerMillion / 1e6);
    const processor = new BatchSpanProcessor({ exporter: exporterOf(options), scheduledDelayMillis: SEND_PERIOD_MS });
    this.#provider = new TracerProvider({
      sampler: new ParentBasedSampler({ root }),
      resource: resourceFromAttributes({
        "service.name": serviceName,
        "service.instance.id": instanceId,
        "service.version": version,
      }),
      spanProcessors: [processor],
    });
    this.#tracer = this.#provider.getTracer("concord", version);
    this.#ends = [
      listen(CHANNELS.started, node, (request) => this.#started(request)),
      listen(CHANNELS.finished, node, (event) => this.#finished(event)),
      listen(CHANNELS.forwarded, node, (event) => this.#forwarded(event)),
      listen(CHANNELS.proposed, node, (event) => this.#proposed(event)),
      listen(CHANNELS.persisted, node, (event) => this.#persisted(event)),
      listen(CHANNELS.committed, node, (event) => this.#committed(event)),
      listen(CHANNELS.applied, node, (event) => this.#applied(event)),
      listen(CHANNELS.role, node, ({ previous }) => {
        if (previous === "leader") this.#lostOffice();
      }),
    ];
  }

  /** Sends what is left, for a moment. */
  async close(): Promise<void> {
    for (const end of this.#ends) end();
    this.#lostOffice();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_MS)));
    await Promise.race([this.#provider.shutdown().catch(() => undefined), late]);
    clearTimeout(timer);
  }

  #started(request: ApiRequest): void {
    const { traceparent, door, service, operation } = request;
    const parent =
      traceparent === undefined
        ? ROOT_CONTEXT
        : propagator.extract(ROOT_CONTEXT, { traceparent }, defaultTextMapGetter);
    const rpc = service === "" ? {} : { "rpc.system": "grpc", "rpc.service": service, "rpc.method": operation };
    const span = this.#tracer.startSpan(
      service === "" ? `${door} ${operation}` : `${service}/${operation}`,
      { kind: SpanKind.SERVER, attributes: { "concord.door": door, "concord.operation": operation, ...rpc } },
      parent,
    );
    if (!span.isRecording()) return;
    const { traceId, spanId } = span.spanContext();
    request.trace = { traceId, spanId };
    this.#requests.set(request, span);
  }

  #finished({ request, status }: RequestFinished): void {
    const span = this.#requests.get(request);
    if (span === undefined) return;
    const grpc = request.service !== "";
    span.setAttribute(grpc ? "rpc.grpc.status_code" : "http.response.status_code", status);
    if (grpc ? GRPC_FAULTS.has(status) : status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }

  #forwarded({ request, leaderId }: Forwarded): void {
    if (request !== undefined) this.#requests.get(request)?.addEvent("forwarded", { "concord.leader": leaderId });
  }

  #proposed({ index, term, operation, trace: parent }: Proposed): void {
    if (parent === undefined) return;
    const attributes = { "concord.index": index, "concord.term": term, "concord.operation": operation };
    this.#proposals.set(index, this.#tracer.startSpan("raft", { attributes }, contextOf(parent)));
  }

  #persisted({ firstIndex, lastIndex }: Persisted): void {
    for (const [index, span] of this.#proposals)
      if (firstIndex <= index && index <= lastIndex) span.addEvent("persisted");
  }

  #committed({ lastIndex }: Committed): void {
    this.#commits.push({ lastIndex, at: performance.now() });
    for (const [index, span] of this.#proposals) {
      if (index > lastIndex) continue;
      this.#proposals.delete(index);
      span.end();
    }
  }

  #applied({ index, term, operation, ok, trace: parent }: Applied): void {
    const passed = this.#commits.findIndex(({ lastIndex }) => lastIndex >= index);
    if (passed > 0) this.#commits = this.#commits.slice(passed);
    if (parent === undefined) return;
    const attributes = {
      "concord.index": index,
      "concord.term": term,
      "concord.operation": operation,
      "concord.ok": ok,
    };
    const startTime = this.#commits[0]?.at ?? performance.now();
    this.#tracer.startSpan("apply", { attributes, startTime }, contextOf(parent)).end();
  }

  /** What was not committed by then may be or not: nobody here will see it. */
  #lostOffice(): void {
    for (const span of this.#proposals.values()) span.setStatus({ code: SpanStatusCode.ERROR, message: "lost" }).end();
    this.#proposals.clear();
  }
}

/** Only what is sampled is carried, so the parent was. */
function contextOf({ traceId, spanId }: TraceContext): Context {
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true });
}

/** Says when spans cannot be sent, and when they can again; the node goes on either way. */
function exporterOf({ endpoint, logger }: TracingOptions): SpanExporter {
  const inner = new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, timeoutMillis: SEND_TIMEOUT_MS });
  let failing = false;
  return {
    export: (spans, done) =>
      inner.export(spans, (result) => {
        const fails = result.error !== undefined;
        if (fails && !failing) logger.warn("Traces cannot be sent", { endpoint, reason: String(result.error) });
        if (!fails && failing) logger.info("Traces are sent again", { endpoint });
        failing = fails;
        done(result);
      }),
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
  };
}
