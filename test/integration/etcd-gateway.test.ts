import { once } from "node:events";
import { request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EtcdDoor } from "../../node/api/etcd/door.ts";
import { Gateway } from "../../node/api/gateway/gateway.ts";
import { HttpDoor } from "../../node/api/http/door.ts";
import { RequestEvents } from "../../node/api/request-events.ts";
import { SILENT_LOGGER } from "../../node/observability/log.ts";
import { Services } from "../../node/service/services.ts";
import { LocalNode } from "../support/local-node.ts";
import { etcdClient, openDoors, rawExchange, type OpenDoors } from "../support/open-doors.ts";
import { ConcordError } from "../../node/client/errors.ts";

let doors: OpenDoors;

beforeEach(async () => {
  doors = await openDoors({ maxRequestBytes: 100_000 });
});

afterEach(() => doors.close());

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

async function post(path: string, body: object | string, headers: Record<string, string> = {}): Promise<Answer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(doors.url + path, { method: "POST", body: text, headers });
  return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

const put = (key: string, value: string, more: object = {}): Promise<Answer> =>
  post("/v3/kv/put", { key: base64(key), value: base64(value), ...more });

/** A streaming call: lines of the answer, and a body that stays open until `finish`. */
class Stream {
  readonly #request: ClientRequest;
  readonly #answer: Promise<IncomingMessage>;
  readonly #lines: Promise<AsyncIterator<string>>;

