import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openDoors, type OpenDoors } from "../support/open-doors.ts";
import { RestTester } from "../support/rest-tester.ts";

let doors: OpenDoors;
let rest: RestTester;

beforeEach(async () => {
  doors = await openDoors();
  rest = new RestTester(doors.url);
});

afterEach(async () => {
  await rest.close();
  await doors.close();
});

interface Message {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: { readonly revision?: number; readonly events?: readonly object[]; readonly compactRevision?: number };
}

/** Reads a stream as a browser's EventSource does. */
class EventReader {
  readonly #body: AsyncIterator<Uint8Array>;
  readonly #abort: AbortController;
  #text = "";

  private constructor(body: AsyncIterable<Uint8Array>, abort: AbortController) {
    this.#body = body[Symbol.asyncIterator]();
    this.#abort = abort;
  }

  static async open(query: string, lastEventId?: string): Promise<EventReader> {
    const abort = new AbortController();
    const headers: Record<string, string> = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
    const answer = await fetch(`${doors.url}/api/v1/watch?${query}`, { headers, signal: abort.signal });
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    return new EventReader(answer.body as AsyncIterable<Uint8Array>, abort);
  }

  /** Undefined: the stream ended. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const lines = this.#text.slice(0, end).split("\n");
        this.#text = this.#text.slice(end + 2);
        const field = (name: string): string | undefined =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = field("data");
        if (data !== undefined)
          return { event: field("event") ?? "", id: field("id"), data: JSON.parse(data) as object };
        continue;
      }
      const chunk = await this.#body.next();
      if (chunk.done === true) return undefined;
      this.#text += Buffer.from(chunk.value).toString("utf8");
    }
  }

  /** The next message that is no progress. */
  async change(): Promise<Message | undefined> {
    for (;;) {
      const message = await this.next();
      if (message?.event !== "progress") return message;
    }
  }

  close(): void {
    this.#abort.abort();
  }
}

const put = (key: string, value = "v"): Promise<unknown> => rest.send("PUT", `/api/v1/kv/${key}`, value);

