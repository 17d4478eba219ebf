import { type Prng } from "../support/prng.ts";
import { type ClientOperation, type ClientResult } from "../support/checkers/history.ts";
import { type Outcome } from "../../node/machine/commands.ts";
import { type Idempotency } from "../../node/machine/machine.ts";
import { KEY_DIGEST_BYTES, REQUEST_DIGEST_BYTES } from "../../node/machine/write-records.ts";
import { type Settled } from "../../node/runtime/settled.ts";
import { type SimNode } from "./node.ts";
import { type Simulation } from "./simulation.ts";

const TIMEOUT_MS = 1_000;
/** Longer than any run: no key is forgotten while its write may still be sent. */
const IDEMPOTENCY_TTL_MS = 3_600_000;
const IDEMPOTENCY_BUDGET_BYTES = 64 * 1024 * 1024;
const EMPTY = new Uint8Array(0);
const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

/** One client: calls any node, one call at a time, and notes what it did and saw. Every value is written once. */
export class Client {
  readonly #simulation: Simulation;
  readonly #name: string;
  readonly #random: Prng;
  readonly #keyed: boolean;
  #running = false;
  #serial = 0;

  /** @param options.keyed - sends every put with an idempotency key, again and again, until it is answered */
  constructor(simulation: Simulation, name: string, options: { readonly keyed: boolean; readonly random: Prng }) {
    this.#simulation = simulation;
    this.#name = name;
    this.#keyed = options.keyed;
    this.#random = options.random;
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

  #put(): Extract<ClientOperation, { type: "put" }> {
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
    const end = this.#simulation.history.begin(operation);
    const finish = (result: ClientResult): void => {
      end(result);
      done(result);
    };
    if (this.#keyed && operation.type === "put") this.#attemptKeyed(operation, idempotencyOf(operation), false, finish);
    else this.#attempt(operation, undefined, finish);
  }

  /** Until it is answered: then it was done once, however often it was sent, at the revision of the first time. */
  #attemptKeyed(
    operation: ClientOperation,
    idempotency: Idempotency,
    maybeDone: boolean,
    finish: (result: ClientResult) => void,
  ): void {
    this.#attempt(operation, idempotency, (result) => {
      const mayBeDone = maybeDone || result.type === "unknown";
      if (result.type === "ok") finish(result);
      else if (!this.#running) finish({ type: mayBeDone ? "unknown" : "failed" });
      else this.#later(() => this.#attemptKeyed(operation, idempotency, mayBeDone, finish));
    });
  }

  /** Asks one node once. */
  #attempt(
    operation: ClientOperation,
    idempotency: Idempotency | undefined,
    done: (result: ClientResult) => void,
  ): void {
    const up = this.#simulation.nodes.filter((node) => node.replica !== undefined && !node.replica.stopped);
    const node = up.length === 0 ? undefined : this.#random.pick(up);
    let open = true;
    const finish = (result: ClientResult): void => {
      if (!open) return;
      open = false;
      done(result);
    };
    if (node === undefined) {
      this.#simulation.clock.schedule(50, () => finish({ type: "failed" }));
      return;
    }
    // A killed process does not answer: the client gives up knowing nothing.
    this.#simulation.clock.schedule(TIMEOUT_MS * 2, () => finish({ type: "unknown" }));
    if (operation.type === "get") this.#read(node, operation.key, finish);
    else this.#write(node, operation, idempotency, finish);
  }

  #write(
    node: SimNode,
    operation: Exclude<ClientOperation, { type: "get" }>,
    idempotency: Idempotency | undefined,
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
    node.replica?.propose(command, TIMEOUT_MS, (result) => finish(writeResult(result)), { idempotency });
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

/** Values are written once, so each is a key for its own write. */
function idempotencyOf({ value }: Extract<ClientOperation, { type: "put" }>): Idempotency {
  const digest = bytes(value.padEnd(KEY_DIGEST_BYTES, "."));
  return {
    key: digest.subarray(0, KEY_DIGEST_BYTES),
    request: digest.subarray(0, REQUEST_DIGEST_BYTES),
    ttlMs: IDEMPOTENCY_TTL_MS,
    budgetBytes: IDEMPOTENCY_BUDGET_BYTES,
  };
}

function writeResult(result: Settled<Outcome>): ClientResult {
  if (!result.ok) return { type: result.error.outcome };
  if (!result.value.ok) return { type: "failed" };
  const { revision, reply } = result.value;
  // A delete of nothing makes no revision.
  if (reply.type === "delete" && reply.deleted === 0) return { type: "ok", revision, modRevision: 0 };
  return { type: "ok", revision };
}
