import { type Controller } from "./controller.ts";
import { type HealthServer } from "./health.ts";
import { type LeaderElector } from "./leader-election.ts";
import { type Logger } from "./logger.ts";

/** Something that fills caches. */
export interface Source {
  start(): void;
  readonly hasSynced: boolean;
  waitForSync(): Promise<void>;
  close(): Promise<void>;
}

export interface ManagerParts {
  readonly source: Source;
  readonly controllers: readonly Controller[];
  /** Undefined: this is the only process, and it leads. */
  readonly elector: LeaderElector | undefined;
  readonly health: HealthServer | undefined;
  readonly log: Logger;
  /** Called when this process has become the leader. */
  readonly onLeading?: () => void;
}

/** How long the reconciles under way get to end after a stop was asked for. */
const SHUTDOWN_MS_MAX = 20_000;

/** Starts the parts of an operator in order, and ends them in the reverse order. */
export class Manager {
  readonly #parts: ManagerParts;

  constructor(parts: ManagerParts) {
    this.#parts = parts;
  }

  /**
   * Runs until the signal fires or the leadership is lost. A stand-by keeps its caches warm, so that it takes over at
   * once.
   *
   * @returns `lost`: another process may lead now, and this one must end without doing anything more
   */
  async run(signal: AbortSignal): Promise<"stopped" | "lost"> {
    const { source, controllers, elector, health, log } = this.#parts;
    const stopped = new Promise<"stopped">((resolve) => {
      if (signal.aborted) resolve("stopped");
      signal.addEventListener("abort", () => resolve("stopped"), { once: true });
    });
    await health?.open();
    source.start();
    let outcome: "stopped" | "lost" = "stopped";
    try {
      const leading = Promise.all([source.waitForSync(), elector?.acquire()]).then(() => "leading" as const);
      // After a stop, closing the parts rejects this, and nobody waits for it any more.
      leading.catch(() => undefined);
      if ((await Promise.race([leading, stopped])) === "stopped") return outcome;
      log.info({}, "Leading, caches filled");
      this.#parts.onLeading?.();
      for (const controller of controllers) controller.start();
      const lost = elector?.lost.then(() => "lost" as const);
      outcome = await Promise.race(lost === undefined ? [stopped] : [stopped, lost]);
      return outcome;
    } finally {
      await this.#close(outcome);
    }
  }

  async #close(outcome: "stopped" | "lost"): Promise<void> {
    const { source, controllers, elector, health, log } = this.#parts;
    const closing = (async () => {
      await Promise.all(controllers.map((controller) => controller.close()));
      // Only now can nobody act on the leadership any more.
      if (outcome === "stopped") await elector?.close();
      await source.close();
      await health?.close();
    })();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), SHUTDOWN_MS_MAX);
    });
    if ((await Promise.race([closing, late])) === "late") log.warn({}, "Shutdown took too long");
    clearTimeout(timer);
  }
}
