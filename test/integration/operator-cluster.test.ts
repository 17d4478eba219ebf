import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeCluster } from "../support/fake-apiserver/index.ts";
import { createLogger, silentLogger } from "../../operator/runtime/logger.ts";

const log =
  process.env["CONCORD_TEST_LOG"] === undefined ? silentLogger : createLogger(process.env["CONCORD_TEST_LOG"]);

describe("the operator on a cluster", () => {
  let fake: FakeCluster;

  beforeEach(async () => {
    fake = await FakeCluster.open({ log });
  });

  afterEach(async () => {
    await fake.close();
  });

  test("creates three members and founds them once", async () => {
    fake.startOperator();
    fake.createCluster("demo");
    await fake.until("Ready", () => fake.isReady("demo"));
    expect(fake.members.clusters).toHaveLength(1);
    expect(fake.members.clusters[0]?.members.map(({ name, learner }) => [name, learner])).toEqual([
      ["demo-m1", false],
      ["demo-m2", false],
      ["demo-m3", false],
    ]);
  });
});