  constructor(path: string, headers: Record<string, string> = {}, url = doors.url) {
    this.#request = httpRequest(url + path, { method: "POST", headers });
    this.#request.on("error", () => undefined);
    this.#request.flushHeaders();
    this.#answer = once(this.#request, "response").then(([answer]) => answer as IncomingMessage);
    this.#lines = this.#answer.then((answer) => {
      answer.on("error", () => undefined);
      return createInterface(answer)[Symbol.asyncIterator]();
    });
  }

  send(...messages: object[]): void {
    this.#request.write(messages.map((message) => JSON.stringify(message)).join(""));
  }

  write(text: string): void {
    this.#request.write(text);
  }

  finish(): void {
    this.#request.end();
  }

  cancel(): void {
    this.#request.destroy();
  }

  async status(): Promise<number> {
    return (await this.#answer).statusCode ?? 0;
  }

  /** The next line of the answer; undefined at its end. */
  async next(): Promise<unknown> {
    const { value, done } = await (await this.#lines).next();
    return done === true ? undefined : JSON.parse(value);
  }
}

describe("keys and values", () => {
  test("put, range and delete, under the names and in the forms of etcd", async () => {
    const written = await put("foo", "bar");
    const header = { cluster_id: "13835058055282163713", member_id: "161", raft_term: expect.any(String) };
    expect(written).toMatchObject({ status: 200, body: { header: { ...header, revision: "2" } } });
    expect(written.headers.get("content-type")).toBe("application/json");
    expect(written.headers.get("grpc-metadata-content-type")).toBe("application/grpc");
    const row = { key: "Zm9v", create_revision: "2", mod_revision: "2", version: "1", value: "YmFy" };
    const { body } = await post("/v3/kv/range", { key: "Zm9v", rangeEnd: "Zm9w", sort_order: "DESCEND", limit: "5" });
    expect(body).toEqual({ header: { ...header, revision: "2" }, kvs: [row], count: "1" });
    const deleted = await post("/v3/kv/deleterange", { key: "Zm9v", prevKv: true });
    expect(deleted.body).toEqual({ header: { ...header, revision: "3" }, deleted: "1", prev_kvs: [row] });
    expect((await post("/v3/kv/range", { key: "Zm9v" })).body).toEqual({ header: { ...header, revision: "3" } });
  });

  test("curl's content type is accepted, and the connection serves the next request", async () => {
    const one = (length: number, body: string, more = ""): string =>
      "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n" +
      `${more}Content-Length: ${length}\r\n\r\n${body}`;
    const body = '{"key":"Zm9v"}\n';
    const answer = await rawExchange(
      doors.port,
      one(body.length, body) + one(1, "{") + one(body.length, body, "Connection: close\r\n"),
    );
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 400", "HTTP/1.1 200"]);
  });

  test("a txn in a txn, in etcd's form and in that of Go's structs", async () => {
    const txn = (create: number, wrapped: boolean): object => {
      const wrap = (name: string, chosen: object): object => (wrapped ? { [name]: chosen } : chosen);
      return {
        compare: [{ target: "CREATE", key: "Zm9v", ...wrap("TargetUnion", { create_revision: create }) }],
        success: [wrap("Request", { request_put: { key: "Zm9v", value: "YmFy" } })],
        failure: [wrap("Request", { request_txn: { success: [wrap("Request", { requestRange: { key: "Zm9v" } })] } })],
      };
    };
    expect((await post("/v3/kv/txn", txn(0, false))).body).toMatchObject({
      succeeded: true,
      responses: [{ response_put: { header: { revision: "2" } } }],
    });
    const nested = { responses: [{ response_range: { kvs: [{ value: "YmFy" }], count: "1" } }], succeeded: true };
    for (const wrapped of [false, true]) {
      const { body } = await post("/v3/kv/txn", txn(0, wrapped));
      expect(body).toMatchObject({ responses: [{ response_txn: nested }] });
      expect(body).not.toHaveProperty("succeeded");
    }
    expect((await post("/v3/kv/txn", txn(2, true))).body).toMatchObject({ succeeded: true });
  });

  test("what goes in here comes out over gRPC, and a write may be tried again", async () => {
    const retried = { "idempotency-key": "once" };
    const request = { key: base64("k"), value: base64("v") };
    expect((await post("/v3/kv/put", request, retried)).body).toMatchObject({ header: { revision: "2" } });
    expect((await post("/v3/kv/put", request, retried)).body).toMatchObject({ header: { revision: "2" } });
    const etcd = etcdClient(doors.url.slice("http://".length));
    const { kvs } = await etcd.call("KV", "Range", { key: Buffer.from("k") });
    expect(kvs[0]).toMatchObject({ value: Buffer.from("v"), version: "1" });
    etcd.close();
  });
});

describe("leases, members, maintenance", () => {
  test("grant, time to live, list, keepalive and revoke, by both paths", async () => {
    expect((await post("/v3/lease/grant", { TTL: 100, ID: "9007199254740993" })).body).toMatchObject({
      ID: "9007199254740993",
      TTL: "100",
    });
    await put("k", "v", { lease: "9007199254740993" });
    for (const path of ["/v3/lease/timetolive", "/v3/kv/lease/timetolive"]) {
      const { body } = await post(path, { ID: "9007199254740993", keys: true });
      expect(body).toMatchObject({ grantedTTL: "100", keys: [base64("k")] });
    }
    for (const path of ["/v3/lease/leases", "/v3/kv/lease/leases"]) {
      expect((await post(path, "")).body).toMatchObject({ leases: [{ ID: "9007199254740993" }] });
    }
    const alive = await post("/v3/lease/keepalive", { ID: "9007199254740993" });
    expect(alive.body).toMatchObject({ result: { ID: "9007199254740993", TTL: "100" } });
    expect((await post("/v3/kv/lease/revoke", { ID: "9007199254740993" })).status).toBe(200);
    expect(await post("/v3/lease/revoke", { ID: "9007199254740993" })).toMatchObject({
      status: 404,
      body: { code: 5, message: "etcdserver: requested lease not found" },
    });
    const gone = (await post("/v3/lease/keepalive", { ID: "9007199254740993" })).body as { result: object };
    expect(gone.result).not.toHaveProperty("TTL");
  });

  test("members and maintenance", async () => {
    expect((await post("/v3/cluster/member/list", {})).body).toMatchObject({
      members: [{ ID: "161", name: "a", peerURLs: ["http://127.0.0.1:2380"] }],
    });
    expect((await post("/v3/maintenance/status", {})).body).toMatchObject({ version: "3.6.0", leader: "161" });
    expect((await post("/v3/maintenance/hashkv", {})).body).toMatchObject({ hash_revision: "1" });
    const alarm = { action: "ACTIVATE", alarm: "NOSPACE", memberID: 161 };
    expect((await post("/v3/maintenance/alarm", alarm)).body).toMatchObject({
      alarms: [{ memberID: "161", alarm: "NOSPACE" }],
    });
    expect(await put("k", "v")).toMatchObject({ status: 429, body: { code: 8 } });
    await post("/v3/maintenance/alarm", { action: "DEACTIVATE" });
    expect((await put("k", "v")).status).toBe(200);
    expect(await post("/v3/cluster/member/update", { ID: "161" })).toMatchObject({ status: 400, body: { code: 3 } });
    expect(await post("/v3/auth/status", {})).toMatchObject({ status: 200, body: { authRevision: "1" } });
  });

  test("a snapshot is a stream of pieces with etcd's padding behind them", async () => {
    await put("k", "v");
    const answer = await fetch(`${doors.url}/v3/maintenance/snapshot`, { method: "POST" });
    const lines = (await answer.text()).trim().split("\n");
    const pieces = lines.map((line) => JSON.parse(line) as { result: { blob: string } });
    const bytes = Buffer.concat(pieces.map(({ result }) => Buffer.from(result.blob, "base64")));
    expect((bytes.length - 32) % 512).toBe(0);
    expect(bytes.length).toBeGreaterThan(32);
  });
});

describe("watch", () => {
  test("events come line by line; a body that has ended does not end the watch", async () => {
    const stream = new Stream("/v3/watch");
    stream.send({ create_request: { key: base64("k"), prev_kv: true } });
    stream.finish();
    expect(await stream.status()).toBe(200);
    expect(await stream.next()).toMatchObject({ result: { header: { revision: "1" }, created: true } });
    await put("k", "1");
    expect(await stream.next()).toEqual({
      result: {
        header: expect.objectContaining({ revision: "2" }),
        events: [{ kv: { key: base64("k"), create_revision: "2", mod_revision: "2", version: "1", value: "MQ==" } }],
      },
    });
    await post("/v3/kv/deleterange", { key: base64("k") });
    expect(await stream.next()).toMatchObject({
      result: { events: [{ type: "DELETE", kv: { mod_revision: "3" }, prev_kv: { value: "MQ==" } }] },
    });
    stream.cancel();
  });

  test("an open body goes on with requests: more watches, progress, cancel", async () => {
    const stream = new Stream("/v3/watch");
    stream.send({ create_request: { key: base64("a"), watch_id: "7" } }, { createRequest: { key: base64("b") } });
    expect(await stream.next()).toMatchObject({ result: { watch_id: "7", created: true } });
    expect(await stream.next()).toMatchObject({ result: { created: true } });
    stream.write('\n{"progress_re');
    stream.write('quest":{}} ');
    expect(await stream.next()).toMatchObject({ result: { watch_id: "-1", header: { revision: "1" } } });
    stream.send({ cancel_request: { watch_id: 7 } });
    expect(await stream.next()).toMatchObject({ result: { watch_id: "7", canceled: true } });
    await put("a", "1");
    await put("b", "1");
    expect(await stream.next()).toMatchObject({ result: { events: [{ kv: { key: base64("b") } }] } });
    stream.cancel();
  });

  test("a compacted start is cancelled with the revision to go on from", async () => {
    for (const value of ["1", "2", "3"]) await put("k", value);
    await post("/v3/kv/compaction", { revision: "3" });
    const stream = new Stream("/v3/watch");
    stream.send({ create_request: { key: base64("k"), start_revision: "2" } });
    expect(await stream.next()).toMatchObject({ result: { created: true } });
    expect(await stream.next()).toMatchObject({ result: { canceled: true, compact_revision: "3" } });
    stream.cancel();
  });

  test("a client that goes away takes its watches with it", async () => {
    const open = async (): Promise<string> => (await fetch(`${doors.metricsUrl}/metrics`)).text();
    const stream = new Stream("/v3/watch");
    stream.send({ create_request: { key: base64("k") } });
    await stream.next();
    expect(await open()).toContain("concord_watches_open 1");
    stream.cancel();
    await expect.poll(open).toContain("concord_watches_open 0");
  });

  test("a bad message behind a good one ends the stream with an error in a line of its own", async () => {
    const stream = new Stream("/v3/watch");
    stream.send({ create_request: { key: base64("k") } });
    expect(await stream.next()).toMatchObject({ result: { created: true } });
    stream.write('{"create_request":{"key":"!"}}');
    const message = 'etcdserver: create_request.key is "!", expected bytes in base64';
    const facts = { grpc_code: 3, http_code: 400, http_status: "Bad Request", code: 3, message, details: [] };
    expect(await stream.next()).toEqual({ error: facts });
    expect(await stream.next()).toBeUndefined();
  });

  test.each([
    "",
    "{}",
    '{"key":"Zm9v"}',
    '{"progress_request":{}}',
    "garbage",
    '{"create_request":{"key":"!"}}',
    '{"create_',
  ])("the body %j, which asks for no watch, is refused at once", async (body) => {
    expect(await post("/v3/watch", body)).toMatchObject({ status: 400, body: { code: 3 } });
  });

  test("a server that stops says so in the stream", async () => {
    const stream = new Stream("/v3/watch");
    stream.send({ create_request: { key: base64("k") } });
    await stream.next();
    await doors.close();
    expect(await stream.next()).toMatchObject({
      error: { code: 14, grpc_code: 14, message: "etcdserver: server stopped" },
    });
    expect(await stream.next()).toBeUndefined();
    doors = await openDoors();
  });

  test("a reader that falls behind gets everything once it reads", async () => {
    const socket = connect(doors.port, "127.0.0.1");
    const body = JSON.stringify({ create_request: { key: base64("k") } });
    socket.write(`POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await once(socket, "readable");
    const value = "v".repeat(90_000);
    const count = 100;
    for (let at = 0; at < count; at += 1) await put("k", value);
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    const revision = `"mod_revision":"${count + 1}"`;
    await expect.poll(() => text.includes(revision), { timeout: 5000 }).toBe(true);
    const revisions = [...text.matchAll(/"mod_revision":"(\d+)"/g)].map(([, each]) => Number(each));
    expect(revisions).toEqual(Array.from({ length: count }, (_, at) => at + 2));
    socket.destroy();
  });
});

describe("keepalive", () => {
  test("every message has its answer in order, and the end of the body ends the stream", async () => {
    await post("/v3/lease/grant", { TTL: 100, ID: 77 });
    const stream = new Stream("/v3/lease/keepalive");
    stream.send({ ID: 77 }, { ID: "78" }, { ID: "77" });
    expect(await stream.next()).toMatchObject({ result: { ID: "77", TTL: "100" } });
    expect(((await stream.next()) as { result: object }).result).toEqual({ header: expect.anything(), ID: "78" });
    expect(await stream.next()).toMatchObject({ result: { ID: "77", TTL: "100" } });
    stream.send({ ID: "77" });
    expect(await stream.next()).toMatchObject({ result: { TTL: "100" } });
    stream.finish();
    expect(await stream.next()).toBeUndefined();
  });

  test("more renewals than may wait are all answered, and an empty body has none", async () => {
    await post("/v3/lease/grant", { TTL: 100, ID: 77 });
    const answer = await fetch(`${doors.url}/v3/lease/keepalive`, { method: "POST", body: '{"ID":77}'.repeat(2500) });
    expect((await answer.text()).match(/"TTL":"100"/g)).toHaveLength(2500);
    const empty = await fetch(`${doors.url}/v3/lease/keepalive`, { method: "POST" });
    expect([empty.status, await empty.text()]).toEqual([200, ""]);
  });
});

describe("errors", () => {
  test("all four fields, etcd's text and code, and the gateway's HTTP status", async () => {
    expect(await post("/v3/kv/range", { key: "Zm9v", revision: 99 })).toMatchObject({
      status: 400,
      body: { code: 11 },
    });
    const message = "etcdserver: requested lease not found";
    const { status, body } = await put("k", "v", { lease: "5" });
    expect([status, body]).toEqual([404, { error: message, code: 5, message, details: [] }]);
    expect((await post("/v3/kv/range", "")).body).toMatchObject({ message: "etcdserver: key is not provided" });
    doors.node.situation.nextWriteFails = new ConcordError("CONCORD_OUTCOME_UNKNOWN");
    expect(await put("k", "v")).toMatchObject({
      status: 503,
      body: { code: 14, message: "etcdserver: request timed out" },
    });
  });

  test("without a leader: 503, and metadata come in headers", async () => {
    doors.node.situation.leaderless = true;
    const eventual = { key: "Zm9v", serializable: true };
    expect(await post("/v3/kv/range", { key: "Zm9v" })).toMatchObject({
      status: 503,
      body: { code: 14, message: "etcdserver: no leader" },
    });
    expect((await post("/v3/kv/range", eventual)).status).toBe(200);
    expect((await post("/v3/kv/range", eventual, { "Grpc-Metadata-hasleader": "true" })).status).toBe(503);
    const watch = await post("/v3/watch", { create_request: { key: "Zm9v" } }, { "grpc-metadata-hasleader": "true" });
    expect(watch).toMatchObject({ status: 503, body: { message: "etcdserver: no leader" } });
  });

  test("a watch that wants a leader ends when there is none", async () => {
    const stream = new Stream("/v3/watch", { "grpc-metadata-hasleader": "true" });
    stream.send({ create_request: { key: base64("k") } });
    await stream.next();
    doors.node.situation.leaderless = true;
    expect(await stream.next()).toMatchObject({ error: { code: 14, message: "etcdserver: no leader" } });
  });

  test("the client's time limit", async () => {
    const late = await post("/v3/kv/range", { key: "Zm9v" }, { "grpc-timeout": "1n" });
    expect(late).toMatchObject({ status: 504, body: { code: 4 } });
    expect((await post("/v3/kv/range", { key: "Zm9v" }, { "grpc-timeout": "5S" })).status).toBe(200);
    expect((await post("/v3/kv/range", { key: "Zm9v" }, { "grpc-timeout": "soon" })).body).toMatchObject({
      code: 3,
      message: 'etcdserver: The header Grpc-Timeout is "soon", expected for example 500m or 5S',
    });
    const stream = new Stream("/v3/watch", { "grpc-timeout": "100m" });
    stream.send({ create_request: { key: base64("k") } });
    expect(await stream.next()).toMatchObject({ result: { created: true } });
    expect(await stream.next()).toMatchObject({ error: { code: 4 } });
    expect(await stream.next()).toBeUndefined();
  });

  test("other methods, other paths, web pages", async () => {
    for (const method of ["GET", "PUT", "DELETE", "OPTIONS"]) {
      const answer = await fetch(`${doors.url}/v3/kv/range`, { method });
      expect([answer.status, (await answer.json()) as object]).toMatchObject([501, { code: 12 }]);
    }
    for (const path of ["/v3/bogus", "/v3/", "/v3/kv/range/", "/v3/kv//range", "/v3/kv/%72ange", "/v3/__proto__"]) {
      const answer = await rawExchange(doors.port, `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 404 [^]*"code":5/);
    }
    expect(await post("/v3/kv/put", { key: "Zm9v" }, { origin: "http://evil.example" })).toMatchObject({
      status: 403,
      body: { code: 7 },
    });
    expect((await fetch(`${doors.metricsUrl}/v3/kv/range`, { method: "POST" })).status).toBe(404);
    expect(doors.node.info().revision).toBe(1);
  });
});

