import { type MemberOptions } from "./member-options.ts";
import { type Replica } from "./replica.ts";

const RETRY_MS = 500;
const TIMEOUT_MS = 5_000;

/** Tells the cluster this member's name and URLs, at its start and until the cluster has them. */
export class Publisher {
  readonly #replica: Replica;
  readonly #options: Pick<MemberOptions, "name" | "peerUrls" | "clientUrls" | "environment">;
  #cancel: () => void;

  constructor(replica: Replica, options: Pick<MemberOptions, "name" | "peerUrls" | "clientUrls" | "environment">) {
    this.#replica = replica;
    this.#options = options;
    this.#cancel = options.environment.timer(0, () => this.#publish());
  }

  stop(): void {
    this.#cancel();
  }

  #publish(): void {
    if (this.#replica.stopped) return;
    const { name, peerUrls, clientUrls, environment } = this.#options;
    const again = (): void => {
      if (!this.#replica.stopped) this.#cancel = environment.timer(RETRY_MS, () => this.#publish());
    };
    const own = this.#replica.machine.members().find(({ id }) => id === this.#replica.memberId);
    if (own === undefined) {
      again();
      return;
    }
    const known = own.joined && own.name === name && same(own.peerUrls, peerUrls) && same(own.clientUrls, clientUrls);
    if (known) return;
    const command = { type: "publish", member: own.id, name, peerUrls, clientUrls } as const;
    this.#replica.propose(command, TIMEOUT_MS, (result) => {
      if (!result.ok || !result.value.ok) again();
    });
  }
}

const same = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((value, position) => value === b[position]);
