import { type RaftCore } from "../raft/core.ts";
import { NONE, type Term } from "../raft/types.ts";
import { type Environment } from "./environment.ts";

/** Between two campaigns, ms, and what is added at random: wide against one election, so that two members do not meet again. */
const PAUSE_MS = 50;
const SPREAD_MS = 100;
const TRIES = 4;

/**
 * What a follower does after the connection to its leader ended. Its first pre-vote (0-50 ms later, by the core) is lost
 * when the others have not noticed that end yet, or know more; and two members that campaign in the same moment split the
 * votes. Both are tried again soon, unless somebody leads or has begun to campaign by then, so that a failover does not
 * have to wait for an election timeout.
 */
export class LeaderSearch {
  readonly #core: RaftCore;
  readonly #environment: Environment;
  readonly #campaign: () => void;
  #cancel: () => void = () => undefined;

  constructor(core: RaftCore, environment: Environment, campaign: () => void) {
    this.#core = core;
    this.#environment = environment;
    this.#campaign = campaign;
  }

  start(): void {
    this.#next(TRIES, this.#core.term);
  }

  stop(): void {
    this.#cancel();
  }

  #next(tries: number, term: Term): void {
    this.#cancel();
    this.#cancel = this.#environment.timer(PAUSE_MS + this.#environment.random(SPREAD_MS), () => {
      if (tries === 0 || this.#core.leader !== NONE) return;
      // Another term: somebody asks for votes, maybe this member, and is given time to win.
      if (this.#core.term === term) this.#campaign();
      this.#next(tries - 1, this.#core.term);
    });
  }
}
