import { describe, expect, it } from "vitest";
import {
  decodeHello,
  decodeHelloAnswer,
  encodeHello,
  encodeHelloAnswer,
  type Hello,
  type HelloAnswer,
  PROBE_MEMBERS_MAX,
} from "./handshake.ts";

const HELLO: Hello = {
  protocolVersion: 1,
  minimumVersion: 1,
  groupId: 7,
  clusterId: "00000000000000aa",
  from: { id: "7fffffffffffffff", name: "m1" },
  to: { id: "0000000000000002", name: "m2 ü" },
  kind: "session",
  tokenHash: new Uint8Array(32).fill(1),
  foundingListHash: new Uint8Array(),
};

const ANSWERS: readonly HelloAnswer[] = [
  {
    type: "accepted",
    protocolVersion: 1,
    clusterId: "00000000000000aa",
    member: { id: "0000000000000002", name: "m2" },
    adopted: true,
  },
  { type: "refused", reason: "cluster ID mismatch" },
  { type: "removed", clusterId: "00000000000000aa", member: "0000000000000002" },
  {
    type: "probed",
    reply: {
      state: "member",
      formerId: "",
      memberId: "0000000000000002",
      memberName: "m2",
      clusterId: "00000000000000aa",
      members: [{ id: "0000000000000001", name: "m1", joined: true }],
      reason: "",
    },
  },
];

describe("hello", () => {
  it.each([HELLO, { ...HELLO, kind: "probe" as const, clusterId: "", to: { id: "", name: "" } }])(
    "reads back",
    (hello) => {
      expect(decodeHello(encodeHello(hello))).toEqual(hello);
    },
  );

  it("is refused at every shorter length, and with bytes behind it", () => {
    const bytes = encodeHello(HELLO);
    for (let length = 0; length < bytes.length; length += 1)
      expect(() => decodeHello(bytes.subarray(0, length))).toThrow(/^Ends at byte/);
    expect(() => decodeHello(Buffer.concat([bytes, Buffer.of(0)]))).toThrow("1 bytes behind the end");
  });

  it.each([
    [{ protocolVersion: 9, minimumVersion: 2 }, "Peer speaks protocol versions 2 to 9, wanted 1 to 1"],
    [{ protocolVersion: 0, minimumVersion: 0 }, "Peer speaks protocol versions 0 to 0, wanted 1 to 1"],
    [{ from: { id: "", name: "m1" } }, "Hello names no sender"],
    [{ from: { id: "0000000000000001", name: "x".repeat(257) } }, "Field of 257 bytes, at most 256 are allowed"],
    [{ tokenHash: new Uint8Array(65) }, "Field of 65 bytes, at most 64 are allowed"],
  ])("with %j is refused", (fields, message) => {
    expect(() => decodeHello(encodeHello({ ...HELLO, ...fields }))).toThrow(message);
  });

  it("of a newer sender that still speaks our version is read", () => {
    expect(decodeHello(encodeHello({ ...HELLO, protocolVersion: 3 })).protocolVersion).toBe(3);
  });
});

describe("answer", () => {
  it.each(ANSWERS)("$type reads back, and not in part", (answer) => {
    const bytes = encodeHelloAnswer(answer);
    expect(decodeHelloAnswer(bytes)).toEqual(answer);
    for (let length = 0; length < bytes.length; length += 1)
      expect(() => decodeHelloAnswer(bytes.subarray(0, length))).toThrow(/^Ends at byte/);
  });

  it("with a version that was not offered is refused", () => {
    const bytes = encodeHelloAnswer({ ...ANSWERS[0]!, protocolVersion: 2 } as HelloAnswer);
    expect(() => decodeHelloAnswer(bytes)).toThrow("Peer chose protocol version 2, which was not offered");
  });

  it("of an unknown type is refused", () => {
    expect(() => decodeHelloAnswer(Buffer.of(9))).toThrow("Unknown answer to a hello: 9");
  });

  it("is bounded: long reasons and lists are cut by the writer", () => {
    const members = Array.from({ length: PROBE_MEMBERS_MAX + 1 }, () => ({
      id: "0000000000000001",
      name: "ü".repeat(128),
      joined: false,
    }));
    const reply = {
      state: "refused" as const,
      formerId: "00000000000000ab",
      memberId: "",
      memberName: "",
      clusterId: "",
      members,
      reason: "€".repeat(2000),
    };
    const bytes = encodeHelloAnswer({ type: "probed", reply });
    expect(bytes.length).toBeLessThan(65_536);
    expect(decodeHelloAnswer(bytes)).toMatchObject({ reply: { members: members.slice(1), reason: "€".repeat(341) } });
  });
});
