/**
 * Runs jobs one after the other (D18: at most one LevelDB job of a process at a time). A job occupies a thread of the
 * libuv pool; while it waits here it occupies none, so that fdatasync and DNS always find one.
 */
export class JobQueue {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(job);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
