import { expect, it } from "vitest";
import { effectiveImage, effectiveSpec } from "./defaults.ts";

it.each([
  ["nothing", undefined, "reg:5000/concord:1@sha256:aa", "reg:5000/concord:1@sha256:aa"],
  ["a tag, which drops the digest of another", { tag: "2" }, "reg:5000/concord:1@sha256:aa", "reg:5000/concord:2"],
  ["a repository", { repository: "mine/concord" }, "concord:1", "mine/concord:1"],
  ["a digest", { digest: "sha256:bb" }, "concord:1", "concord@sha256:bb"],
  ["everything", { repository: "r", tag: "3", digest: "sha256:cc" }, "concord:1", "r:3@sha256:cc"],
])("completes an image of which the user gave %s", (_, image, base, expected) => {
  expect(effectiveImage(image, base)).toBe(expected);
});

it("makes three members with 1 GiB of an empty spec, and keeps its volumes when deleted", () => {
  expect(effectiveSpec({}, "concord:1")).toMatchObject({
    replicas: 3,
    storage: { size: "1Gi", whenDeleted: "Retain", whenScaled: "Delete" },
    tls: { client: { renewBeforeSeconds: 30 * 86_400 } },
  });
});
