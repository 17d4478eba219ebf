import { ConcordError } from "../client/errors.ts";
import { NONE } from "../raft/types.ts";
import { type ProbeAnswer } from "../transport/transport.ts";
import { type Member } from "./member.ts";
import { type Replica } from "./replica.ts";

/** Between two looks at the others. */
const PROBE_PERIOD_MS = 300;
/** Between two steps of the founding. */
const STEP_PERIOD_MS = 50;
const REQUEST_TIMEOUT_MS = 5_000;
/** How often a wait says for whom it waits. */
const REPORT_PERIOD_MS = 10_000;

/**
 * What a member with an empty disk does: it looks at the others of its founding list. The first of the list (by name, so
 * that the order in which a list is written does not matter) founds the cluster when all others answered "empty, same
 * token, same list". Everybody else waits to be added. Whoever finds a cluster that knows its name already has lost its
 * data, and says so instead of joining as somebody else.
 */
export class FoundingWait {
  readonly #member: Member;
  readonly #answers = new Map<string, ProbeAnswer>();
  #cancel: () => void = () => undefined;
  #reportAt = 0;
  #stopped = false;
  #founding = false;

  constructor(member: Member) {
    this.#member = member;
  }

  start(): void {
    this.#round();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #round(): void {
    const { environment, initialCluster, initialClusterState, name, logger } = this.#member.options;
    const { transport } = this.#member;
    if (this.#stopped) return;
    const others = initialCluster.filter((peer) => peer.name !== name);
    if (initialCluster.length === 0) return;
    const names = initialCluster.map((peer) => peer.name).sort();
    const founds = initialClusterState === "new" && names[0] === name && !this.#gaveUpItsId;
    const missing = others.filter((peer) => this.#answers.get(peer.name)?.state !== "empty").map((peer) => peer.name);
    if (founds && missing.length === 0) {
      this.#found();
      return;
    }
    if (environment.now() >= this.#reportAt) {
      this.#reportAt = environment.now() + REPORT_PERIOD_MS;
      if (founds) logger.info("Waiting for the other members of the founding list", { missing });
      else logger.info("Waiting to be added to a cluster", { founder: names[0] });
    }
    let open = others.length;
    const next = (): void => {
      open -= 1;
      if (open <= 0 && !this.#stopped) this.#cancel = environment.timer(this.#pause(founds), () => this.#round());
    };
    if (others.length === 0) next();
    for (const peer of others) {
      transport.probe(peer.peerUrls, (_error, answer) => {
        if (this.#stopped) return;
        if (answer === undefined) this.#answers.delete(peer.name);
        else this.#look(peer.name, answer);
        next();
      });
    }
  }

  /** Its log was damaged: the cluster knows it under the id it gave up, and adds it under the new one. */
  get #gaveUpItsId(): boolean {
    return this.#member.options.formerId.read() !== NONE;
  }

  /** The founder goes on at once when everybody has answered. */
  #pause(founds: boolean): number {
    const { initialCluster, name } = this.#member.options;
    const all = initialCluster.every((peer) => peer.name === name || this.#answers.get(peer.name)?.state === "empty");
    return founds && all ? 0 : PROBE_PERIOD_MS;
  }

  #look(peer: string, answer: ProbeAnswer): void {
    const { logger, name, onFatal } = this.#member.options;
    this.#answers.set(peer, answer);
    if (answer.state === "refused") {
      logger.warn("A member of the founding list refuses this one", { peer, reason: answer.reason });
    } else if (answer.state === "member") {
      const known = answer.members.find((member) => member.name === name);
      // A name that is still awaited has no id. Any other id than ours was on a disk that is gone, also when the member
      // was lost before it could say that it had joined.
      if (known === undefined || known.id === NONE || known.id === this.#member.memberId || this.#gaveUpItsId) return;
      this.stop();
      onFatal(
        new ConcordError(
          "CONCORD_MEMBER_LOST_DATA",
          `This member lost its data; replace it: "${peer}" knows "${name}" as ${known.id} of cluster ${answer.clusterId}, and this data directory is empty`,
        ),
      );
    }
  }

  #found(): void {
    if (this.#founding) return;
    this.#founding = true;
    const { environment, initialCluster, name, clusterUid, onFatal } = this.#member.options;
    this.#member.found(
      {
        clusterId: environment.randomId(),
        clusterUid,
        size: initialCluster.length,
        awaited: initialCluster.filter((peer) => peer.name !== name),
      },
      (error) => {
        if (error !== undefined && !this.#stopped) onFatal(error);
      },
    );
  }
}

/**
 * Completes a founding, at whichever member leads: adds the awaited members as learners, one after the other, and when
 * all have caught up, promotes them. The founding list is in the log, so a new leader goes on where the old one stopped.
 */
export class FoundingDriver {
  readonly #replica: Replica;
  #cancel: () => void = () => undefined;
  #busy = false;

  constructor(replica: Replica) {
    this.#replica = replica;
    replica.onLeadershipChange(() => this.#next(0));
  }

  stop(): void {
    this.#cancel();
  }

  #next(delayMs: number): void {
    this.#cancel();
    const { machine, stopped, inOffice, environment } = this.#replica;
    if (stopped || !inOffice || this.#busy || machine.founding.complete) return;
    this.#cancel = environment.timer(delayMs, () => this.#step());
  }

  #step(): void {
    const { machine, status, inOffice, stopped } = this.#replica;
    if (stopped || !inOffice || machine.founding.complete) return;
    const awaited = machine.founding.awaited[0];
    const learners = status.peers.filter((peer) => peer.learner);
    if (awaited !== undefined) {
      this.#request({ type: "addLearner", name: awaited.name, peerUrls: awaited.peerUrls });
    } else if (
      machine.members().length >= machine.founding.size &&
      learners.length > 0 &&
      learners.every((peer) => peer.caughtUp)
    ) {
      this.#request({ type: "promote", id: learners[0]?.id ?? "" });
    } else {
      this.#next(STEP_PERIOD_MS);
    }
  }

  #request(request: Parameters<Replica["membership"]["request"]>[0]): void {
    this.#busy = true;
    this.#replica.membership.request(request, REQUEST_TIMEOUT_MS, (result) => {
      this.#busy = false;
      if (!result.ok && !result.error.retryable)
        this.#replica.logger.warn("The founding goes on when this is solved", { error: result.error.message });
      this.#next(result.ok ? 0 : STEP_PERIOD_MS * 4);
    });
  }
}
