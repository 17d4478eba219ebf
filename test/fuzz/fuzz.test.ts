import { connect } from "node:net";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDoors, type OpenDoors } from "../support/open-doors.ts";
import { Prng } from "../support/prng.ts";
import { RestTester } from "../support/rest-tester.ts";
import { fuzz, type FuzzOrder, type FuzzReport } from "./fuzzer.ts";
import { mutate } from "./mutator.ts";
import { TARGETS } from "./targets.ts";

// A small `npm run fuzz`: always the same inputs.

const SEED = 1;
const INPUTS = 600;

test.each(TARGETS.map((target) => ({ name: target.name, target })))("$name", ({ target }) => {
  const { defect, inputs } = fuzz(target, { seed: SEED, inputs: INPUTS, guided: false });
  expect(defect).toBeUndefined();
  expect(inputs).toBeGreaterThanOrEqual(INPUTS);
});

test("a decoder that throws anything else than a refusal is found", () => {
  const run = (bytes: Uint8Array): void => {
    if (bytes[0] === 1 && bytes.length > 3) throw new TypeError("Not a refusal");
  };
  const target = { name: "canary", seeds: [Buffer.of(1, 2)], run };
  const { defect } = fuzz(target, { seed: SEED, inputs: 5_000, guided: false });
  expect(defect?.error).toBeInstanceOf(TypeError);
  expect(defect?.input[0]).toBe(1);
});

test("inputs that reach new code are kept, and others are made of them", async () => {
  const [target] = TARGETS;
  const workerData: FuzzOrder = {
    target: target?.name ?? "",
    seed: String(SEED),
    seconds: 5,
    current: new SharedArrayBuffer(8192),
  };
  const worker = new Worker(new URL("./fuzz-worker.ts", import.meta.url), { workerData });
  const [{ corpus, defect }] = (await once(worker, "message")) as [FuzzReport];
  expect(defect).toBeUndefined();
  // The seeds, the empty input, and what was found.
  expect(corpus).toBeGreaterThan((target?.seeds.length ?? 0) + 1);
  await worker.terminate();
});

describe("a port that both HTTP/1.1 and HTTP/2 come to", () => {
  const CONNECTIONS = 150;
  const GET = Buffer.from("GET /health HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
  const POST = Buffer.from(
    "POST /v3/kv/put HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
  );
  const SETTINGS = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");

  let doors: OpenDoors;
  beforeAll(async () => {
    doors = await openDoors();
  });
  afterAll(async () => doors.close());

  test("answers or hangs up whatever the bytes, and serves the next", async () => {
    const corpus = [GET, POST, SETTINGS, Buffer.concat([SETTINGS, Buffer.alloc(40, 1)]), Buffer.from("PRI")];
    const mutator = { random: new Prng(SEED), corpus, words: [GET, SETTINGS], bytesMax: 2048 };
    for (let left = CONNECTIONS; left > 0; left -= 1) {
      const socket = connect(doors.port, "127.0.0.1");
      socket.on("error", () => undefined);
      const closed = once(socket, "close");
      socket.end(mutate(mutator));
      socket.resume();
      // One side ended: an answer that is still expected would wait for the limit of a slow request.
      const answered = once(socket, "data").catch(() => undefined);
      await Promise.race([closed, answered]);
      socket.destroy();
      await closed;
    }
    const rest = new RestTester(doors.url);
    expect((await rest.connection.call({ method: "GET", path: "/health" })).body.length).toBeGreaterThan(0);
    await rest.close();
  }, 60_000);
});
