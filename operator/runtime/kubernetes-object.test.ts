import { expect, test } from "vitest";
import { isAlreadyExists, isConflict, isGone, isNamespaceTerminating, apiErrorFrom } from "./api-error.ts";
import { compareResourceVersions, resourceTypeOf, RESOURCES, splitKey } from "./kubernetes-object.ts";
import { microTime } from "./micro-time.ts";

test("resource versions compare as numbers of any length", () => {
  expect(compareResourceVersions("9", "10")).toBeLessThan(0);
  expect(compareResourceVersions("90071992547409930", "90071992547409929")).toBeGreaterThan(0);
  expect(compareResourceVersions("7", "7")).toBe(0);
});

test("a kind that the operator does not handle is refused by name", () => {
  const metadata = { name: "a" };
  expect(resourceTypeOf({ apiVersion: "apps/v1", kind: "StatefulSet", metadata })).toBe(RESOURCES.statefulSets);
  expect(() => resourceTypeOf({ apiVersion: "apps/v1", kind: "Deployment", metadata })).toThrow('kind "Deployment"');
});

test("keys split into namespace and name", () => {
  expect(splitKey("ns/a")).toEqual({ namespace: "ns", name: "a" });
});

test("MicroTime has six digits", () => {
  expect(microTime(Date.UTC(2026, 0, 2, 3, 4, 5, 67))).toBe("2026-01-02T03:04:05.067000Z");
});

test("errors keep status, reason and the wait the server asks for", () => {
  const status = { kind: "Status", reason: "AlreadyExists", message: "it is there", code: 409 };
  const exists = apiErrorFrom(409, JSON.stringify(status));
  expect([isAlreadyExists(exists), isConflict(exists), exists.message]).toEqual([true, false, "it is there"]);
  expect(isConflict(apiErrorFrom(409, { reason: "Conflict" }))).toBe(true);
  expect(isGone(apiErrorFrom(0, { code: 410, reason: "Expired" }))).toBe(true);
  expect(apiErrorFrom(429, "slow down", "3")).toMatchObject({ status: 429, message: "slow down", retryAfterMs: 3000 });
  expect(apiErrorFrom(503, { details: { retryAfterSeconds: 1 } }).retryAfterMs).toBe(1000);
  const terminating = "unable to create new content in namespace x because it is being terminated";
  expect(isNamespaceTerminating(apiErrorFrom(403, { message: terminating }))).toBe(true);
});
