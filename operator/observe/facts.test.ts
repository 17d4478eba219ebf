import { expect, it } from "vitest";
import { podFacts } from "./facts.ts";
import { type PodObject } from "./shapes.ts";

it("a pod is overdue when its grace period, and half a minute more, is over", () => {
  const at = "2026-01-01T00:00:30Z";
  const pod = (deletionTimestamp?: string): PodObject => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "demo-m1-0", ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }) },
  });
  const end = Date.parse(at);
  expect(podFacts(pod(), end + 1e9)).toMatchObject({ deleting: false, overdue: false });
  expect(podFacts(pod(at), end + 30_000)).toMatchObject({ deleting: true, overdue: false });
  expect(podFacts(pod(at), end + 30_001)).toMatchObject({ deleting: true, overdue: true });
});
