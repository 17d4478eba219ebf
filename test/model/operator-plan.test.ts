import { describe, expect, it } from "vitest";
import { LABEL } from "../../operator/resources/labels.ts";
import { Prng } from "../support/prng.ts";
import { FAIR, OperatorProcess, type Weather } from "./operator-process.ts";
import { BAD_IMAGE, World } from "./operator-world.ts";

const PASSES_MAX = 400;
/** More of them: `CONCORD_SEEDS=1000 npx vitest run test/model/operator-plan.test.ts`. */
const SEEDS = Number(process.env["CONCORD_SEEDS"] ?? 20);
const STORMY: Weather = { stale: 0.3, unanswered: 0.1, crash: 0.03 };

function run(seed: string | number): { world: World; operator: OperatorProcess } {
  const world = new World(new Prng(seed));
  return { world, operator: new OperatorProcess(world) };
}

/** Good weather until nothing is left to do; then the cluster must be as its spec says, and the operator silent. */
function converge(world: World, operator: OperatorProcess): void {
  world.heal();
  for (let passes = 0; ; passes++) {
    const { plan, wrote } = operator.pass(FAIR);
    world.tick();
    const ready = plan.status.conditions?.find((condition) => condition.type === "Ready");
    if (ready?.status === "True" && !wrote) break;
    if (passes > PASSES_MAX) {
      throw new Error(
        `Not converged: ${JSON.stringify(plan.status.conditions)} ${JSON.stringify(world.group)} ${operator.trace.slice(-15).join("; ")}`,
      );
    }
  }
  expectAsSpecified(world);
}

function expectAsSpecified(world: World): void {
  const replicas = world.spec.replicas ?? 3;
  const names = world.voters().map((voter) => voter.name);
  expect(names).toHaveLength(replicas);
  expect(world.group?.members).toHaveLength(replicas);
  expect(
    world
      .ofKind("StatefulSet")
      .map((set) => set.name)
      .sort(),
  ).toEqual([...names].sort());
  const claims = world.ofKind("PersistentVolumeClaim").length;
  if (world.statusWasLost) expect(claims).toBeGreaterThanOrEqual(replicas);
  else expect(claims).toBe(replicas);
  const serving = [...world.pods.values()].filter((pod) => pod.labels[LABEL.serving] === "true");
  expect(serving.map((pod) => pod.name).sort()).toEqual(names.map((name) => `${name}-0`).sort());
  expect(world.ofKind("PodDisruptionBudget")).toHaveLength(replicas > 1 ? 1 : 0);
  expect(world.foundings).toBe(1);
}

function edit(world: World, change: Partial<World["spec"]>): void {
  world.spec = { ...world.spec, ...change };
  world.generation += 1;
  world.clusterResourceVersion = world.next();
}

describe("a plan in good weather", () => {
  it.each([1, 2, 3, 4, 5, 7])("creates %i members", (replicas) => {
    const { world, operator } = run(`create-${replicas}`);
    edit(world, { replicas });
    converge(world, operator);
    const decisive = operator.trace;
    expect(decisive.filter((step) => step.startsWith("grantFounding"))).toHaveLength(1);
    expect(decisive.filter((step) => step.startsWith("addLearner"))).toHaveLength(replicas - 1);
  });

  it("scales 1, 3, 5, 3, 1 and loses nothing", () => {
    const { world, operator } = run("scale");
    for (const replicas of [1, 3, 5, 3, 1]) {
      edit(world, { replicas });
      converge(world, operator);
    }
    expect(operator.trace.filter((step) => step.startsWith("transferLeadership"))).toEqual([]);
  });
});

describe("a plan in any weather", () => {
  it.each(Array.from({ length: SEEDS }, (_, seed) => seed))("is safe and converges (seed %i)", (seed) => {
    const { world, operator } = run(seed);
    const { random } = world;
    edit(world, { replicas: random.pick([1, 3, 5]) });
    for (let step = 0; step < 250; step++) {
      operator.pass(STORMY);
      for (let ticks = random.below(3); ticks > 0; ticks--) world.tick();
      if (random.chance(0.08)) misfortune(world, operator);
    }
    edit(world, { replicas: random.pick([1, 3, 5]), image: { tag: "2" } });
    converge(world, operator);
  });
});

