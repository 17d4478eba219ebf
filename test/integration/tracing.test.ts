import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { jsonLogger } from "../../node/observability/log.ts";
import { etcdClient } from "../support/open-doors.ts";
import { ServerCluster } from "../support/server-cluster.ts";

// Traces of real members, as a receiver of OTLP over HTTP gets them.

const WAIT = { timeout: 60_000, interval: 50 };
const CLIENT_SPAN = "00f067aa0ba902b7";

interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  /** Of the service: the member's name. */
  readonly instance: string;
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string };
}

interface ReceivedBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly Omit<ReceivedSpan, "instance">[] }[];
  }[];
}

let receiver: Server;
let cluster: ServerCluster;
const spans: ReceivedSpan[] = [];
const lines: Record<string, unknown>[] = [];
let traces = 0;

beforeAll(async () => {
  receiver = createServer((request, response) => {
    void receive(request).then(() => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const { port } = receiver.address() as AddressInfo;
  const stream = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  cluster = await ServerCluster.start(jsonLogger({ level: "warn", stream }), [
    `--otlp-endpoint=http://127.0.0.1:${port}/`,
    "--distributed-tracing-service-name=store",
    "--warning-unary-request-duration=1ms",
  ]);
}, 90_000);

afterAll(async () => {
  await cluster.stop();
  receiver.closeAllConnections();
  await new Promise((resolve) => receiver.close(resolve));
});

async function receive(request: IncomingMessage): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  if (request.url !== "/v1/traces") throw new Error(`Unexpected ${request.url ?? ""}`);
  const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString()) as ReceivedBody;
  for (const { resource, scopeSpans } of resourceSpans) {
    const attribute = (name: string): string =>
      resource.attributes.find(({ key }) => key === name)?.value.stringValue ?? "";
    expect(attribute("service.name")).toBe("store");
    const instance = attribute("service.instance.id");
    for (const scope of scopeSpans) spans.push(...scope.spans.map((span) => ({ ...span, instance })));
  }
}

/** A trace of a client that samples it. */
function newTrace(): { readonly traceId: string; readonly traceparent: string } {
  traces += 1;
  const traceId = traces.toString(16).padStart(32, "0");
  return { traceId, traceparent: `00-${traceId}-${CLIENT_SPAN}-01` };
}

async function traceOf(traceId: string, count: number): Promise<ReceivedSpan[]> {
  const found = (): ReceivedSpan[] => spans.filter((span) => span.traceId === traceId);
  await expect.poll(() => found().length, WAIT).toBeGreaterThanOrEqual(count);
  return found();
}

function expectOneWrite(found: readonly ReceivedSpan[], door: string): void {
  const [atDoor, ...moreDoors] = found.filter((span) => span.parentSpanId === CLIENT_SPAN);
  expect(atDoor?.name).toBe(door);
  expect(moreDoors).toEqual([]);
  const below = found.filter((span) => span.parentSpanId === atDoor?.spanId);
  expect(below.map(({ name }) => name).toSorted()).toEqual(["apply", "apply", "apply", "raft"]);
  const applies = below.filter(({ name }) => name === "apply");
  expect(applies.map(({ instance }) => instance).toSorted()).toEqual(["a", "b", "c"]);
  const raft = below.find(({ name }) => name === "raft");
  const own = applies.find(({ instance }) => instance === raft?.instance);
  expect(BigInt(own?.startTimeUnixNano ?? 0)).toBeGreaterThanOrEqual(BigInt(raft?.startTimeUnixNano ?? 0));
  for (const { startTimeUnixNano, endTimeUnixNano } of found)
    expect(BigInt(endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(startTimeUnixNano));
}

test("one trace from the door through Raft to the apply at every member, whichever door and member it came to", async () => {
  for (const url of cluster.urls) {
    const grpc = newTrace();
    const client = etcdClient(url.slice("http://".length));
    const put = { key: Buffer.from("k"), value: Buffer.from("v") };
    await client.call("KV", "Put", put, { traceparent: grpc.traceparent });
    client.close();
    const rest = newTrace();
    const headers = { traceparent: rest.traceparent };
    expect((await fetch(`${url}/api/v1/kv/k`, { method: "PUT", body: "v", headers })).ok).toBe(true);
    const gateway = newTrace();
    const body = JSON.stringify({ key: "aw==", value: "dg==" });
    const answer = await fetch(`${url}/v3/kv/put`, {
      method: "POST",
      body,
      headers: { traceparent: gateway.traceparent },
    });
    expect(answer.ok).toBe(true);
    expectOneWrite(await traceOf(grpc.traceId, 5), "etcdserverpb.KV/Put");
    expectOneWrite(await traceOf(rest.traceId, 5), "http kv");
    expectOneWrite(await traceOf(gateway.traceId, 5), "etcdserverpb.KV/Put");
  }
});

test("what its client does not sample leaves no span, nor does what has no trace of its own", async () => {
  const [url = ""] = cluster.urls;
  const { traceId, traceparent } = newTrace();
  const put = async (headers: Record<string, string>): Promise<void> => {
    expect((await fetch(`${url}/api/v1/kv/k`, { method: "PUT", body: "v", headers })).ok).toBe(true);
  };
  await put({ traceparent: traceparent.replace(/01$/, "00") });
  await put({ traceparent: "00-nonsense" });
  await put({});
  const marker = newTrace();
  await put({ traceparent: marker.traceparent });
  await traceOf(marker.traceId, 5);
  expect(spans.filter((span) => span.traceId === traceId)).toEqual([]);
  expect(spans.filter((span) => span.parentSpanId === undefined)).toEqual([]);
});

test("the log names the trace of a request that took long", async () => {
  const [url = ""] = cluster.urls;
  const { traceId, traceparent } = newTrace();
  await expect
    .poll(async () => {
      await fetch(`${url}/api/v1/kv/k`, { method: "PUT", body: "v", headers: { traceparent } });
      return lines.find((line) => line["trace_id"] === traceId);
    }, WAIT)
    .toMatchObject({ level: "warn", message: "A request took long", door: "http", operation: "kv", status: 200 });
});
