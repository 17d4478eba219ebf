import { type AddLearnerRequest, type GrantRequest } from "../client/admin.ts";
import { ConcordError } from "../client/errors.ts";
import { type Member } from "../machine/commands.ts";
import { type NodeApi, type NodeInfo, type RequestOptions } from "../runtime/node-api.ts";
import { authorize, type Access } from "./authorize.ts";
import { type Principal } from "./principal.ts";
import { answerOf } from "./refusals.ts";

/** Addresses of one member. */
const PEER_URLS_MAX = 8;
const ADMINISTER: readonly Access[] = [{ type: "administer" }];

/** Members, founding and leadership. */
export class ClusterService {
  readonly #node: NodeApi;
  readonly #ownName: string;

  constructor(node: NodeApi, ownName: string) {
    this.#node = node;
    this.#ownName = ownName;
  }

  /** What this member knows by itself; never waits. */
  info(principal: Principal): NodeInfo {
    authorize(principal, [{ type: "status" }]);
    return this.#node.info();
  }

  /** The same for the admin door, whose answer says more than clients need. */
  administratorsInfo(principal: Principal): NodeInfo {
    authorize(principal, ADMINISTER);
    return this.#node.info();
  }

  /** @param linearizable - as the quorum sees them, instead of as this member does. */
  async members(principal: Principal, linearizable: boolean, options?: RequestOptions): Promise<readonly Member[]> {
    authorize(principal, [{ type: "status" }]);
    if (linearizable) await this.#node.barrier(options);
    return this.#node.info().members;
  }

  /** @throws ConcordError `CONCORD_INVALID_ARGUMENT` when the grant is meant for another member than this one. */
  async grant(principal: Principal, request: GrantRequest): Promise<void> {
    authorize(principal, ADMINISTER);
    if (request.memberName !== this.#ownName) {
      throw new ConcordError(
        "CONCORD_INVALID_ARGUMENT",
        `The grant is for "${request.memberName}", but this member is "${this.#ownName}"`,
      );
    }
    await this.#node.grant({ clusterId: request.clusterId, clusterUid: request.clusterUid, size: request.size });
  }

  /** @throws ConcordError `CONCORD_MEMBER_URLS_INVALID`, and what the leader refuses. */
  async addLearner(
    principal: Principal,
    request: AddLearnerRequest,
    options?: RequestOptions,
  ): Promise<readonly Member[]> {
    authorize(principal, ADMINISTER);
    requirePeerUrls(request.peerUrls);
    return this.#node.addLearner(request, options);
  }

  /**
   * Where the others reach a member. A member tells its own peer URLs at its start, so these hold until it is started
   * with others.
   *
   * @throws ConcordError `CONCORD_MEMBER_URLS_INVALID`, `CONCORD_MEMBER_NOT_FOUND`, `CONCORD_PEER_URL_EXISTS`, and `CONCORD_CHANGE_IN_PROGRESS` for a
   *   member that has told nothing so far.
   */
  async update(
    principal: Principal,
    id: string,
    peerUrls: readonly string[],
    options?: RequestOptions,
  ): Promise<readonly Member[]> {
    authorize(principal, ADMINISTER);
    requirePeerUrls(peerUrls);
    await this.#node.barrier(options);
    const { members } = this.#node.info();
    const known = members.find((member) => member.id === id);
    if (known === undefined) throw new ConcordError("CONCORD_MEMBER_NOT_FOUND");
    const others = members.filter((member) => member.id !== id);
    if (others.some((member) => member.peerUrls.some((url) => peerUrls.includes(url)))) {
      throw new ConcordError("CONCORD_PEER_URL_EXISTS");
    }
    if (!known.joined) throw new ConcordError("CONCORD_CHANGE_IN_PROGRESS", "the member is only just joining");
    const { name, clientUrls } = known;
    answerOf(await this.#node.propose({ type: "publish", member: id, name, peerUrls, clientUrls }, options), "ok");
    return members.map((member) => (member.id === id ? { ...member, peerUrls } : member));
  }

  promote(principal: Principal, id: string, options?: RequestOptions): Promise<readonly Member[]> {
    authorize(principal, ADMINISTER);
    return this.#node.promote(id, options);
  }

  remove(principal: Principal, id: string, options?: RequestOptions): Promise<readonly Member[]> {
    authorize(principal, ADMINISTER);
    return this.#node.remove(id, options);
  }

  transfer(principal: Principal, to: string, options?: RequestOptions): Promise<string> {
    authorize(principal, ADMINISTER);
    return this.#node.transfer(to, options);
  }
}

/** @throws ConcordError `CONCORD_MEMBER_URLS_INVALID` */
export function requirePeerUrls(urls: readonly string[]): void {
  if (urls.length < 1 || urls.length > PEER_URLS_MAX || !urls.every(isPeerUrl))
    throw new ConcordError("CONCORD_MEMBER_URLS_INVALID");
}

/** As etcd's: a scheme, a host and a port, and nothing behind it. */
function isPeerUrl(text: string): boolean {
  return /^https?:\/\/[^/?#@\s]+:\d+$/.test(text) && URL.canParse(text);
}
