import { type Prng } from "../support/prng.ts";
import { type SimNode } from "./node.ts";
import { type Simulation } from "./simulation.ts";

const TROUBLE_MAX_MS = 1_000;

type Loss = "log" | "checkpoint" | "disk";

/**
 * What befalls disks. Trouble passes: a full disk, syncs that fail or take long. A loss stays: a flipped bit in a log or a
 * checkpoint, an empty disk in place of the old one. Losses come one at a time, and the next one only when all are whole
 * again, so that it is fair to ask for every acknowledged write.
 */
export class DiskFaults {
  readonly #simulation: Simulation;
  readonly #random: Prng;

  constructor(simulation: Simulation, random: Prng) {
    this.#simulation = simulation;
    this.#random = random;
  }

  /** @returns what ends it */
  trouble(node: SimNode): () => void {
    const { faults } = node.disk;
    const kind = this.#random.pick(["full", "failing", "slow"] as const);
    this.#simulation.note(`fault: ${kind} disk of ${node.name}`);
    if (kind === "full") faults.spaceBytes = node.disk.usedBytes();
    else if (kind === "failing") faults.syncFails = this.#random.pick([0.05, 1]);
    else faults.slowSyncs = 0.5;
    return () => {
      Object.assign(node.disk.faults, { spaceBytes: Infinity, syncFails: 0, slowSyncs: 0 });
    };
  }

  get troubleMs(): number {
    return this.#random.float() * TROUBLE_MAX_MS;
  }

  /** @returns the machine to start again, or undefined when no loss can be borne now */
  loss(): SimNode | undefined {
    const { administrator } = this.#simulation;
    if (administrator.wanted.size < 3 || !administrator.isCalm) return undefined;
    const node = this.#random.pick([...administrator.wanted]);
    const kind = this.#random.pick<Loss>(["log", "log", "checkpoint", "disk"]);
    if (node.up) node.kill(this.#random.chance(0.5) ? "kill" : "power");
    const lost = this.#lose(node, kind);
    if (!lost) return node;
    this.#simulation.note(`fault: ${node.name} loses its ${kind}`);
    node.damagedIn = node.incarnation;
    return node;
  }

  #lose(node: SimNode, kind: Loss): boolean {
    if (kind === "disk") {
      node.replaceDisk();
      return true;
    }
    return kind === "log" ? this.#flipInLog(node) : this.#damageCheckpoint(node);
  }

  #flipInLog(node: SimNode): boolean {
    const paths = node.disk.paths().filter((each) => each.includes("/log/"));
    if (paths.length === 0) return false;
    const path = this.#random.pick(paths);
    const used = lastUsedByte(node.disk.read(path));
    if (used === 0) return false;
    node.disk.flipBit(path, this.#random.below(used), this.#random.below(8));
    return true;
  }

  #damageCheckpoint({ checkpoints }: SimNode): boolean {
    const directories = checkpoints.factory().list();
    const directory = directories.at(-1);
    if (directory === undefined) return false;
    const pages = checkpoints.pages(directory);
    const page = pages.length === 0 ? undefined : this.#random.pick(pages);
    const kind = this.#random.below(3);
    if (kind === 0 || page === undefined) checkpoints.loseMeta(directory);
    else if (kind === 1) checkpoints.losePage(directory, page);
    else checkpoints.flipBit(directory, page, this.#random.below(1024));
    return true;
  }
}

function lastUsedByte(bytes: Uint8Array): number {
  for (let at = bytes.length - 1; at >= 0; at -= 1) if (bytes[at] !== 0) return at + 1;
  return 0;
}
