import { beforeEach, describe, expect, test } from "vitest";
import { type KubernetesObject } from "./kubernetes-object.ts";
import { Store } from "./store.ts";

const object = (name: string, version: string, owner = "x", uid = name): KubernetesObject => ({
  metadata: { name, namespace: "ns", uid, resourceVersion: version, labels: { owner } },
});

describe("Store", () => {
  let store: Store<KubernetesObject>;
  let changes: string[];

  beforeEach(() => {
    store = new Store({ owner: ({ metadata }) => [metadata.labels?.["owner"] ?? ""] });
    changes = [];
    store.onChange(({ type, object: changed }) => changes.push(`${type} ${changed.metadata.uid ?? ""}`));
  });

  test("what a fresh list lacks was deleted", () => {
    store.replace([object("a", "1"), object("b", "2")], "5");
    store.replace([object("b", "2"), object("c", "7")], "9");
    expect(changes).toEqual(["added a", "added b", "deleted a", "added c"]);
    expect(store.resourceVersion).toBe("9");
    expect(store.size).toBe(2);
  });

  test("an object that was made again under its name is two objects to its owners", () => {
    store.upsert(object("a", "1"));
    store.upsert(object("a", "4", "x", "other"));
    expect(changes).toEqual(["added a", "deleted a", "added other"]);
  });

  test("the same version again is no change", () => {
    store.upsert(object("a", "1"));
    store.upsert(object("a", "1"));
    expect(changes).toEqual(["added a"]);
  });

  test("indexes follow every change", () => {
    store.upsert(object("a", "1", "x"));
    store.upsert(object("b", "2", "x"));
    store.upsert(object("a", "3", "y"));
    const names = (owner: string) => store.byIndex("owner", owner).map(({ metadata }) => metadata.name);
    expect(names("x")).toEqual(["b"]);
    expect(names("y")).toEqual(["a"]);
    store.delete(object("a", "4", "z"));
    expect(names("y")).toEqual([]);
    expect(() => store.byIndex("other", "x")).toThrow(TypeError);
  });

  test("knows what it has seen, by number and not by text", () => {
    expect(store.hasSeen("1")).toBe(false);
    store.upsert(object("a", "99"));
    expect([store.hasSeen("99"), store.hasSeen("100")]).toEqual([true, false]);
    store.bookmark("1000");
    expect(store.hasSeen("100")).toBe(true);
  });

  test("drops what nobody reads", () => {
    const annotations = { "kubectl.kubernetes.io/last-applied-configuration": "{}", kept: "1" };
    const heavy = { metadata: { ...object("a", "1").metadata, annotations, managedFields: [{}] } };
    store.upsert(heavy);
    expect(store.get("ns/a")?.metadata).toEqual({ ...object("a", "1").metadata, annotations: { kept: "1" } });
  });
});
