import { compareBytes } from "../machine/key-range.ts";
import { ROW_EXPIRIES_MAX } from "../machine/limits.ts";
import { type Replica } from "./replica.ts";

/** Ends proposed at one tick: more wait for the next one, so that many leases that end together hold nothing up. */
const EXPIRIES_PER_TICK = 200;
const TIMEOUT_MS = 5_000;
/**
 * Longest time that the log is behind the leader's clock while something will end. A new leader goes on from the last
 * stamp in the log, so all ends are later by up to this; without it they would by all the time in which nobody wrote.
 */
const TIME_STEP_MS = 500;

/**
 * Ends leases and rows while this member leads. Its clock only says when to propose it: the entry names the end that was seen and
 * does nothing when that has moved, and its stamp is compared again when it is applied (D9).
 */
export class Expiry {
  readonly #replica: Replica;
  readonly #ending = new Set<bigint>();
  #endingRows = false;
  #advancing = false;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  tick(): void {
    const { machine, clusterTimeMs: now } = this.#replica;
    if (now === undefined || machine.leases.count + machine.rowsWithEnd === 0) return;
    this.#endRows();
    for (const { id, deadlineMs } of machine.leases.due(now, EXPIRIES_PER_TICK + this.#ending.size)) {
      if (this.#ending.has(id)) continue;
      this.#ending.add(id);
      this.#replica.propose({ type: "leaseExpire", id, deadlineMs }, TIMEOUT_MS, () => this.#ending.delete(id));
    }
    if (this.#advancing || now - machine.clusterTimeMs < TIME_STEP_MS) return;
    this.#advancing = true;
    this.#replica.propose({ type: "advanceTime" }, TIMEOUT_MS, () => {
      this.#advancing = false;
    });
  }

  /** One entry after the other, as fast as they are committed: however many rows end together, none waits for a tick. */
  #endRows(): void {
    const { machine, clusterTimeMs: now } = this.#replica;
    if (now === undefined || this.#endingRows) return;
    const rows = machine.endedRows(now, ROW_EXPIRIES_MAX);
    if (rows.length === 0) return;
    this.#endingRows = true;
    const inOrder = rows.toSorted((left, right) => compareBytes(left.key, right.key));
    this.#replica.propose({ type: "expireRows", rows: inOrder }, TIMEOUT_MS, (settled) => {
      this.#endingRows = false;
      // Where nothing went, something stands in the way: the next tick looks again.
      const reply = settled.ok && settled.value.ok ? settled.value.reply : undefined;
      if (reply?.type === "delete" && reply.deleted > 0) this.#endRows();
    });
  }
}
