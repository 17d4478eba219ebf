import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { decodeServerMessages, encodeServerMessages, ANSWER, ANSWER_KIND } from "../../client/wire/answers.ts";
import { decodeClientMessages, encodeClientMessages, REQUEST_KIND } from "../../client/wire/requests.ts";
import { type ClientMessage, type KeyValue, type ServerMessage } from "../../client/wire/types.ts";
import { ANSWER_BYTES_MAX } from "../calls.ts";
import { TIMEOUT_MAX_MS } from "./session.ts";

// PROTOCOL.md says what the code does: its examples are written and read, its tables compared.

const DOCUMENT = readFileSync(new URL("PROTOCOL.md", import.meta.url), "utf8");
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const NO_BYTES = new Uint8Array(0);

const put = {
  type: "put",
  key: bytes("k"),
  value: bytes("v1"),
  lease: 0n,
  previous: false,
  ignoreValue: false,
  ignoreLease: false,
} as const;
const range = {
  type: "range",
  key: bytes("k"),
  rangeEnd: NO_BYTES,
  limit: 0,
  revision: 0,
  sortTarget: "key",
  sortOrder: "none",
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
} as const;
const row: KeyValue = {
  key: bytes("k"),
  value: bytes("v1"),
  createRevision: 5,
  modRevision: 5,
  version: 1,
  lease: 0n,
};
const missing = { key: bytes("k"), rangeEnd: NO_BYTES, target: "create", result: "equal", operand: 0 } as const;

const CLIENT: Readonly<Record<string, readonly ClientMessage[]>> = {
  hello: [{ type: "hello", id: 0, version: 1 }],
  "put k = v1": [{ type: "request", id: 1, request: put, settings: {} }],
  "put with an idempotency key": [
    { type: "request", id: 300, request: { ...put, ttlMs: 60_000 }, settings: { idempotencyKey: bytes("a7") } },
  ],
  "get k, eventual, not older than revision 5": [
    { type: "request", id: 2, request: range, settings: { level: "eventual", minRevision: 5 } },
  ],
  "put k when it is missing, else get it": [
    {
      type: "request",
      id: 3,
      request: { type: "txn", compares: [missing], success: [put], failure: [range] },
      settings: {},
    },
  ],
  "two requests in one frame": [
    { type: "request", id: 4, request: { type: "leaseKeepAlive", id: 0x7eedn }, settings: {} },
    { type: "request", id: 5, request: { type: "status" }, settings: {} },
  ],
  "watch what begins with k, from revision 5": [
    {
      type: "watch",
      id: 6,
      watch: {
        key: bytes("k"),
        rangeEnd: bytes("l"),
        startRevision: 5,
        previous: true,
        filterPut: false,
        filterDelete: false,
        fragment: true,
      },
    },
  ],
  "cancel the watch": [{ type: "cancel", id: 6 }],
};

const SERVER: Readonly<Record<string, readonly ServerMessage[]>> = {
  welcome: [
    {
      type: "welcome",
      id: 0,
      version: 1,
      clusterId: "c000000000000001",
      memberId: "00000000000000a1",
      revision: 4,
      limits: { frameBytesMax: 2_097_152, requestsMax: 1000, watchesMax: 1000 },
    },
  ],
  "k was put": [
    {
      type: "answer",
      id: 1,
      revision: 5,
      reply: { type: "put", previous: undefined },
      replayed: false,
      freshness: undefined,
    },
  ],
  "k is v1": [
    {
      type: "answer",
      id: 2,
      revision: 5,
      reply: { type: "range", rows: [row], count: 1, more: false },
      replayed: false,
      freshness: { level: "eventual", term: 2, stalenessMs: 0 },
    },
  ],
  "nothing was done": [
    {
      type: "error",
      id: 3,
      code: "CONCORD_LEASE_NOT_FOUND",
      message: "requested lease not found",
      revision: 5,
      compactRevision: 0,
    },
  ],
  "the watch began": [{ type: "watching", id: 6, revision: 5 }],
  "k was put, then deleted": [
    {
      type: "changes",
      id: 6,
      revision: 6,
      fragment: false,
      changes: [
        { type: "put", row, previous: undefined },
        {
          type: "delete",
          row: { ...row, value: NO_BYTES, createRevision: 0, modRevision: 6, version: 0 },
          previous: row,
        },
      ],
    },
  ],
  "the watch ended": [{ type: "ended", id: 6, reason: "slow", nextRevision: 7 }],
};

/** The fenced blocks of the document, by their titles; behind a `#` is a remark. */
const EXAMPLES = new Map(
  [...DOCUMENT.matchAll(/^```hex (.+)\n([\s\S]*?)^```$/gm)].map(([, title = "", block = ""]) => [
    title,
    new Uint8Array(Buffer.from(block.replace(/#.*$/gm, "").replaceAll(/\s/g, ""), "hex")),
  ]),
);

describe("examples", () => {
  test("are those that are tried here", () => {
    expect([...EXAMPLES.keys()].sort()).toEqual([...Object.keys(CLIENT), ...Object.keys(SERVER)].sort());
  });

  test.each(Object.entries(CLIENT))("%s", (title, messages) => {
    expect(Buffer.from(encodeClientMessages(messages)).toString("hex")).toBe(
      Buffer.from(EXAMPLES.get(title) ?? NO_BYTES).toString("hex"),
    );
    expect(decodeClientMessages(EXAMPLES.get(title) ?? NO_BYTES)).toEqual(messages);
  });

  test.each(Object.entries(SERVER))("%s", (title, messages) => {
    expect(Buffer.from(encodeServerMessages(messages)).toString("hex")).toBe(
      Buffer.from(EXAMPLES.get(title) ?? NO_BYTES).toString("hex"),
    );
    expect(decodeServerMessages(EXAMPLES.get(title) ?? NO_BYTES)).toEqual(messages);
  });
});

test("the tables name every kind", () => {
  const documented = new Map(
    [...DOCUMENT.matchAll(/^\| `([0-9a-f]{2})` +\| ([a-zA-Z]+) /gm)].map(([, code = "", name = ""]) => [
      Number.parseInt(code, 16),
      name,
    ]),
  );
  const kinds = new Map<number, string>();
  for (const [name, kind] of Object.entries(REQUEST_KIND)) {
    kinds.set(kind, name);
    if (!["hello", "watch", "cancel", "progress"].includes(name)) kinds.set(ANSWER + kind, name);
  }
  for (const [name, kind] of Object.entries(ANSWER_KIND)) kinds.set(kind, name);
  const described = [...kinds].filter(([kind]) => kind < ANSWER || Object.values<number>(ANSWER_KIND).includes(kind));
  expect([...documented].sort(([a], [b]) => a - b)).toEqual(described.sort(([a], [b]) => a - b));
});

test("the numbers it names are those of the server", () => {
  expect(DOCUMENT).toContain(`at most ${ANSWER_BYTES_MAX / 1024 / 1024} MiB`);
  expect(DOCUMENT).toContain(`1 to ${TIMEOUT_MAX_MS} ms`);
});
