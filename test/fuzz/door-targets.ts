import { type MethodDefinition } from "@grpc/proto-loader";
import { loadEtcdServices } from "../../node/api/etcd/definition.ts";
import {
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type TxnRequest,
  type WatchRequestMessage,
} from "../../node/api/etcd/messages.ts";
import {
  deleteOperation,
  isSerializable,
  putOperation,
  rangeOperation,
  txnOperation,
  watchRequest,
} from "../../node/api/etcd/requests.ts";
import { codecOf } from "../../node/api/etcd/wire.ts";
import { decodeMessage } from "../../node/api/gateway/decode.ts";
import { JsonSplitter, utf8Text } from "../../node/api/gateway/json-splitter.ts";
import { parseJson } from "../../node/api/gateway/json.ts";
import { gatewayRoutes } from "../../node/api/gateway/routes.ts";
import { MessageReader, frameMessage } from "../../node/api/grpc/framing.ts";
import { parseTimeout } from "../../node/api/grpc/headers.ts";
import { decodeServerMessages, encodeServerMessages } from "../../node/client/wire/answers.ts";
import { decodeClientMessages, encodeClientMessages } from "../../node/client/wire/requests.ts";
import { decodeCommand, encodeCommand } from "../../node/codec/command.ts";
import { Machine } from "../../node/machine/machine.ts";
import { type Command, type Operation, type ReadOperation } from "../../node/machine/commands.ts";
import { Fixture, put, range, remove, txn } from "../model/machine-fixture.ts";
import { type FuzzTarget, refusing } from "./target.ts";

// What clients send.

const OPERATIONS_MAX = 128;
const MESSAGE_BYTES_MAX = 1 << 20;
const KV = loadEtcdServices().KV;
const methods = Object.values(loadEtcdServices()).flatMap((service) => Object.values(service));
const codecs = methods.map((definition) => codecOf(definition));

const key = Buffer.from("a");
const REQUESTS: Readonly<Record<string, readonly object[]>> = {
  Range: [{ key, range_end: Buffer.from("c"), limit: "3", revision: "2", sort_order: "DESCEND", sort_target: "MOD" }],
  Put: [
    { key, value: key, lease: "7", prev_kv: true },
    { key, ignore_value: true },
  ],
  DeleteRange: [{ key, range_end: Buffer.from([0]), prev_kv: true }],
  Txn: [
    {
      compare: [
        { key, target: "VALUE", result: "EQUAL", value: key },
        { key, target: "LEASE", result: "LESS", lease: "9223372036854775807" },
        { key, target: "VERSION", result: "GREATER", version: "9223372036854775807" },
      ],
      success: [{ request_put: { key, value: key } }, { request_range: { key } }],
      failure: [{ request_txn: { success: [{ request_delete_range: { key } }] } }],
    },
  ],
};

function operationOf(name: string, request: object): Command {
  switch (name) {
    case "Range":
      return rangeOperation(request as RangeRequest);
    case "Put":
      return putOperation(request as PutRequest);
    case "DeleteRange":
      return deleteOperation(request as DeleteRangeRequest);
    default:
      isSerializable(request as TxnRequest);
      return txnOperation(request as TxnRequest, OPERATIONS_MAX);
  }
}

/** A request as a member carries it out: through the log, or as a read. */
function carryOut(command: Command): void {
  const fixture = new Fixture();
  fixture.apply(put("a", "1"));
  if (fixture.machine.check(command) !== undefined) return;
  if (Machine.isReadOnly(command)) fixture.read(command as ReadOperation);
  else {
    fixture.apply(decodeCommand(encodeCommand(command)));
    fixture.machine.checkInvariants();
  }
}

/** The first byte chooses among so many. */
function chosen<T>(from: readonly T[], input: Uint8Array): T {
  return from[(input[0] ?? 0) % from.length] as T;
}

const NAMES = Object.keys(REQUESTS);

const routes = [...gatewayRoutes().entries()];
const definitions = new Map(methods.map((definition) => [definition.path, codecOf(definition)]));

