import { type Prng } from "../support/prng.ts";
import { type ClientOperation, type ClientResult } from "../support/checkers/history.ts";
import { type Outcome } from "../../node/machine/commands.ts";
import { type Settled } from "../../node/runtime/settled.ts";
import { type SimNode } from "./node.ts";
import { type Simulation } from "./simulation.ts";

const TIMEOUT_MS = 1_000;
const EMPTY = new Uint8Array(0);
const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

/** One client: calls any node, one call at a time, and notes what it did and saw. Every value is written once. */
export class Client {
  readonly #simulation: Simulation;
  readonly #name: string;
  readonly #random: Prng;
  #running = false;
  #serial = 0;

  constructor(simulation: Simulation, name: string, random: Prng) {
    this.#simulation = simulation;
    this.#name = name;
    this.#random = random;
  }

  start(): void {
    this.#running = true;
    this.#later(() => this.#next());
  }

  stop(): void {
    this.#running = false;
  }

  writeUntilAcknowledged(done: () => void): void {
    this.#call(this.#put(), (result) => {
      if (result.type === "ok") done();
      else this.#simulation.clock.schedule(100, () => this.writeUntilAcknowledged(done));
    });
  }

  #next(): void {
    if (!this.#running) return;
    const kind = this.#random.below(10);
    const operation: ClientOperation =
      kind < 5
        ? this.#put()
        : kind < 9
          ? { type: "get", key: this.#key() }
          : { type: "delete", key: this.#key(), id: `${this.#name}-${this.#serial++}` };
    this.#call(operation, () => this.#later(() => this.#next()));
  }

  #put(): ClientOperation {
    return { type: "put", key: this.#key(), value: `${this.#name}-${this.#serial++}` };
  }

  #key(): string {
    return `k${this.#random.below(this.#simulation.settings.keys)}`;
  }

  #later(run: () => void): void {
    const pause = this.#simulation.settings.thinkMs * this.#random.float() * 2 + 0.05;
    this.#simulation.clock.schedule(pause, run);
  }

  #call(operation: ClientOperation, done: (result: ClientResult) => void): void {
    const up = this.#simulation.nodes.filter((node) => node.replica !== undefined && !node.replica.stopped);
    const node = up.length === 0 ? undefined : this.#random.pick(up);
    const end = this.#simulation.history.begin(operation);
    let open = true;
    const finish = (result: ClientResult): void => {
      if (!open) return;
      open = false;
      end(result);
      done(result);
    };
    if (node === undefined) {
      this.#simulation.clock.schedule(50, () => finish({ type: "failed" }));
      return;
    }
    // A killed process does not answer: the client gives up knowing nothing.
    this.#simulation.clock.schedule(TIMEOUT_MS * 2, () => finish({ type: "unknown" }));
    if (operation.type === "get") this.#read(node, operation.key, finish);
    else this.#write(node, operation, finish);
  }

  #write(
    node: SimNode,
    operation: Exclude<ClientOperation, { type: "get" }>,
    finish: (result: ClientResult) => void,
  ): void {
    const command =
      operation.type === "put"
        ? ({
            type: "put",
            key: bytes(operation.key),
            value: bytes(operation.value),
            lease: 0n,
            previous: false,
            ignoreValue: false,
            ignoreLease: false,
          } as const)
        : ({ type: "delete", key: bytes(operation.key), rangeEnd: EMPTY, previous: false } as const);
    node.replica?.propose(command, TIMEOUT_MS, (result) => finish(writeResult(result)));
  }

  #read(node: SimNode, key: string, finish: (result: ClientResult) => void): void {
    const { replica } = node;
    replica?.barrier(TIMEOUT_MS, (confirmed) => {
      if (!confirmed.ok) {
        finish({ type: "failed" });
        return;
      }
      const result = replica.machine.get(bytes(key));
      if (!result.ok || result.reply.type !== "range") throw new Error("A read of one key cannot be refused");
      const row = result.reply.rows[0];
      finish({
        type: "ok",
        revision: result.revision,
        value: row === undefined ? undefined : Buffer.from(row.value).toString("latin1"),
      });
    });
  }
}

function writeResult(result: Settled<Outcome>): ClientResult {
  if (!result.ok) return { type: result.error.outcome };
  if (!result.value.ok) return { type: "failed" };
  const { revision, reply } = result.value;
  // A delete of nothing makes no revision.
  if (reply.type === "delete" && reply.deleted === 0) return { type: "ok", revision, modRevision: 0 };
  return { type: "ok", revision };
}
