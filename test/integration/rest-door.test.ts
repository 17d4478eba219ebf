import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect } from "node:net";
import { AdminClient } from "../../node/client/admin-client.ts";
import { ConcordError } from "../../node/client/errors.ts";
import { HttpConnection, type Call } from "../../node/client/http-connection.ts";
import { KvClient } from "../../node/client/kv-client.ts";
import { openDoors, rawExchange, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;
let http: HttpConnection;
let kv: KvClient;

beforeEach(async () => {
  doors = await openDoors({ maxRequestBytes: 100_000 });
  http = new HttpConnection(doors.url);
  kv = new KvClient(doors.url);
});

afterEach(async () => {
  await Promise.all([http.close(), kv.close()]);
  await doors.close();
});

async function refusal(call: Call): Promise<ConcordError> {
  const outcome = await http.call(call).catch((error: unknown) => error);
  if (ConcordError.is(outcome)) return outcome;
  throw new Error(`${call.method} ${call.path} was answered`);
}

/** One request as bytes, the connection closed behind it. */
const raw = (head: string, body = ""): Promise<string> =>
  rawExchange(doors.port, `${head}\r\nHost: x\r\nConnection: close\r\n\r\n${body}`);
const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);

describe("keys and values", () => {
  test.each(["strong", "leader", "eventual"] as const)(
    "a read that is %s says what it is worth",
    async (consistency) => {
      await kv.put("k", "v");
      expect(await kv.get("k", { consistency, minRevision: 2, maxStalenessMs: 60_000 })).toMatchObject({
        valueText: "v",
      });
      for (const path of ["/api/v1/kv/k", "/api/v1/kv"]) {
        const { headers } = await http.call({ method: "GET", path: `${path}?consistency=${consistency}` });
        expect(headers).toMatchObject({ "concord-consistency": consistency, "concord-term": "2" });
        expect(headers["concord-staleness-ms"]).toBe("0");
      }
      const txn = { success: [{ get: { keyText: "k" } }] };
      const { headers } = await http.call({
        method: "POST",
        path: `/api/v1/txn?consistency=${consistency}`,
        headers: { "content-type": "application/json" },
        body: JSON.stringify(txn),
      });
      expect(headers["concord-consistency"]).toBe(consistency);
    },
  );

  test("a value comes back byte for byte, bare or in JSON", async () => {
    const value = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    expect(await kv.put("k", value)).toEqual({ revision: 2 });
    const bare = await http.call({
      method: "GET",
      path: "/api/v1/kv/k",
      headers: { accept: "application/octet-stream" },
    });
    expect(Buffer.compare(bare.body, value)).toBe(0);
    expect(bare.headers["etag"]).toBe('"2"');
    const row = await kv.get("k");
    expect(row).toEqual({
      key: "aw==",
      keyText: "k",
      value: Buffer.from(value).toString("base64"),
      createRevision: 2,
      modRevision: 2,
      version: 1,
      revision: 2,
    });
  });

  test.each([
    "/a/../b",
    "/a//b",
    "..",
    "%2e%2e",
    "%00",
    "\0",
    "a\nb",
    "é",
    "e\u0301",
    " ",
    "a ",
    "a;b",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "toString",
    "a?b=c#d",
    "ключ",
    "😀".repeat(256),
    "+",
  ])("the key %j is kept as it is", async (key) => {
    await kv.put(key, "v");
    expect((await kv.get(key)).key).toBe(Buffer.from(key).toString("base64"));
    expect((await kv.list(key)).items.map((row) => row.keyText)).toEqual([key]);
    expect(await kv.delete(key)).toMatchObject({ deleted: 1 });
    await expect(kv.get(key)).rejects.toMatchObject({ code: "CONCORD_KEY_NOT_FOUND" });
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("keys that are no UTF-8 have no text", async () => {
    const key = Uint8Array.of(0xff, 0xfe, 0x00);
    await kv.put(key, "v");
    expect(await kv.get(key)).not.toHaveProperty("keyText");
  });

  test("slashes in the path are part of the key, written or escaped", async () => {
    await http.call({ method: "PUT", path: "/api/v1/kv/a/b%2Fc", body: "v" });
    expect((await kv.get("a/b/c")).valueText).toBe("v");
  });

  test("conditions by ETag: create only, replace only what was seen", async () => {
    const path = "/api/v1/kv/k";
    const put = (headers: Record<string, string>): Promise<unknown> =>
      http.call({ method: "PUT", path, headers, body: "v" });
    await expect(put({ "if-match": '"2"' })).rejects.toMatchObject({ code: "CONCORD_CONDITION_FAILED" });
    await put({ "if-none-match": "*" });
    await expect(put({ "if-none-match": "*" })).rejects.toMatchObject({ code: "CONCORD_CONDITION_FAILED" });
    await put({ "if-match": '"2"' });
    await expect(http.call({ method: "DELETE", path, headers: { "if-match": '"2"' } })).rejects.toMatchObject({
      code: "CONCORD_CONDITION_FAILED",
    });
    await http.call({ method: "DELETE", path, headers: { "if-match": '"3"' } });
    await expect(put({ "if-match": "3" })).rejects.toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
  });

  test("a list goes on page by page at the revision of the first page", async () => {
    for (const key of ["p/a", "p/b", "p/c", "q"]) await kv.put(key, key);
    const first = await kv.list("p/", { limit: 2 });
    expect(first.items.map((row) => row.keyText)).toEqual(["p/a", "p/b"]);
    await kv.put("p/bb", "later");
    const second = await kv.list("p/", { limit: 2, cursor: first.cursor, keysOnly: true });
    expect(second).toMatchObject({ items: [{ keyText: "p/c" }], revision: first.revision });
    expect(second.items[0]).not.toHaveProperty("value");
    expect(second.cursor).toBeUndefined();
    await expect(kv.list("q", { cursor: first.cursor })).rejects.toMatchObject({
      message: "The cursor belongs to another prefix",
    });
  });

  test("reading the past, and what compaction took", async () => {
    await kv.put("k", "1");
    await kv.put("k", "2");
    expect((await kv.get("k", { revision: 2 })).valueText).toBe("1");
    await doors.node.propose({ type: "compact", revision: 3 });
    await expect(kv.get("k", { revision: 2 })).rejects.toMatchObject({ code: "CONCORD_COMPACTED" });
    await expect(kv.get("k", { revision: 99 })).rejects.toMatchObject({ code: "CONCORD_FUTURE_REVISION" });
  });

  test("without a leader: 503 with Retry-After, while eventual reads work", async () => {
    await kv.put("k", "v");
    doors.node.situation.leaderless = true;
    await expect(kv.get("k")).rejects.toMatchObject({ code: "CONCORD_NO_LEADER", retryable: true });
    expect(await raw("GET /api/v1/kv/k HTTP/1.1")).toMatch(/^HTTP\/1\.1 503 [^]*retry-after: 1/i);
    expect((await kv.get("k", { consistency: "eventual" })).valueText).toBe("v");
  });

  test("an unknown outcome is told apart from a failure", async () => {
    doors.node.situation.nextWriteFails = new ConcordError("CONCORD_OUTCOME_UNKNOWN");
    await expect(kv.put("k", "v")).rejects.toMatchObject({ code: "CONCORD_OUTCOME_UNKNOWN", outcome: "unknown" });
  });
});

describe("bad input is refused with one sentence and nothing done", () => {
  test.each<[string, Call, string]>([
    ["empty key", { method: "GET", path: "/api/v1/kv/" }, "CONCORD_KEY_EMPTY"],
    [
      "key of 1025 bytes",
      { method: "PUT", path: `/api/v1/kv/${"k".repeat(1025)}`, body: "v" },
      "CONCORD_INVALID_ARGUMENT",
    ],
    ["half an escape", { method: "GET", path: "/api/v1/kv/%" }, "CONCORD_INVALID_ARGUMENT"],
    ["escape that is none", { method: "GET", path: "/api/v1/kv/%zz" }, "CONCORD_INVALID_ARGUMENT"],
    ["unknown parameter", { method: "GET", path: "/api/v1/kv?offset=1" }, "CONCORD_INVALID_ARGUMENT"],
    ["parameter of a prototype", { method: "GET", path: "/api/v1/kv?__proto__=1" }, "CONCORD_INVALID_ARGUMENT"],
    ["parameter in brackets", { method: "GET", path: "/api/v1/kv?limit[]=1" }, "CONCORD_INVALID_ARGUMENT"],
    ["repeated parameter", { method: "GET", path: "/api/v1/kv?limit=1&limit=2" }, "CONCORD_INVALID_ARGUMENT"],
    ["a negative bound", { method: "GET", path: "/api/v1/kv/k?maxStalenessMs=-1" }, "CONCORD_INVALID_ARGUMENT"],
    ["a bound in words", { method: "GET", path: "/api/v1/kv?minRevision=new" }, "CONCORD_INVALID_ARGUMENT"],
    ["consistency in capitals", { method: "GET", path: "/api/v1/kv/k?consistency=STRONG" }, "CONCORD_INVALID_ARGUMENT"],
    ["limit below one", { method: "GET", path: "/api/v1/kv?limit=0" }, "CONCORD_INVALID_ARGUMENT"],
    ["limit beyond the most", { method: "GET", path: "/api/v1/kv?limit=1000000000" }, "CONCORD_INVALID_ARGUMENT"],
    ["negative revision", { method: "GET", path: "/api/v1/kv/k?revision=-1" }, "CONCORD_INVALID_ARGUMENT"],
    ["forged cursor", { method: "GET", path: "/api/v1/kv?cursor=AAAA" }, "CONCORD_INVALID_ARGUMENT"],
    [
      "parameter of another method",
      { method: "PUT", path: "/api/v1/kv/k?ttl=1", body: "v" },
      "CONCORD_INVALID_ARGUMENT",
    ],
    ["method that is not there", { method: "POST", path: "/api/v1/kv/k" }, "CONCORD_METHOD_NOT_ALLOWED"],
    ["path that is not there", { method: "GET", path: "/api/v2/kv" }, "CONCORD_NOT_FOUND"],
    ["path with a dot segment", { method: "GET", path: "/api/v1/../v1/kv/k" }, "CONCORD_NOT_FOUND"],
    ["address that is too long", { method: "GET", path: `/${"a".repeat(65_000)}` }, "CONCORD_URI_TOO_LONG"],
    [
      "value that is too large",
      { method: "PUT", path: "/api/v1/kv/k", body: Buffer.alloc(100_001) },
      "CONCORD_REQUEST_TOO_LARGE",
    ],
    [
      "compressed body",
      { method: "PUT", path: "/api/v1/kv/k", headers: { "content-encoding": "gzip" }, body: "x" },
      "CONCORD_UNSUPPORTED_MEDIA_TYPE",
    ],
    [
      "headers that are too large",
      { method: "GET", path: "/livez", headers: { x: "y".repeat(17_000) } },
      "CONCORD_HEADERS_TOO_LARGE",
    ],
  ])("%s", async (_what, call, code) => {
    const error = await refusal(call);
    expect(error.code).toBe(code);
    expect(error.message).not.toMatch(/\n|\.ts:|node_modules/);
    expect(doors.node.info().revision).toBe(1);
  });

  test("a body is refused by its announced length before it is read", async () => {
    const answer = await raw("PUT /api/v1/kv/k HTTP/1.1\r\nContent-Length: 99999999");
    expect(statusOf(answer)).toBe(413);
    const expecting = await raw("PUT /api/v1/kv/k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999");
    expect(expecting).not.toContain("100 Continue");
    expect(statusOf(expecting)).toBe(413);
  });

  test("an endless chunked body is cut at the limit", async () => {
    const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
    expect(statusOf(await raw("PUT /api/v1/kv/k HTTP/1.1\r\nTransfer-Encoding: chunked", chunk + chunk))).toBe(413);
  });

  test.each([
    ["no HTTP at all", "\x16\x03\x01hello\r\n\r\n"],
    [
      "length and chunks at once",
      "PUT /api/v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["unknown transfer encoding", "PUT /api/v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\nabc"],
    ["folded header", "GET /livez HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"],
    ["no Host", "GET /livez HTTP/1.1\r\n\r\n"],
    ["absolute target", "GET http://x/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"],
  ])("%s: 400 and the end of the connection", async (_what, bytes) => {
    expect(statusOf(await rawExchange(doors.port, bytes))).toBe(400);
    expect(doors.node.info().revision).toBe(1);
  });

  test("TRACE and OPTIONS get 405, CONNECT no tunnel, and the process lives on", async () => {
    expect(statusOf(await raw("TRACE /livez HTTP/1.1"))).toBe(405);
    expect(statusOf(await raw("OPTIONS /api/v1/kv/k HTTP/1.1"))).toBe(405);
    expect(await raw("CONNECT example.org:443 HTTP/1.1")).not.toContain(" 200 ");
    expect((await http.call({ method: "GET", path: "/livez" })).body.toString()).toBe("ok");
  });

  test("pipelined requests are answered in order", async () => {
    const request = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    const answer = await rawExchange(
      doors.port,
      request.repeat(50) + request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    );
    expect(answer.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(51);
  });

  test("a connection that sends only the beginning of a method is not spun on, and others are served", async () => {
    const socket = connect(doors.port, "127.0.0.1");
    await new Promise((resolve) => socket.write("P", resolve));
    await kv.put("k", "v");
    socket.write("UT /api/v1/kv/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nv");
    await new Promise((resolve) => socket.on("close", resolve).resume());
    expect((await kv.get("slow")).valueText).toBe("v");
  });
});

describe("admin door", () => {
  test("AdminClient against the real door", async () => {
    await using admin = new AdminClient(doors.url);
    expect(await admin.status()).toMatchObject({ state: "running", role: "leader", name: "a", version: "0.0.0-test" });
    const added = await admin.addLearner({ name: "b", peerUrls: ["http://127.0.0.1:1"] });
    expect(added.members.map((member) => [member.name, member.learner])).toEqual([
      ["a", false],
      ["b", true],
    ]);
    await admin.promote("00000000000000b2");
    expect((await admin.remove("00000000000000b2")).members).toHaveLength(1);
    expect(await admin.transfer()).toEqual({ leaderId: "00000000000000a1" });
    expect((await admin.hash()).revision).toBe(1);
    const chunks: Buffer[] = [];
    await kv.put("k", "v");
    for await (const chunk of await admin.snapshot()) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).length).toBeGreaterThan(0);
    const failures = [
      admin.remove("00000000000000ff"),
      admin.promote("not-an-id"),
      admin.addLearner({ name: "c", peerUrls: [""] }),
      admin.addLearner({ name: "c", peerUrls: ["http://127.0.0.1:1/path"] }),
      admin.grant({ clusterId: "0".repeat(16), clusterUid: "u", size: 1, memberName: "a" }),
      admin.grant({ clusterId: "0".repeat(16), clusterUid: "u", size: 1, memberName: "somebody-else" }),
    ];
    const outcomes = await Promise.allSettled(failures);
    const codes = outcomes.map((each) => (each.status === "rejected" ? (each.reason as ConcordError).code : "none"));
    expect(codes).toEqual([
      "CONCORD_MEMBER_NOT_FOUND",
      "CONCORD_INVALID_ARGUMENT",
      "CONCORD_MEMBER_URLS_INVALID",
      "CONCORD_MEMBER_URLS_INVALID",
      "CONCORD_ALREADY_FOUNDED",
      "CONCORD_INVALID_ARGUMENT",
    ]);
  });

  test.each<[string, Record<string, string>, string, string]>([
    ["form content", { "content-type": "text/plain" }, '{"to":""}', "CONCORD_UNSUPPORTED_MEDIA_TYPE"],
    ["no JSON", { "content-type": "application/json" }, '{"to":', "CONCORD_INVALID_ARGUMENT"],
    ["unknown field", { "content-type": "application/json" }, '{"to":"","x":1}', "CONCORD_INVALID_ARGUMENT"],
    ["__proto__", { "content-type": "application/json" }, '{"to":"","__proto__":{}}', "CONCORD_INVALID_ARGUMENT"],
    [
      "another site's page",
      { "content-type": "application/json", origin: "http://evil.example" },
      '{"to":""}',
      "CONCORD_PERMISSION_DENIED",
    ],
    [
      "another site's name",
      { "content-type": "application/json", host: "evil.example" },
      '{"to":""}',
      "CONCORD_PERMISSION_DENIED",
    ],
  ])("a transfer with %s is refused", async (_what, headers, body, code) => {
    expect((await refusal({ method: "POST", path: "/admin/v1/transfer", headers, body })).code).toBe(code);
  });

  test("nobody there, and a server that goes away", async () => {
    await doors.close();
    await using admin = new AdminClient(doors.url);
    await expect(admin.status()).rejects.toMatchObject({ code: "CONCORD_UNREACHABLE", retryable: true });
    await expect(admin.transfer()).rejects.toMatchObject({ code: "CONCORD_UNREACHABLE", outcome: "failed" });
    doors = await openDoors();
  });
});

describe("probes and metrics", () => {
  const status = async (base: string, path: string): Promise<[number, string]> => {
    const answer = await fetch(base + path);
    return [answer.status, await answer.text()];
  };

  test("live without a quorum, ready only with one", async () => {
    expect(await status(doors.url, "/readyz")).toEqual([200, "ok"]);
    doors.node.situation.leaderless = true;
    expect(await status(doors.url, "/livez")).toEqual([200, "ok"]);
    expect(await status(doors.url, "/startupz")).toEqual([200, "ok"]);
    const [code, text] = await status(doors.url, "/readyz?verbose");
    expect(code).toBe(503);
    expect(text).toBe("[+]running ok\n[-]leader failed: no leader is known\n[-]linearizable-read failed: no leader\n");
    expect(await status(doors.url, "/health")).toEqual([503, '{"health":"false","reason":"RAFT NO LEADER"}']);
    expect(await status(doors.url, "/health?serializable=true")).toEqual([200, '{"health":"true","reason":""}']);
  });

  test("a waiting member has started and lives, but is not ready", async () => {
    doors.node.situation.state = "waiting";
    const codes = await Promise.all(
      ["/livez", "/startupz", "/readyz"].map(async (path) => (await status(doors.url, path))[0]),
    );
    expect(codes).toEqual([200, 200, 503]);
    doors.node.situation.state = "failed";
    expect((await status(doors.url, "/livez"))[0]).toBe(503);
  });

  test("/version speaks etcd's JSON", async () => {
    expect(await status(doors.url, "/version")).toEqual([
      200,
      '{"etcdserver":"3.6.0","etcdcluster":"3.6.0","storage":"3.6.0"}',
    ]);
  });

  test("metrics count requests by closed labels; the metrics address serves nothing else", async () => {
    await kv.put("secret-key", "v");
    await refusal({ method: "GET", path: "/made-up-path" });
    const [code, text] = await status(doors.metricsUrl, "/metrics");
    expect(code).toBe(200);
    expect(text).toContain("concord_store_revision 2");
    expect(text).toContain('concord_requests_total{door="http",operation="kv",status="200"} 1');
    expect(text).toContain('concord_requests_total{door="http",operation="other",status="404"} 1');
    expect(text).not.toMatch(/secret-key|made-up-path/);
    expect((await status(doors.metricsUrl, "/api/v1/kv/secret-key"))[0]).toBe(404);
    expect((await status(doors.metricsUrl, "/admin/v1/status"))[0]).toBe(404);
    expect((await status(doors.metricsUrl, "/readyz"))[0]).toBe(200);
  });
});