describe("bad input is refused with nothing done, and the server lives on", () => {
  afterEach(async () => {
    expect(doors.node.info().revision).toBe(1);
    expect((await post("/v3/kv/range", { key: "Zm9v" })).status).toBe(200);
  });

  test.each([
    ["bad base64", '{"key":"Zm9v!"}'],
    ["a number beyond 64 bits", '{"key":"Zm9v","lease":"9223372036854775808"}'],
    ["__proto__ alone", '{"__proto__":{"key":"Zm9v"}}'],
    ["deep JSON", `{"x":${"[".repeat(50_000)}${"]".repeat(50_000)}}`],
    ["two messages", '{"key":"Zm9v"}{"key":"Zm9v"}'],
    ["something behind the message", '{"key":"Zm9v"} x'],
    ["a cut message", '{"key":"Zm9v"'],
    ["an array", "[]"],
  ])("%s", async (_what, body) => {
    const answer = await post("/v3/kv/put", body);
    expect(answer).toMatchObject({ status: 400, body: { code: 3, details: [] } });
    expect((answer.body as { message: string }).message).not.toMatch(/\n|\.ts:|node_modules/);
  });

  test("a txn nested deeper than etcd's clients may", async () => {
    const depth = 40;
    const txn = '{"success":[{"request_txn":'.repeat(depth) + "{}" + "}]}".repeat(depth);
    expect(await post("/v3/kv/txn", txn)).toMatchObject({ status: 400, body: { code: 3 } });
  });

  test("bytes that are no UTF-8", async () => {
    const head = "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 11\r\n\r\n";
    const bytes = Buffer.concat([Buffer.from(`${head}{"key":"`), Buffer.from([0xff]), Buffer.from('"}')]);
    expect(await rawExchange(doors.port, bytes)).toMatch(/^HTTP\/1\.1 400 [^]*not valid UTF-8/);
  });

  test("values, messages and bodies that are too large", async () => {
    const tooLarge = { status: 400, body: { code: 3, message: "etcdserver: request is too large" } };
    expect(await put("k", "v".repeat(700_000))).toMatchObject(tooLarge);
    const head = "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n";
    const refused = await rawExchange(doors.port, `${head}Expect: 100-continue\r\n\r\n`);
    expect(refused).toMatch(/^HTTP\/1\.1 400 [^]*request is too large/);
    const chunk = `10000\r\n{"x":"${"x".repeat(65_530)}\r\n`;
    const endless = `POST /v3/lease/keepalive HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const more = `10000\r\n${"x".repeat(65_536)}\r\n`.repeat(24);
    expect(await rawExchange(doors.port, endless + chunk + more)).toMatch(/^HTTP\/1\.1 400 [^]*request is too large/);
  });

  test("a compressed body", async () => {
    for (const path of ["/v3/kv/put", "/v3/watch"]) {
      expect((await post(path, { key: "Zm9v" }, { "content-encoding": "gzip" })).status).toBe(400);
    }
  });

  test.each(["/v3/kv/put", "/v3/watch", "/v3/lease/keepalive"])(
    "a length that is more than what comes, at %s",
    async (path) => {
      const socket = connect(doors.port, "127.0.0.1");
      socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"key":"Zm9v"`);
      socket.end();
      await once(socket.resume(), "close");
    },
  );

  test("a length that is less than what comes: the rest is no request, and ends the connection", async () => {
    const body = '{"key":"Zm9v"}';
    const head = `POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`;
    const answer = await rawExchange(doors.port, `${head}${body}${body}\r\n\r\n`);
    expect(answer).toContain("The request is not valid HTTP/1.1");
  });
});

