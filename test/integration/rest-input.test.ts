import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HttpConnection } from "../../node/client/http-connection.ts";
import { KvClient } from "../../node/client/kv-client.ts";
import { openDoors, rawExchange, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;
let kv: KvClient;

beforeEach(async () => {
  doors = await openDoors({ maxRequestBytes: 1_000_000 });
  kv = new KvClient(doors.url);
});

afterEach(async () => {
  await kv.close();
  await doors.close();
});

const LIVE = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
const CLOSE = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/** Statuses of the answers on a connection, in order. */
const statuses = (answer: string): readonly number[] =>
  [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/** A request as bytes, with one behind it on the same connection that is to be answered as ever. */
const thenLive = (head: string, body: string | Buffer = ""): Promise<string> =>
  rawExchange(
    doors.port,
    Buffer.concat([Buffer.from(`${head}\r\nHost: x\r\n\r\n`, "latin1"), Buffer.from(body), Buffer.from(CLOSE)]),
  );

const post = (path: string, body: string | Buffer, headers = "Content-Type: application/json"): Promise<string> =>
  thenLive(`POST ${path} HTTP/1.1\r\n${headers}\r\nContent-Length: ${Buffer.byteLength(body)}`, body);

const detailOf = (answer: string): string => (/"detail":"([^"]*)"/.exec(answer) ?? [])[1] ?? "";

describe("keys [56, 57, 58]", () => {
  test.each([
    ["1024 bytes", "k".repeat(1024), 200],
    ["1025 bytes", "k".repeat(1025), 400],
    ["256 emoji of 4 bytes", "%F0%9F%98%80".repeat(256), 200],
    ["257 emoji of 4 bytes", "%F0%9F%98%80".repeat(257), 400],
    ["none", "", 400],
    ["NUL and a line break", "a%00%0D%0Ab", 200],
    ["half a surrogate pair, as bytes", "%ED%A0%80", 200],
    ["an overlong encoding", "%C0%80", 200],
    ["invalid UTF-8", "%FF%FE", 200],
    ["__defineGetter__", "__defineGetter__", 200],
    ["prototype", "prototype", 200],
  ])("in the path: %s", async (_what, key, status) => {
    const answer = await thenLive(`PUT /api/v1/kv/${key} HTTP/1.1\r\nContent-Length: 1`, "v");
    expect(statuses(answer)).toEqual([status, 200]);
    expect(doors.node.info().revision).toBe(status === 200 ? 2 : 1);
  });

  test.each([
    ["half a surrogate pair", '{"keyText":"\\ud800","valueText":"v"}'],
    ["key and text", '{"key":"aw==","keyText":"k","valueText":"v"}'],
    ["neither", '{"valueText":"v"}'],
    ["base64 without its padding", '{"key":"aw","valueText":"v"}'],
    ["base64 with bits behind its end", '{"key":"ax==","valueText":"v"}'],
    ["base64 of URLs", '{"key":"-_8=","valueText":"v"}'],
    ["an empty key", '{"keyText":"","valueText":"v"}'],
    ["a long key", `{"keyText":"${"😀".repeat(257)}","valueText":"v"}`],
  ])("in a body: %s", async (_what, item) => {
    const answer = await post("/api/v1/bulk/put", `{"items":[{"keyText":"before","valueText":"v"},${item}]}`);
    expect(statuses(answer)).toEqual([400, 200]);
    expect(doors.node.info().revision).toBe(1);
  });
});

describe("JSON [59, 60, 62, 63, 64]", () => {
  const txn = (text: string): string => `{"success":[{"put":{"keyText":"k","valueText":"v"}}],${text}}`;

  test.each<[string, string | Buffer]>([
    ["__proto__ at the top", txn('"__proto__":{"polluted":true}')],
    ["constructor.prototype", txn('"constructor":{"prototype":{"polluted":true}}')],
    ["__proto__ below", '{"success":[{"put":{"keyText":"k","valueText":"v","__proto__":{"polluted":true}}}]}'],
    ["__proto__ as an operation", '{"success":[{"__proto__":{"put":{"keyText":"k","valueText":"v"}}}]}'],
    ["depth of 100 000", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
    ["depth in objects", `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`],
    ["NaN", txn('"compare":[{"keyText":"k","target":"version","version":NaN}]')],
    ["Infinity", txn('"compare":[{"keyText":"k","target":"version","version":Infinity}]')],
    ["1e400", txn('"compare":[{"keyText":"k","target":"version","version":1e400}]')],
    ["2^53", txn('"compare":[{"keyText":"k","target":"version","version":9007199254740992}]')],
    ["2^53 + 1", txn('"compare":[{"keyText":"k","target":"modRevision","modRevision":9007199254740993}]')],
    ["a number below zero", txn('"compare":[{"keyText":"k","target":"modRevision","modRevision":-1}]')],
    ["half a number", txn('"compare":[{"keyText":"k","target":"modRevision","modRevision":1.5}]')],
    ["a number as text", txn('"compare":[{"keyText":"k","target":"modRevision","modRevision":"1"}]')],
    ["a field of another target", txn('"compare":[{"keyText":"k","target":"modRevision","version":1}]')],
    ["an unknown field", txn('"else":[]')],
    ["two operations in one", '{"success":[{"put":{"keyText":"k","valueText":"v"},"delete":{"keyText":"k"}}]}'],
    ["a byte order mark", `\ufeff${txn('"compare":[]')}`],
    ["something behind the end", `${txn('"compare":[]')}x`],
    ["an end too early", txn('"compare":[]').slice(0, -1)],
    ["nothing", ""],
    ["UTF-16", Buffer.from(txn('"compare":[]'), "utf16le")],
    ["invalid UTF-8", Buffer.from(txn('"compare":[{"keyText":"\xff","target":"exists","exists":true}]'), "latin1")],
    ["null", "null"],
    ["an array", "[]"],
  ])("%s is refused", async (_what, body) => {
    const answer = await post("/api/v1/txn", body);
    expect(statuses(answer)).toEqual([400, 200]);
    expect(detailOf(answer)).toMatch(/^[A-Z/][^.\n]*$/);
    expect(doors.node.info().revision).toBe(1);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test.each([
    ["no item", "[]"],
    ["501 items", JSON.stringify(Array.from({ length: 501 }, (_, at) => ({ keyText: `${at}`, valueText: "" })))],
    ["a key twice", '[{"keyText":"k","valueText":"1"},{"key":"aw==","valueText":"2"}]'],
    ["a time to live of 0", '[{"keyText":"k","valueText":"","ttlSeconds":0}]'],
    ["a time to live below 0", '[{"keyText":"k","valueText":"","ttlSeconds":-1}]'],
    ["a time to live of 1.5", '[{"keyText":"k","valueText":"","ttlSeconds":1.5}]'],
    ["a time to live of 1e18", '[{"keyText":"k","valueText":"","ttlSeconds":1e18}]'],
    ["a time to live as text", '[{"keyText":"k","valueText":"","ttlSeconds":"10"}]'],
    ["a time to live of null", '[{"keyText":"k","valueText":"","ttlSeconds":null}]'],
  ])("a bulk put of %s is refused", async (_what, items) => {
    const answer = await post("/api/v1/bulk/put", `{"items":${items}}`);
    expect(statuses(answer)).toEqual([400, 200]);
    expect(doors.node.info().revision).toBe(1);
  });

  test("500 items are taken, whole or not at all", async () => {
    const items = Array.from({ length: 500 }, (_, at) => ({ keyText: `${at}`, valueText: "v" }));
    expect(statuses(await post("/api/v1/bulk/put", JSON.stringify({ items })))).toEqual([200, 200]);
    expect(doors.node.info().revision).toBe(2);
  });

  test.each([
    ["text", "text/plain"],
    ["a form", "application/x-www-form-urlencoded"],
    ["nothing", ""],
    ["JSON with something before", "x-application/json"],
  ])("content that is said to be %s is refused", async (_what, type) => {
    const answer = await post("/api/v1/txn", txn('"compare":[]'), type === "" ? "A: b" : `Content-Type: ${type}`);
    // A body that nobody read ends the connection behind its refusal.
    expect(statuses(answer)[0]).toBe(415);
    expect(doors.node.info().revision).toBe(1);
  });
});

describe("bodies [61, 65, 67, 71]", () => {
  test("a value at the limit is taken, one beyond it is refused", async () => {
    const put = (length: number): Promise<string> =>
      thenLive(`PUT /api/v1/kv/k HTTP/1.1\r\nContent-Length: ${length}`, Buffer.alloc(length));
    expect(statuses(await put(1_000_000))).toEqual([200, 200]);
    expect(statuses(await put(1_000_001).catch(() => "HTTP/1.1 413 "))).toEqual([413]);
    expect(doors.node.info().revision).toBe(2);
  });

  test.each(["gzip", "deflate", "br", "identity, gzip"])("nothing is inflated: %s", async (encoding) => {
    const answer = await rawExchange(
      doors.port,
      `PUT /api/v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Encoding: ${encoding}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbomb`,
    );
    expect(statuses(answer)).toEqual([415]);
    expect(doors.node.info().revision).toBe(1);
  });

  test.each([
    ["a chunk size that is none", "Transfer-Encoding: chunked\r\n\r\nzz\r\nv\r\n0\r\n\r\n"],
    ["a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n\r\n1\r\nvvvv\r\n0\r\n\r\n"],
    ["a chunk size beyond 64 bits", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nv\r\n"],
    ["a length that is none", "Content-Length: abc\r\n\r\nv"],
    ["a length below zero", "Content-Length: -1\r\n\r\nv"],
    ["two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n\r\nvv"],
    ["a length and chunks", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["an encoding behind chunked", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"],
  ])("%s: one 400 and the end of the connection", async (_what, rest) => {
    const answer = await rawExchange(doors.port, `PUT /api/v1/kv/k HTTP/1.1\r\nHost: x\r\n${rest}`);
    expect(statuses(answer)).toEqual([400]);
    expect(doors.node.info().revision).toBe(1);
  });

  test("a body that is shorter than its length is not applied when the client goes away", async () => {
    const socket = connect(doors.port, "127.0.0.1");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.end("PUT /api/v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nshort");
    socket.resume();
    await closed;
    await expect(kv.get("k")).rejects.toMatchObject({ code: "CONCORD_KEY_NOT_FOUND" });
    expect(doors.node.info().revision).toBe(1);
  });

  test("a body that is longer than its length: its write is answered, what is behind it is refused", async () => {
    const answer = await rawExchange(
      doors.port,
      "PUT /api/v1/kv/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nvGARBAGE\r\n\r\n",
    );
    expect(statuses(answer)).toEqual([200, 400]);
    expect((await kv.get("k")).valueText).toBe("v");
  });

  test("a client that waits for 100 Continue is told to go on, once", async () => {
    const socket = connect(doors.port, "127.0.0.1");
    let answer = "";
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
      if (answer.endsWith("100 Continue\r\n\r\n")) socket.write("v");
    });
    socket.write(
      "PUT /api/v1/kv/k HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
    );
    await closed;
    expect(statuses(answer)).toEqual([100, 200]);
  });
});

describe("requests behind requests [72, 73]", () => {
  test("garbage behind a request does not take its answer away", async () => {
    await kv.put("k", "v");
    const get = "GET /api/v1/kv/k HTTP/1.1\r\nHost: x\r\n\r\n";
    const answer = await rawExchange(doors.port, `${get}${get}\x16\x03\x01 no HTTP\r\n\r\n`);
    expect(statuses(answer)).toEqual([200, 200, 400]);
    expect(answer.match(/"valueText":"v"/g)).toHaveLength(2);
    expect(answer.trimEnd().endsWith("}")).toBe(true);
  });

  test("garbage in many pieces is refused once", async () => {
    const socket = connect(doors.port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk)).on("error", () => undefined);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    for (const piece of [LIVE, "\x01\x02", "\x03\r\n", "\r\n\r\n"]) {
      await new Promise((resolve) => socket.write(piece, "latin1", resolve));
    }
    await closed;
    expect(statuses(Buffer.concat(chunks).toString("latin1"))).toEqual([200, 400]);
  });

  test("a broken body behind a whole request gets the second answer", async () => {
    const broken = "PUT /api/v1/kv/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    const answer = await rawExchange(doors.port, LIVE + broken);
    expect(statuses(answer)).toEqual([200, 400]);
    expect(doors.node.info().revision).toBe(1);
  });

  test("10 000 requests in a row are answered in order", async () => {
    const answer = await rawExchange(doors.port, LIVE.repeat(9_999) + CLOSE);
    expect(statuses(answer).filter((status) => status === 200)).toHaveLength(10_000);
  });

  test("HTTP/2 behind HTTP/1.1 is no HTTP/1.1", async () => {
    const answer = await rawExchange(doors.port, `${LIVE}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`);
    expect(statuses(answer)).toEqual([200, 400]);
  });
});

describe("addresses and headers [68, 69, 70, 74, 75, 76, 77]", () => {
  test.each([
    ["2000 headers", `GET /livez HTTP/1.1\r\n${"A: b\r\n".repeat(2000)}X: y`, 431],
    ["headers of 17 kB", `GET /livez HTTP/1.1\r\nA: ${"b".repeat(17_000)}`, 431],
    ["an address of 64 kB", `GET /${"a".repeat(64_000)} HTTP/1.1`, 414],
    ["an unknown method", "FROB /livez HTTP/1.1", 400],
    ["a method of elsewhere", "PROPFIND /livez HTTP/1.1", 405],
    ["OPTIONS of the server", "OPTIONS * HTTP/1.1", 400],
    ["a byte that is not escaped", "GET /api/v1/kv/\xff HTTP/1.1", 400],
    ["an escape cut short", "GET /api/v1/kv/% HTTP/1.1", 400],
    ["a dot segment, escaped", "GET /api/v1/..%2fv1/kv/k HTTP/1.1", 404],
    ["two slashes", "GET //api/v1/kv/k HTTP/1.1", 404],
    ["a semicolon", "GET /livez;x=1 HTTP/1.1", 404],
    ["an address of elsewhere", "GET http://evil.example/livez HTTP/1.1", 400],
    ["a level in capitals", "GET /api/v1/kv/k?consistency=STRONG HTTP/1.1", 400],
    ["a parameter twice", "GET /api/v1/kv?limit=1&limit=2 HTTP/1.1", 400],
    ["a parameter in brackets", "GET /api/v1/kv?limit[__proto__]=x HTTP/1.1", 400],
    ["a limit below zero", "GET /api/v1/kv?limit=-1 HTTP/1.1", 400],
    ["a limit of 10^9", "GET /api/v1/kv?limit=1000000000 HTTP/1.1", 400],
    ["a cursor of 10 kB", `GET /api/v1/kv?cursor=${"A".repeat(7_000)} HTTP/1.1`, 400],
    ["a cursor at revision 2^60", "GET /api/v1/kv?cursor=ARAAAAAAAAAAaw HTTP/1.1", 400],
    ["a revision of the future", "GET /api/v1/kv/k?revision=99 HTTP/1.1", 400],
    ["a revision beyond 2^53", "GET /api/v1/kv/k?revision=9007199254740993 HTTP/1.1", 400],
  ])("%s is refused", async (_what, head, status) => {
    const answer = await rawExchange(
      doors.port,
      Buffer.from(`${head}\r\nHost: x\r\nConnection: close\r\n\r\n`, "latin1"),
    );
    expect(statuses(answer)).toEqual([status]);
    expect(answer).toContain('"code":"CONCORD_');
  });

  test("escapes are undone once", async () => {
    expect(statuses(await thenLive("PUT /api/v1/kv/a%252Fb HTTP/1.1\r\nContent-Length: 1", "v"))).toEqual([200, 200]);
    expect((await kv.list("")).items.map(({ keyText }) => keyText)).toEqual(["a%2Fb"]);
  });

  test("no page of another site may read an answer", async () => {
    const answer = await thenLive("GET /api/v1/kv HTTP/1.1\r\nOrigin: http://evil.example");
    expect(statuses(answer)).toEqual([200, 200]);
    expect(answer).not.toMatch(/access-control-allow/i);
  });

  test("what is compacted is 410, and says from where on there is something", async () => {
    await kv.put("k", "1");
    await kv.put("k", "2");
    await doors.node.propose({ type: "compact", revision: 3 });
    const answer = await thenLive("GET /api/v1/kv/k?revision=2 HTTP/1.1");
    expect(statuses(answer)).toEqual([410, 200]);
    expect(answer).toContain('"compactRevision":3');
    await using http = {
      connection: new HttpConnection(doors.url),
      [Symbol.asyncDispose]: () => http.connection.close(),
    };
    const { headers } = await http.connection.call({ method: "GET", path: "/api/v1/kv/k?revision=3" });
    expect(headers["etag"]).toBe('"3"');
  });
});
