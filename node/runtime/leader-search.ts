import { type RaftCore } from "../raft/core.ts";
import { NONE, type Term } from "../raft/types.ts";
import { type Environment } from "./environment.ts";

/** Between two campaigns, ms; as much again at random. */
const PAUSE_MS = 60;
const TRIES = 4;

/**
 * What a follower does after the connection to its leader ended. Its first pre-vote (0-50 ms later, by the core) is lost
 * when the others have not noticed that end yet, or know more. It is asked again soon, unless somebody leads or campaigns
 * by then, so that a failover does not have to wait for an election timeout.
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
    this.#cancel = this.#environment.timer(PAUSE_MS + this.#environment.random(PAUSE_MS), () => {
      const { leader, role, term: now } = this.#core;
      if (tries === 0 || leader !== NONE) return;
      // Another term: somebody asks for votes, and is given time to win.
      if (role === "follower" && now === term) this.#campaign();
      this.#next(tries - 1, this.#core.term);
    });
  }
}
