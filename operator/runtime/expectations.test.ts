import { expect, test } from "vitest";
import { Expectations } from "./expectations.ts";
import { type KubernetesObject } from "./kubernetes-object.ts";
import { Store } from "./store.ts";

const pod = (version: string, more: object = {}): KubernetesObject => ({
  kind: "Pod",
  metadata: { name: "a", namespace: "ns", uid: "u1", resourceVersion: version, ...more },
});

test("a write is pending until the cache has seen its version, or a later one", () => {
  const store = new Store<KubernetesObject>();
  const expectations = new Expectations();
  store.upsert(pod("5"));
  expectations.expectWrite("ns/c", store, pod("7"));
  expect(expectations.pending("ns/c")).toEqual([{ kind: "Pod", name: "a", waitingFor: "version 7" }]);
  expect(expectations.pending("ns/other")).toEqual([]);
  store.bookmark("12");
  expect(expectations.pending("ns/c")).toEqual([]);
});

test("an object that came and went between two looks does not stay pending", () => {
  const store = new Store<KubernetesObject>();
  const expectations = new Expectations();
  expectations.expectWrite("ns/c", store, pod("7"));
  store.delete(pod("9"));
  expect(expectations.pending("ns/c")).toEqual([]);
});

test("a deletion is pending until the object is gone, marked, or another one", () => {
  const store = new Store<KubernetesObject>();
  const expectations = new Expectations();
  store.upsert(pod("5"));
  expectations.expectDelete("ns/c", store, pod("5"));
  expect(expectations.pending("ns/c")).toHaveLength(1);
  store.upsert(pod("6", { deletionTimestamp: "2026-01-01T00:00:00Z" }));
  expect(expectations.pending("ns/c")).toEqual([]);

  expectations.expectDelete("ns/c", store, pod("5", { uid: "u0" }));
  expect(expectations.pending("ns/c")).toEqual([]);
});

test("what a cluster expected is forgotten with it", () => {
  const expectations = new Expectations();
  expectations.expectWrite("ns/c", new Store<KubernetesObject>(), pod("7"));
  expectations.forget("ns/c");
  expect(expectations.pending("ns/c")).toEqual([]);
});
