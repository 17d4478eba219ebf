import { type ChildProcess } from "node:child_process";
import { type LocalMember, startMember } from "./local-cluster.ts";

const RESTART_DELAY_MS = 1_000;
/** After that a member that does not end is killed. */
const STOP_TIMEOUT_MS = 10_000;

/**
 * The processes of a local cluster. One that is killed is started again, as an init system would; one that fails has a
 * reason that stays, so it is left alone, and ends the whole cluster as long as that has not begun.
 */
export class LocalSupervisor {
  readonly #members: readonly LocalMember[];
  readonly #report: (line: string) => void;
  readonly #running = new Map<LocalMember, ChildProcess>();
  readonly #waiting = new Set<NodeJS.Timeout>();
  #begun = false;
  #stopping = false;
  #failed: LocalMember | undefined;
  #onEnded: () => void = () => undefined;
  /** Resolves when no process is left, and none will be started. */
  readonly ended = new Promise<void>((resolve) => {
    this.#onEnded = resolve;
  });

  constructor(members: readonly LocalMember[], report: (line: string) => void) {
    this.#members = members;
    this.#report = report;
  }

  /** The member because of which the cluster ended. */
  get failed(): LocalMember | undefined {
    return this.#failed;
  }

  start(): void {
    for (const member of this.#members) this.#start(member);
  }

  /** The cluster is ready: from now on it outlives a member. */
  begin(): void {
    this.#begun = true;
  }

  /** Lets the members end well, and kills those that do not. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    for (const timer of this.#waiting) clearTimeout(timer);
    this.#waiting.clear();
    for (const child of this.#running.values()) child.kill("SIGTERM");
    setTimeout(() => {
      for (const child of this.#running.values()) child.kill("SIGKILL");
    }, STOP_TIMEOUT_MS).unref();
    if (this.#running.size === 0) this.#onEnded();
  }

  #start(member: LocalMember): void {
    const child = startMember(member, this.#members);
    this.#running.set(member, child);
    child.once("error", () => this.#ended(member, "failed", "could not be started"));
    child.once("exit", (code, signal) => {
      if (signal !== null) this.#ended(member, "killed", `was ended by ${signal}`);
      else this.#ended(member, code === 0 ? "killed" : "failed", `ended with status ${code}`);
    });
  }

  #ended(member: LocalMember, kind: "killed" | "failed", how: string): void {
    if (!this.#running.delete(member)) return;
    const last = this.#running.size === 0 && this.#waiting.size === 0;
    if (this.#stopping) {
      if (last) this.#onEnded();
    } else if (!this.#begun || (kind === "failed" && last)) {
      this.#failed = member;
      this.stop();
    } else if (kind === "failed") {
      this.#report(`Member ${member.name} ${how}; its log is ${member.logFile}`);
    } else {
      this.#report(`Member ${member.name} ${how}; it is started again`);
      const timer = setTimeout(() => {
        this.#waiting.delete(timer);
        this.#start(member);
      }, RESTART_DELAY_MS);
      this.#waiting.add(timer);
    }
  }
}
