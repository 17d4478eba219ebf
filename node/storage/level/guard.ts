import { readFile, rm, writeFile } from "node:fs/promises";

/** Starts in a row that may end while a checkpoint is opened and read, before it counts as damaged. */
export const OPEN_ATTEMPTS_MAX = 3;

/**
 * Keeps damage from becoming a crash loop. LevelDB can abort the whole process on a damaged file (an assertion in native
 * code, or SIGBUS on a file that is shorter than it says), and nothing in the process can catch that. So a marker file
 * stands beside the files while they are opened and read. It counts the starts that ended there: one may have been a
 * kill or a power cut, `OPEN_ATTEMPTS_MAX` in a row are taken for damage, and the files are not opened again.
 *
 * Reading touches every block of every table, so what would abort later (a compaction) aborts here. The marker need not
 * be durable: an abort leaves the page cache alone.
 */
export class OpenGuard {
  readonly path: string;
  readonly #attemptsMax: number;
  #entered = false;

  constructor(path: string, attemptsMax: number = OPEN_ATTEMPTS_MAX) {
    this.path = path;
    this.#attemptsMax = attemptsMax;
  }

  /** Call before opening. Returns why the files must not be opened, if so. */
  async enter(): Promise<string | undefined> {
    const attempts = await this.#attempts();
    if (attempts >= this.#attemptsMax)
      return `The process ended ${attempts} times in a row while it opened or read the checkpoint (remove "${this.path}" to try again)`;
    await writeFile(this.path, `${attempts + 1}\n`);
    this.#entered = true;
    return undefined;
  }

  /** Call when everything was opened and read, or found damaged in an orderly way. Does nothing after a refused `enter`. */
  async leave(): Promise<void> {
    if (this.#entered) await this.forget();
    this.#entered = false;
  }

  /** The files are gone, and what happened with them. */
  async forget(): Promise<void> {
    // A marker that cannot be removed costs one of the next starts, and no more.
    await rm(this.path, { force: true }).catch(() => undefined);
  }

  async #attempts(): Promise<number> {
    try {
      // Created but not written before a crash: that start counts.
      return Math.max(1, Number.parseInt(await readFile(this.path, "utf8"), 10) || 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
      throw error;
    }
  }
}
