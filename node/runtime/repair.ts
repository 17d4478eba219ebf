import { type Member } from "../machine/commands.ts";
import { type MemberId } from "../raft/types.ts";
import { lookPeriodically } from "./periodic.ts";
import { type Replica } from "./replica.ts";

/** Between two looks at members that do not answer. */
const PERIOD_MS = 1_000;
const REQUEST_TIMEOUT_MS = 5_000;

/**
 * The leader's half of recovering from a damaged log. A member whose log is damaged gives up its id and waits, empty,
 * under its name, saying which id it had. The leader asks voters that it cannot reach; one that answers so is removed
 * and added anew as a learner. Both changes are refused while the rest has no healthy majority.
 */
export class Repair {
  readonly #replica: Replica;
  readonly stop: () => void;
  #busy = false;

  constructor(replica: Replica) {
    this.#replica = replica;
    this.stop = lookPeriodically(replica, PERIOD_MS, () => this.#look());
  }

  #look(): void {
    const { inOffice, status, machine, memberId } = this.#replica;
    if (!inOffice || this.#busy) return;
    for (const peer of status.peers) {
      const member = machine.members().find(({ id }) => id === peer.id);
      if (peer.id === memberId || peer.learner || peer.active || member === undefined) continue;
      this.#ask(member);
    }
  }

  #ask({ id, name, peerUrls }: Member): void {
    this.#replica.transport.probe(peerUrls, (_error, answer) => {
      if (this.#replica.stopped || this.#busy || answer?.state !== "empty") return;
      if (answer.memberName === name && answer.formerId === id) this.#replace(id, name, peerUrls);
    });
  }

  #replace(formerId: MemberId, name: string, peerUrls: readonly string[]): void {
    const { membership, logger } = this.#replica;
    logger.warn("A member gave up its damaged log; it is removed and added anew", { name, formerId });
    this.#busy = true;
    membership.request({ type: "remove", id: formerId }, REQUEST_TIMEOUT_MS, (removed) => {
      if (!removed.ok) {
        this.#busy = false;
        logger.warn("The member is not removed yet", { name, reason: removed.error.message });
        return;
      }
      membership.request({ type: "addLearner", name, peerUrls }, REQUEST_TIMEOUT_MS, (added) => {
        this.#busy = false;
        if (!added.ok) logger.warn("The member is not added yet", { name, reason: added.error.message });
      });
    });
  }
}

/**
 * The member's half: once it has caught up as a learner it asks to vote again, as it did under its former id. It asks
 * until it does; the leader refuses as long as it is behind.
 */
export class Rejoin {
  readonly #replica: Replica;
  readonly #done: () => void;
  #cancel: () => void = () => undefined;

  /** `done`: it votes; nothing has to be remembered of the former id. */
  constructor(replica: Replica, done: () => void) {
    this.#replica = replica;
    this.#done = done;
    this.#schedule();
  }

  stop(): void {
    this.#cancel();
  }

  #schedule(): void {
    this.#cancel = this.#replica.environment.timer(PERIOD_MS, () => {
      if (!this.#replica.stopped) this.#ask();
    });
  }

  #ask(): void {
    const { machine, memberId, membership } = this.#replica;
    const own = machine.members().find(({ id }) => id === memberId);
    if (own?.learner === false) {
      this.#done();
    } else if (own === undefined) {
      this.#schedule();
    } else {
      membership.request({ type: "promote", id: memberId }, REQUEST_TIMEOUT_MS, () => {
        if (!this.#replica.stopped) this.#schedule();
      });
    }
  }
}