test("a body has to arrive in time, unless it is a stream of requests", async () => {
  const node = new LocalNode();
  const services = new Services(node, {
    name: "a",
    clusterUid: "test-uid",
    idempotency: { ttlMs: 86_400_000, budgetBytes: 1 << 29 },
  });
  const events = new RequestEvents(node.handle);
  const etcd = new EtcdDoor(services, {
    events,
    maxRequestBytes: 100_000,
    operationsMax: 128,
    quotaBytes: 1 << 30,
    electionTimeoutMs: 1000,
    progressIntervalMs: 1000,
  });
  const door = new HttpDoor(services, {
    gateway: new Gateway(etcd.methods, { messageBytesMax: etcd.messageBytesMax, events, logger: SILENT_LOGGER }),
    version: "0.0.0-test",
    etcdVersion: "3.6.0",
    certificateNotAfter: () => "",
    metrics: () => Promise.resolve({ text: "", contentType: "text/plain" }),
    valueBytesMax: 100_000,
    progressIntervalMs: 1000,
    healthOnly: false,
    events,
    logger: SILENT_LOGGER,
    bodyTimeoutMs: 200,
  });
  const server = createServer((socket: Socket) => door.accept(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const stream = new Stream("/v3/watch", {}, `http://127.0.0.1:${port}`);
  stream.send({ create_request: { key: base64("k") } });
  expect(await stream.next()).toMatchObject({ result: { created: true } });
  // This one begins later than the stream: when it has been cut off, the stream's time would be over, too.
  for (const path of ["/v3/kv/put", "/api/v1/kv/k"]) {
    const slow = `PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{`;
    const answer = await rawExchange(port, path.startsWith("/v3") ? slow.replace("PUT", "POST") : slow);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  }
  stream.send({ create_request: { key: base64("l") } });
  expect(await stream.next()).toMatchObject({ result: { watch_id: "1", created: true } });
  stream.cancel();
  door.close();
  await etcd.close();
  node.stop();
  server.close();
});

test("switched off, it is not there, and the other doors are", async () => {
  const doors = await openDoors({ enableGrpcGateway: false });
  try {
    const answer = await fetch(`${doors.url}/v3/kv/range`, { method: "POST", body: '{"key":"Zm9v"}' });
    expect(answer.status).toBe(404);
    expect((await fetch(`${doors.url}/api/v1/kv/k`)).headers.get("content-type")).toContain("json");
    expect(await (await fetch(`${doors.metricsUrl}/metrics`)).text()).toContain(
      'concord_requests_total{door="http",operation="other",status="404"} 1',
    );
  } finally {
    await doors.close();
  }
});