describe("a watch over REST", () => {
  test("tells of puts and deletes, with the old rows when asked", async () => {
    const reader = await EventReader.open("prefix=p/&previous=true");
    expect(await reader.next()).toEqual({ event: "progress", id: "1", data: { revision: 1 } });
    await put("p/a", "1");
    await put("q");
    await put("p/a", "2");
    await rest.send("DELETE", "/api/v1/kv/p/a");
    expect(await reader.change()).toMatchObject({
      event: "change",
      id: "2",
      data: { revision: 2, events: [{ type: "put", row: { keyText: "p/a", valueText: "1", version: 1 } }] },
    });
    expect(await reader.change()).toMatchObject({
      id: "4",
      data: { events: [{ type: "put", row: { valueText: "2" }, previous: { valueText: "1" } }] },
    });
    expect(await reader.change()).toMatchObject({
      id: "5",
      data: { events: [{ type: "delete", keyText: "p/a", previous: { valueText: "2" } }] },
    });
    reader.close();
  });

  test("all changes of a revision come in one message", async () => {
    const reader = await EventReader.open("prefix=");
    const names = Array.from({ length: 300 }, (_, at) => `k${at}`);
    await rest.post("/api/v1/bulk/put", { items: names.map((keyText) => ({ keyText, valueText: "x".repeat(100) })) });
    await put("last");
    const first = await reader.change();
    expect([first?.id, first?.data.events?.length]).toEqual(["2", 300]);
    expect(await reader.change()).toMatchObject({ id: "3", data: { events: [{ row: { keyText: "last" } }] } });
    reader.close();
  });

  test("goes on behind the last id, without a gap and nothing twice", async () => {
    const before = await EventReader.open("prefix=");
    await put("a");
    await put("b");
    const id = (await before.change())?.id;
    before.close();
    await put("c");
    const after = await EventReader.open("prefix=&revision=1", id);
    expect([await after.change(), await after.change()]).toMatchObject([{ id: "3" }, { id: "4" }]);
    after.close();
  });

  test("whoever is cut off before the first change goes on from where it began", async () => {
    const before = await EventReader.open("key=k");
    const id = (await before.next())?.id;
    before.close();
    await put("k");
    const after = await EventReader.open("key=k", id);
    expect(await after.change()).toMatchObject({ id: "2", data: { events: [{ row: { keyText: "k" } }] } });
    after.close();
  });

  test("from an old revision, and with a filter", async () => {
    await put("k");
    await rest.send("DELETE", "/api/v1/kv/k");
    const all = await EventReader.open("key=k&revision=1");
    expect([await all.change(), await all.change()]).toMatchObject([{ id: "2" }, { id: "3" }]);
    all.close();
    const deletes = await EventReader.open("key=k&revision=1&filter=noput");
    expect(await deletes.change()).toMatchObject({ id: "3", data: { events: [{ type: "delete" }] } });
    deletes.close();
  });

  test("an idle watch is told of progress, past changes of other keys", async () => {
    const reader = await EventReader.open("key=k");
    await put("other");
    for (let message = await reader.next(); message?.id !== "2"; message = await reader.next()) {
      expect(message).toEqual({ event: "progress", id: "1", data: { revision: 1 } });
    }
    reader.close();
  });

  test("a watch that begins in the future never says it has come less far", async () => {
    const reader = await EventReader.open("key=k&revision=4");
    expect((await reader.next())?.id).toBe("3");
    await put("k");
    await put("k");
    await put("k");
    expect((await reader.next())?.id).toBe("4");
    reader.close();
  });

  test("what compaction took ends the stream with where to list again from", async () => {
    for (let at = 0; at < 3; at += 1) await put("k");
    await doors.node.propose({ type: "compact", revision: 4 });
    const reader = await EventReader.open("key=k&revision=2");
    expect(await reader.change()).toEqual({ event: "compacted", id: undefined, data: { compactRevision: 4 } });
    expect(await reader.next()).toBeUndefined();
  });

  test("a client that reads late, beyond every buffer, gets everything in order", async () => {
    const socket = connect(doors.port, "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.pause();
    socket.write("GET /api/v1/watch?prefix=&revision=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    const value = "x".repeat(500_000);
    for (let at = 0; at < 16; at += 1) await put("k", value);
    let text = "";
    const complete = new Promise<void>((resolve) => {
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1").replaceAll(/x{2,}|(eHh4){2,}/g, "");
        if (text.includes("id: 17\n")) resolve();
      });
    });
    socket.resume();
    await complete;
    const ids = [...text.matchAll(/event: change\nid: (\d+)\n/g)].map((match) => Number(match[1]));
    expect(ids).toEqual(Array.from({ length: 16 }, (_, at) => at + 2));
    socket.destroy();
  });

  test("a server that stops ends its streams as a whole", async () => {
    const reader = await EventReader.open("prefix=");
    await put("k");
    expect((await reader.change())?.id).toBe("2");
    const closed = doors.close();
    expect(await reader.change()).toBeUndefined();
    await closed;
    doors = await openDoors();
  });

  test("a client that leaves takes its watch along", async () => {
    const readers = await Promise.all([1, 2].map(() => EventReader.open("prefix=")));
    const watches = async (): Promise<string | undefined> =>
      /^concord_watches_open(?:\{.*\})? (\d+)$/m.exec(await (await fetch(`${doors.metricsUrl}/metrics`)).text())?.[1];
    await expect.poll(watches).toBe("2");
    for (const reader of readers) reader.close();
    await expect.poll(watches).toBe("0");
  });

  test.each<[string, string, Record<string, string>]>([
    ["neither key nor prefix", "", {}],
    ["both", "key=a&prefix=b", {}],
    ["an empty key", "key=", {}],
    ["a key of 1025 bytes", `key=${"k".repeat(1025)}`, {}],
    ["a revision below zero", "key=k&revision=-1", {}],
    ["an unknown filter", "key=k&filter=put", {}],
    ["previous that is neither", "key=k&previous=1", {}],
    ["an id that is none", "key=k", { "last-event-id": "two" }],
    ["an unknown parameter", "key=k&start=1", {}],
  ])("%s is refused", async (_what, query, headers) => {
    const answer = await fetch(`${doors.url}/api/v1/watch?${query}`, { headers });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: "CONCORD_INVALID_ARGUMENT" });
  });
});