describe("a node that is lost with its volume", () => {
  it.each(["follower", "leader"])("that held the %s gets a replacement while its pod never ends", (role) => {
    const { world, operator } = run(`lost-${role}`);
    edit(world, { replicas: 3 });
    converge(world, operator);
    const victim = world.voters().find(({ id }) => (id === world.group?.leaderId) === (role === "leader"))!;
    const pod = world.podOf(victim)!;
    const claim = world.find("PersistentVolumeClaim", pod.claimName)!;
    world.loseNode(pod);
    // A person knows that the disk will not come back. The claim stays as long as its pod does.
    world.delete("PersistentVolumeClaim", claim.name);
    const replaced = () => world.voters().length === 3 && world.voters().every(({ id }) => id !== victim.id);
    for (let passes = 0; !replaced(); passes++) {
      expect(passes, operator.trace.slice(-10).join("; ")).toBeLessThan(PASSES_MAX);
      operator.pass(FAIR);
      world.tick();
    }
    expect(world.pods.get(pod.name)).toBe(pod);
    expect(world.find("PersistentVolumeClaim", claim.name)).toBe(claim);
    // The node comes back, and what is left of the member goes.
    converge(world, operator);
  });
});

describe("a founding whose disk is lost", () => {
  it.each(Array.from({ length: 10 }, (_, seed) => seed))("is never repeated elsewhere (seed %i)", (seed) => {
    const { world, operator } = run(`founder-${seed}`);
    const { random } = world;
    edit(world, { replicas: random.pick([1, 3]) });
    for (let step = 0; step < 120; step++) {
      operator.pass(STORMY);
      world.tick();
      const founder = world.status.founding;
      if (founder === undefined || world.group?.founded === true || !random.chance(0.2)) continue;
      const claim = world.ofKind("PersistentVolumeClaim").find((candidate) => candidate.uid === founder.volumeClaimUID);
      if (claim !== undefined && random.chance(0.5)) world.disks.set(claim.uid, world.emptyDisk());
      else if (claim !== undefined) world.delete("PersistentVolumeClaim", claim.name);
      for (const pod of world.pods.values()) if (pod.claimName === claim?.name) pod.deleting = true;
    }
    expect(world.foundings).toBeLessThanOrEqual(1);
  });
});

function misfortune(world: World, operator: OperatorProcess): void {
  const { random } = world;
  const pods = [...world.pods.values()];
  const pod = pods.length > 0 ? random.pick(pods) : undefined;
  switch (random.below(10)) {
    case 0:
      edit(world, { replicas: random.pick([1, 2, 3, 4, 5]) });
      break;
    case 1:
      edit(world, { image: { repository: "concord", tag: random.pick(["1", "2", "3"]) } });
      break;
    case 2:
      edit(world, { image: { repository: BAD_IMAGE.split(":")[0] ?? "", tag: "broken" } });
      break;
    case 3:
      if (pod) pod.deleting = true;
      break;
    case 4:
      world.heal();
      if (pod) world.partition(pod);
      break;
    case 5:
      operator.restart();
      break;
    case 6:
      loseDisk(world, "claim");
      break;
    case 7:
      loseDisk(world, "directory");
      break;
    case 8:
      // A restore from a backup that left status out. Before the grant, a status is not lost: nothing backs it up.
      if (world.group !== undefined) {
        world.status = { observedGeneration: -1 };
        world.statusWasLost = true;
        world.clusterResourceVersion = world.next();
      }
      break;
    default:
      world.objects.delete("Service/demo");
      if (pod) world.delete("StatefulSet", pod.name.slice(0, -2));
  }
}

/** Only as much as the design tolerates: a healthy majority of the voters keeps its data. */
function loseDisk(world: World, how: "claim" | "directory"): void {
  const { random, group } = world;
  const alive = world.voters().filter((voter) => world.alive(voter)).length;
  const lost = world.voters().length - world.intactVoters().length;
  const claims = world.ofKind("PersistentVolumeClaim").filter((claim) => !claim.deleting);
  if (claims.length === 0) return;
  const claim = random.pick(claims);
  const disk = world.disks.get(claim.uid);
  const founder = world.status.founding?.volumeClaimUID === claim.uid && group?.founded !== true;
  if (disk === undefined || founder || group?.founded === false) return;
  const member = group?.members.find((candidate) => candidate.id === disk.raftId);
  const going = world.ofKind("PersistentVolumeClaim").some((other) => other.deleting);
  const tolerable =
    member === undefined ||
    member.learner ||
    (lost === 0 &&
      !going &&
      alive === world.voters().length &&
      alive >= 3 &&
      world.voters().length === group?.members.length);
  if (!tolerable) return;
  if (how === "claim") {
    world.delete("PersistentVolumeClaim", claim.name);
    return;
  }
  world.disks.set(claim.uid, world.emptyDisk());
  for (const pod of world.pods.values()) if (pod.claimName === claim.name) pod.deleting = true;
}
