import { describe, expect, test } from "vitest";
import { ConcordError } from "../client/errors.ts";
import { type Operation, type PutOperation } from "../machine/commands.ts";
import { accessesOf, authorize, isReadOnly, type Access } from "./authorize.ts";
import { principalOf, type Principal } from "./principal.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const put = (key: string, flags: Partial<PutOperation> = {}): PutOperation => ({
  type: "put",
  key: bytes(key),
  value: bytes(""),
  lease: 0n,
  previous: false,
  ignoreValue: false,
  ignoreLease: false,
  ...flags,
});
const range = (key: string): Operation => ({
  type: "range",
  key: bytes(key),
  rangeEnd: bytes(""),
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
});
const remove = (key: string, previous: boolean): Operation => ({
  type: "delete",
  key: bytes(key),
  rangeEnd: bytes(""),
  previous,
});

function touched(operation: Operation): readonly string[] {
  return [...accessesOf(operation)].map((access) =>
    "range" in access ? `${access.type} ${new TextDecoder().decode(access.range.key)}` : access.type,
  );
}

describe("what an operation touches", () => {
  test.each<[string, Operation, readonly string[]]>([
    ["a range reads", range("a"), ["read a"]],
    ["a put writes", put("a"), ["write a"]],
    ["a put that returns the old row reads it", put("a", { previous: true }), ["write a", "read a"]],
    ["a put that keeps the old value reads it", put("a", { ignoreValue: true }), ["write a", "read a"]],
    ["a delete writes", remove("a", false), ["write a"]],
    ["a delete that returns rows reads them", remove("a", true), ["write a", "read a"]],
  ])("%s", (_what, operation, expected) => {
    expect(touched(operation)).toEqual(expected);
  });

  test("a txn touches its compares and both branches, to any depth", () => {
    const compare = { key: bytes("c"), rangeEnd: bytes(""), result: "equal", target: "version", operand: 0 } as const;
    const inner: Operation = { type: "txn", compares: [compare], success: [range("d")], failure: [put("e")] };
    const operation: Operation = {
      type: "txn",
      compares: [],
      success: [put("a")],
      failure: [remove("b", false), inner],
    };
    expect(touched(operation)).toEqual(["write a", "write b", "read c", "read d", "write e"]);
    expect(isReadOnly(operation)).toBe(false);
    expect(isReadOnly({ type: "txn", compares: [compare], success: [range("d")], failure: [] })).toBe(true);
  });
});

describe("who may do what", () => {
  const principals: Readonly<Record<string, Principal>> = {
    admin: { kind: "admin", name: "operator" },
    client: { kind: "client", name: "app" },
    local: { kind: "anonymous", local: true },
    remote: { kind: "anonymous", local: false },
  };
  const allowed = (principal: Principal, access: Access): boolean => {
    try {
      authorize(principal, [access]);
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(ConcordError);
      expect((error as ConcordError).code).toBe("CONCORD_PERMISSION_DENIED");
      return false;
    }
  };

  test.each<[Access["type"], readonly string[]]>([
    ["read", ["admin", "client", "local", "remote"]],
    ["write", ["admin", "client", "local", "remote"]],
    ["status", ["admin", "client", "local", "remote"]],
    ["compact", ["admin", "client", "local", "remote"]],
    ["administer", ["admin", "local"]],
  ])("%s: %j", (type, expected) => {
    const access = { type, range: { key: bytes("k"), rangeEnd: bytes("") } } as Access;
    const who = Object.keys(principals).filter((name) => allowed(principals[name]!, access));
    expect(who).toEqual(expected);
  });

  test("one forbidden access among many refuses the whole request", () => {
    expect(() => authorize(principals["client"]!, [{ type: "status" }, { type: "administer" }])).toThrow(ConcordError);
  });
});

describe("who asks", () => {
  const admin = { subject: "op", identity: { type: "role", clusterUid: "uid", role: "admin" } } as const;

  test("an admin's certificate counts for its own cluster alone", () => {
    const facts = { secure: true, remoteAddress: "10.0.0.1", certificate: admin };
    expect(principalOf(facts, "uid").kind).toBe("admin");
    expect(principalOf(facts, "other").kind).toBe("client");
    expect(principalOf(facts, "").kind).toBe("client");
  });

  test.each([
    ["127.0.0.1", false, true],
    ["127.9.9.9", false, true],
    ["::1", false, true],
    ["::ffff:127.0.0.1", false, true],
    ["127.0.0.1", true, false],
    ["10.0.0.1", false, false],
    ["::ffff:10.0.0.1", false, false],
    ["127.0.0.1.evil.example", false, false],
    [undefined, false, false],
  ])("address %s with TLS %s is local: %s", (remoteAddress, secure, local) => {
    expect(principalOf({ secure, remoteAddress, certificate: undefined }, "uid")).toEqual({ kind: "anonymous", local });
  });
});
