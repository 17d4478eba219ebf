import { type Replica } from "../../node/runtime/replica.ts";
import { type Prng } from "../support/prng.ts";
import { type SimNode } from "./node.ts";
import { type Simulation } from "./simulation.ts";

const PERIOD_MS = 50;
const REQUEST_TIMEOUT_MS = 2_000;

/**
 * Who cares for the membership: compares who should be a member with who is, and takes one step at a time. Everything it
 * knows may be late, and a request may be lost or done twice: like the operator of a real cluster it starts over from
 * what it sees.
 */
export class Administrator {
  /** Who should be a member. */
  readonly wanted: Set<SimNode>;
  readonly #simulation: Simulation;
  readonly #random: Prng;
  #requests = 0;

  constructor(simulation: Simulation, random: Prng, founders: readonly SimNode[]) {
    this.#simulation = simulation;
    this.#random = random;
    this.wanted = new Set(founders);
  }

  start(): void {
    const next = (): void => {
      this.#step();
      this.#simulation.clock.schedule(PERIOD_MS * (0.5 + this.#random.float()), next);
    };
    next();
  }

  /** All who should vote do, on disks that are whole, and nobody else: another loss can be borne, or another change made. */
  get isCalm(): boolean {
    const members = this.#view()?.machine.members() ?? [];
    if (members.length !== this.wanted.size) return false;
    for (const node of this.wanted) {
      const known = members.find(({ name }) => name === node.name);
      if (known === undefined || known.learner || known.id !== node.memberId) return false;
      if (node.lostData || node.damagedIn !== undefined) return false;
    }
    return true;
  }

  /** The replica that has seen most. */
  #view(): Replica | undefined {
    let best: Replica | undefined;
    for (const { replica } of this.#simulation.nodes) {
      if (replica === undefined || replica.machine.clusterId === "") continue;
      if (best === undefined || replica.machine.appliedIndex > best.machine.appliedIndex) best = replica;
    }
    return best;
  }

  #step(): void {
    const view = this.#view();
    if (view === undefined || this.#requests >= this.#simulation.settings.requestsMax) return;
    for (const node of this.#random.shuffle([...this.#simulation.nodes])) {
      if (this.#care(node, view)) return;
    }
  }

  /** @returns whether a step was taken */
  #care(node: SimNode, view: Replica): boolean {
    const known = view.machine.members().find(({ name }) => name === node.name);
    if (!this.wanted.has(node)) {
      if (known !== undefined) return this.#request(view, { type: "remove", id: known.id });
      if (node.memberId !== "" && view.machine.isRemoved(node.memberId)) this.#retire(node);
      return false;
    }
    if (node.removed) this.#retire(node);
    if (node.lostData) {
      if (known !== undefined && known.id !== node.memberId)
        return this.#request(view, { type: "remove", id: known.id });
      node.lostData = false;
    }
    if (!node.up) {
      // A member is started again by its supervisor.
      if (known === undefined) node.start();
      return false;
    }
    this.#forgetDamage(node, known);
    if (known === undefined)
      return this.#request(view, { type: "addLearner", name: node.name, peerUrls: [node.address] });
    if (known.learner && view.machine.founding.complete) return this.#request(view, { type: "promote", id: known.id });
    return false;
  }

  #retire(node: SimNode): void {
    this.#simulation.note(`administrator: ${node.name} gets a new disk`);
    if (node.up) node.kill("kill");
    node.replaceDisk();
  }

  #forgetDamage(node: SimNode, known: { readonly id: string; readonly learner: boolean } | undefined): void {
    if (node.damagedIn === undefined || node.incarnation === node.damagedIn) return;
    const whole = node.replica !== undefined && node.replica.machine.clusterId !== "";
    if (whole && known?.id === node.memberId && !known.learner) node.damagedIn = undefined;
  }

  #request(view: Replica, request: Parameters<Replica["membership"]["request"]>[0]): boolean {
    const up = this.#simulation.nodes.flatMap(({ replica }) => (replica === undefined ? [] : [replica]));
    const asked = this.#random.chance(0.5) ? view : this.#random.pick(up);
    this.#requests += 1;
    let open = true;
    const finish = (): void => {
      if (open) this.#requests -= 1;
      open = false;
    };
    // A killed process does not answer.
    this.#simulation.clock.schedule(REQUEST_TIMEOUT_MS * 2, finish);
    asked.membership.request(request, REQUEST_TIMEOUT_MS, (result) => {
      const what = "id" in request ? request.id : "name" in request ? request.name : "";
      this.#simulation.note(`administrator: ${request.type} ${what}: ${result.ok ? "done" : result.error.message}`);
      finish();
    });
    return true;
  }
}
