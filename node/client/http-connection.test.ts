import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConcordError, ERROR_TABLE, exitStatus, isErrorCode, type ErrorCode } from "./errors.ts";
import { HttpConnection, type Call } from "./http-connection.ts";

/** A server that does with a request whatever the test wants, once the request is there. */
let onRequest: (socket: Socket) => void;
let server: Server;
let sockets: Set<Socket>;
let connection: HttpConnection;

beforeEach(async () => {
  sockets = new Set();
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", () => onRequest(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  connection = new HttpConnection(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { timeoutMs: 200 });
});

afterEach(async () => {
  await connection.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

async function failure(call: Pick<Call, "method">, signal?: AbortSignal): Promise<ConcordError> {
  const outcome = await connection.call({ ...call, path: "/x" }, { signal }).catch((error: unknown) => error);
  if (ConcordError.is(outcome)) return outcome;
  throw new Error("The call succeeded");
}

const answer = (status: string, body: string) => (socket: Socket) =>
  socket.end(`HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);

test.each<[string, (socket: Socket) => void, ErrorCode, ErrorCode]>([
  [
    "the connection ends before an answer",
    (socket) => socket.destroy(),
    "CONCORD_UNREACHABLE",
    "CONCORD_OUTCOME_UNKNOWN",
  ],
  ["no answer comes in time", () => undefined, "CONCORD_TIMEOUT", "CONCORD_OUTCOME_UNKNOWN"],
  [
    "the answer is cut off",
    (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    "CONCORD_UNREACHABLE",
    "CONCORD_OUTCOME_UNKNOWN",
  ],
  [
    "the member says why",
    answer("503 X", '{"code":"CONCORD_NO_LEADER","detail":"no leader"}'),
    "CONCORD_NO_LEADER",
    "CONCORD_NO_LEADER",
  ],
  ["a proxy answers", answer("502 X", "<html>"), "CONCORD_UNREACHABLE", "CONCORD_OUTCOME_UNKNOWN"],
  ["something else listens there", answer("404 X", "null"), "CONCORD_INVALID_ARGUMENT", "CONCORD_INVALID_ARGUMENT"],
])("%s: a read fails, a write may have happened", async (_what, behaviour, read, write) => {
  onRequest = behaviour;
  expect((await failure({ method: "GET" })).code).toBe(read);
  expect((await failure({ method: "POST" })).code).toBe(write);
});

test("nobody listens: nothing was sent, so nothing can have happened", async () => {
  await new Promise((resolve) => server.close(resolve));
  const error = await failure({ method: "POST" });
  expect(error).toMatchObject({ code: "CONCORD_UNREACHABLE", outcome: "failed", retryable: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

test("the caller's signal ends the wait", async () => {
  const controller = new AbortController();
  onRequest = () => controller.abort();
  expect((await failure({ method: "GET" }, controller.signal)).code).toBe("CONCORD_CANCELLED");
  const second = new AbortController();
  onRequest = () => second.abort();
  expect((await failure({ method: "DELETE" }, second.signal)).code).toBe("CONCORD_OUTCOME_UNKNOWN");
});

test.each(["", "host:2379", "ftp://host:1", "http://host:1/path", "http://host:1?x"])(
  "%j is no URL of a member",
  (url) => {
    expect(() => new HttpConnection(url)).toThrow(ConcordError);
  },
);

test("every code has an HTTP status and an exit status; only a write of unknown fate has 76", () => {
  for (const code of Object.keys(ERROR_TABLE).filter(isErrorCode)) {
    expect(ERROR_TABLE[code].http, code).toBeGreaterThanOrEqual(400);
    expect(ERROR_TABLE[code].http, code).toBeLessThan(600);
    expect(exitStatus(code), code).toBeLessThanOrEqual(130);
    expect(exitStatus(code) === 76, code).toBe(code === "CONCORD_OUTCOME_UNKNOWN");
  }
  expect(exitStatus("CONCORD_USAGE")).toBe(64);
  expect(exitStatus("CONCORD_CONFIGURATION_INVALID")).toBe(78);
  expect(exitStatus("CONCORD_MEMBER_LOST_DATA")).toBe(78);
  expect(exitStatus("CONCORD_MEMBER_REMOVED")).toBe(0);
});

test("instanceof across copies of the package goes by brand", () => {
  const foreign = Object.assign(new Error("x"), { [Symbol.for("concord.error")]: true, code: "CONCORD_TIMEOUT" });
  expect(ConcordError.is(foreign)).toBe(true);
  expect(ConcordError.is(new Error("x"))).toBe(false);
});
