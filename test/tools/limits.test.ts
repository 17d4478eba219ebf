import { expect, test } from "vitest";
import { BULK_ITEMS_MAX, KEY_BYTES_MAX } from "../../node/client/rest.ts";
import { SETTING_NAMES } from "../../node/config/schema.ts";
import { LEASES_MAX } from "../../node/machine/leases.ts";
import { NodeMetrics } from "../../node/observability/metrics.ts";
import { CORE_DEFAULTS } from "../../node/raft/config.ts";
import { TRANSPORT_LIMITS } from "../../node/transport/tcp/limits.ts";
import { SNAPSHOT } from "../support/node-snapshot.ts";
import { LIMITS } from "./gen/limits.ts";

const digits = (text: string): string => text.replaceAll(" ", "");

test("every limit has a metric, and a setting or a value that is known", () => {
  const metrics = new NodeMetrics({ name: "a" }, () => SNAPSHOT);
  const names = new Set(metrics.descriptions().map(({ name }) => name));
  metrics.close();
  for (const { what, bound, metrics: wanted } of LIMITS) {
    expect(wanted.length, what).toBeGreaterThan(0);
    expect(wanted.filter((name) => !names.has(name))).toEqual([]);
    if (typeof bound !== "string") expect(bound.filter((name) => !SETTING_NAMES.includes(name))).toEqual([]);
  }
});

test("every setting that is a limit is in the table", () => {
  const named = new Set(LIMITS.flatMap(({ bound }) => (typeof bound === "string" ? [] : bound)));
  const limits = SETTING_NAMES.filter((name) => /^max|BytesMax$|^quota/.test(name));
  expect(limits.filter((name) => !named.has(name))).toEqual([]);
});

test("the fixed ones are as the code has them", () => {
  const fixed = LIMITS.map(({ bound }) => (typeof bound === "string" ? digits(bound) : "")).filter(
    (each) => each !== "",
  );
  expect(fixed).toEqual(
    expect.arrayContaining([
      `${KEY_BYTES_MAX}bytes`,
      `${BULK_ITEMS_MAX}`,
      `${LEASES_MAX}`,
      `${TRANSPORT_LIMITS.bufferBytesMax >> 20}MiB`,
      `${CORE_DEFAULTS.uncommittedBytesMax >> 20}MiBor${CORE_DEFAULTS.uncommittedEntriesMax}entries;20000writes`,
    ]),
  );
});