export const DOOR_TARGETS: readonly FuzzTarget[] = [
  {
    name: "etcd's KV requests and what they do",
    seeds: NAMES.flatMap((name, at) =>
      (REQUESTS[name] ?? []).map((request) =>
        Buffer.concat([Buffer.of(at), (KV[name] as MethodDefinition<object, object>).requestSerialize(request)]),
      ),
    ),
    run: (input) => {
      const name = chosen(NAMES, input);
      const { decode } = codecOf(KV[name] as MethodDefinition<object, object>);
      const request = decoded(() => decode(Buffer.from(input.subarray(1))));
      if (request === undefined) return;
      const command = refusing(() => operationOf(name, request));
      if (command !== undefined) carryOut(command);
    },
  },
  {
    name: "messages of every etcd method",
    seeds: methods.map((_, at) => Buffer.of(at, 0x08, 1, 0x10, 2)),
    run: (input) => {
      const at = (input[0] ?? 0) % codecs.length;
      const request = decoded(() => codecs[at]?.decode(Buffer.from(input.subarray(1))));
      if (request === undefined || !(methods[at]?.path ?? "").endsWith("Watch/Watch")) return;
      const watch = request as WatchRequestMessage;
      if (watch.request_union === "create_request") watchRequest(watch.create_request);
    },
  },
  {
    name: "frames of gRPC, and its time limit",
    seeds: [
      frameMessage(Buffer.from("hello")),
      Buffer.from("500m"),
      Buffer.concat([frameMessage(key), frameMessage(key)]),
    ],
    run: (input) => {
      const reader = new MessageReader(MESSAGE_BYTES_MAX);
      const middle = Math.floor(input.length / 2);
      reader.push(Buffer.from(input.subarray(0, middle)));
      reader.push(Buffer.from(input.subarray(middle)));
      for (let next = reader.next(); next?.type === "message"; next = reader.next());
      parseTimeout(Buffer.from(input).toString("latin1"));
    },
  },
  {
    name: "JSON of the gateway",
    seeds: routes.map(([, route], at) => {
      const fields = [...route.request.byName.keys()].slice(0, 3).map((name) => `"${name}":"MQ=="`);
      return Buffer.concat([Buffer.of(at), Buffer.from(`{${fields.join(",")}}`)]);
    }),
    words: [
      '"compare":[{"key":"YQ==","target":"MOD","mod_revision":"1"}]',
      '"success":[{"request_put":{"key":"YQ==","value":"YQ=="}}]',
      '"create_request":{"key":"YQ==","start_revision":"1"}',
      "{}",
      "[",
      "null",
      "1e400",
      "-9223372036854775808",
      "18446744073709551615",
      '"\\ud800"',
      '"__proto__":',
      '"Infinity"',
    ],
    run: (input) => {
      const [, route] = chosen(routes, input);
      const splitter = new JsonSplitter(MESSAGE_BYTES_MAX);
      const texts = refusing(() => [...splitter.push(Buffer.from(input.subarray(1)))]);
      const whole = refusing(() => utf8Text(Buffer.from(input.subarray(1))));
      for (const text of [...(texts ?? []), ...(whole === undefined ? [] : [whole])]) {
        const json = refusing(() => parseJson(text));
        const message = json === undefined ? undefined : refusing(() => decodeMessage(route.request, json));
        if (message === undefined) continue;
        // What was read is written for the same door that takes it from gRPC.
        const bytes = route.serialize(message);
        definitions.get(route.method)?.decode(bytes);
      }
    },
  },
  {
    name: "frames of sessions, and what they do",
    seeds: [
      encodeClientMessages([
        { type: "hello", id: 0, version: 1 },
        { type: "request", id: 1, request: put("a", "2"), settings: {} },
        { type: "request", id: 2, request: range("a", "c"), settings: { level: "eventual" } },
        { type: "request", id: 3, request: txn([], [put("b", "1")], [remove("a")]), settings: {} },
        { type: "cancel", id: 2 },
      ]),
      encodeServerMessages([
        { type: "watching", id: 1, revision: 5 },
        { type: "progress", id: 1, revision: 6 },
        { type: "ended", id: 1, reason: "slow", nextRevision: 7 },
      ]),
    ],
    run: (input) => {
      refusing(() => decodeServerMessages(input));
      for (const message of refusing(() => decodeClientMessages(input)) ?? []) {
        if (message.type !== "request") continue;
        const { request } = message;
        if (["put", "range", "delete", "touch", "txn"].includes(request.type)) carryOut(request as Operation);
      }
    },
  },
];

/** The library's way to refuse bytes; the door answers each of them with one status. */
function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}
