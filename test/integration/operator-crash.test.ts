import { afterEach, describe, expect, test } from "vitest";
import { FakeCluster } from "../support/fake-apiserver/index.ts";

/** Kills the operator again and again after a number of effects, whose answers it does not live to see. */
class Killer {
  readonly #fake: FakeCluster;
  readonly #effectsPerLife: number;
  #effects = 0;
  #dead = false;
  deaths = 0;

  constructor(fake: FakeCluster, effectsPerLife: number) {
    this.#fake = fake;
    this.#effectsPerLife = effectsPerLife;
    fake.server.faults = () => (this.#dead ? { type: "reset", when: "before" } : undefined);
    fake.server.breakAfterEffect = ({ path }) => !path.includes("/events") && this.#lastEffect();
    fake.members.hook = (when, call) => {
      if (this.#dead) throw new Error("dead");
      if (when === "after" && !call.startsWith("GET ") && this.#lastEffect()) throw new Error("dead");
    };
  }

  /** Runs one operator after the other until the condition holds. */
  async runUntil(what: string, holds: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + 60_000;
    while (!holds()) {
      if (performance.now() > deadlineMs) throw new Error(`Waited in vain for: ${what}`);
      this.#effects = 0;
      this.#dead = false;
      const operator = this.#fake.startOperator();
      await this.#fake.until(what, () => this.#dead || holds(), 30_000);
      this.#dead = true;
      await operator.stop();
    }
  }

  #lastEffect(): boolean {
    this.#effects += 1;
    if (this.#effects < this.#effectsPerLife) return false;
    this.#dead = true;
    this.deaths += 1;
    return true;
  }
}

describe("an operator that dies after every single effect", () => {
  let fake: FakeCluster;

  afterEach(async () => {
    await fake.close();
  });

  test.each([1, 3])(
    "founds once and scales 3-5-3 when it survives %i effects at a time",
    async (effects) => {
      fake = await FakeCluster.open();
      const killer = new Killer(fake, effects);
      fake.createCluster("demo", { storage: { retentionPolicy: { whenScaled: "Delete" } } });
      await killer.runUntil("three members", () => fake.isReady("demo"));
      const founded = fake.members.clusters[0];
      const foundingMembers = founded?.members.map(({ id }) => id);

      fake.patchCluster("demo", { spec: { replicas: 5 } });
      await killer.runUntil("five members", () => fake.isReady("demo"));
      expect(founded?.members.filter(({ learner }) => !learner)).toHaveLength(5);

      fake.patchCluster("demo", { spec: { replicas: 3 } });
      await killer.runUntil("three members again", () => fake.isReady("demo"));

      expect(killer.deaths).toBeGreaterThan(20 / effects);
      // Founded once, and the same cluster all the time.
      expect(fake.members.clusters).toHaveLength(1);
      expect(fake.members.changes.filter((change) => change.startsWith("grant"))).toHaveLength(1);
      expect(fake.members.changes.filter((change) => change.startsWith("remove"))).toHaveLength(2);
      expect(founded?.members.filter(({ learner }) => !learner)).toHaveLength(3);
      expect(foundingMembers).toHaveLength(3);
      // Only volumes of members that had left the configuration were deleted.
      const left = new Set(founded?.members.map(({ name }) => name));
      const claims = fake.server.storage.list("/persistentvolumeclaims").map(({ metadata }) => metadata.name);
      for (const name of left)
        expect(claims.some((claim) => claim.endsWith(`-${name.slice("demo-".length)}`))).toBe(true);
    },
    90_000,
  );
});
