import { ConcordError } from "../../client/errors.ts";
import { invariant } from "../../raft/assert.ts";
import { type CheckpointStore, type CheckpointWriter, type LoadedCheckpoint, type Page } from "../checkpoint-store.ts";
import { WriterCalls } from "../writer-calls.ts";
import { JobQueue } from "./job-queue.ts";
import { type PagedCheckpoint } from "./paged-checkpoint.ts";
import { type PendingWrite } from "./pending-write.ts";

type Done = (error: Error | undefined) => void;

/** The completions of CheckpointStore over the promises of PagedCheckpoint: one call after the other, in their order. */
export class LevelCheckpointStore implements CheckpointStore {
  readonly #checkpoint: PagedCheckpoint;
  readonly #onClosed: () => void;
  readonly #calls = new JobQueue();
  #writer: WriterCalls | undefined;
  #closed = false;

  /** @param checkpoint opened */
  constructor(checkpoint: PagedCheckpoint, onClosed: () => void) {
    this.#checkpoint = checkpoint;
    this.#onClosed = onClosed;
  }

  load(onPages: (pages: readonly Page[]) => void, done: (result: LoadedCheckpoint) => void): void {
    this.#mustBeIdle();
    void this.#calls.run(() => this.#checkpoint.read(onPages)).then(done);
  }

  verify(done: (result: LoadedCheckpoint) => void): void {
    this.#mustBeIdle();
    void this.#calls.run(() => this.#checkpoint.readBack()).then(done);
  }

  begin(): CheckpointWriter {
    this.#mustBeIdle();
    const calls = new WriterCalls();
    this.#writer = calls;
    return new LevelCheckpointWriter(this.#checkpoint, this.#calls, calls, {
      closed: () => this.#closed,
      ended: () => (this.#writer = undefined),
    });
  }

  clear(done: Done): void {
    this.#mustBeIdle();
    complete(
      this.#calls.run(() => this.#checkpoint.clear()),
      done,
    );
  }

  bytes(): number {
    return this.#checkpoint.bytes;
  }

  close(done: Done): void {
    const first = !this.#closed;
    this.#closed = true;
    this.#checkpoint.stop();
    const closing = async (): Promise<void> => {
      await this.#checkpoint.close();
      if (first) this.#onClosed();
    };
    complete(this.#calls.run(closing), done);
  }

  #mustBeIdle(): void {
    invariant(!this.#closed, "Checkpoint store was used after close");
    invariant(this.#writer === undefined, "Checkpoint store was used while a writer is open");
  }
}

class LevelCheckpointWriter implements CheckpointWriter {
  readonly #checkpoint: PagedCheckpoint;
  readonly #queue: JobQueue;
  readonly #calls: WriterCalls;
  readonly #store: { closed(): boolean; ended(): void };
  #write: PendingWrite | undefined;
  #failure: Error | undefined;

  constructor(
    checkpoint: PagedCheckpoint,
    queue: JobQueue,
    calls: WriterCalls,
    store: { closed(): boolean; ended(): void },
  ) {
    this.#checkpoint = checkpoint;
    this.#queue = queue;
    this.#calls = calls;
    this.#store = store;
  }

  put(pages: readonly Page[], done: Done): void {
    this.#calls.enter("put");
    this.#run((write) => this.#checkpoint.put(write, pages), done);
  }

  remove(numbers: readonly number[], done: Done): void {
    this.#calls.enter("remove");
    this.#run((write) => this.#checkpoint.remove(write, numbers), done);
  }

  commit(...[meta, done]: Parameters<CheckpointWriter["commit"]>): void {
    this.#calls.enter("commit");
    this.#run(
      async (write) => {
        await this.#checkpoint.commit(write, meta);
        // Behind this call and before the next: the caller need not wait for it, and it may fail, the next write repeats it.
        void this.#queue.run(() => this.#checkpoint.settle(write));
      },
      (error) => {
        if (error === undefined && this.#calls.end()) this.#store.ended();
        done(error);
      },
    );
  }

  abort(): void {
    if (!this.#calls.end()) return;
    this.#store.ended();
    void this.#queue.run(async () => {
      if (this.#write !== undefined) await this.#checkpoint.discard(this.#write);
    });
  }

  #run(work: (write: PendingWrite) => Promise<void>, done: Done): void {
    const closed = this.#store.closed();
    const attempt = async (): Promise<void> => {
      if (closed) throw new ConcordError("CONCORD_STOPPED", "The checkpoint store was closed");
      if (this.#failure !== undefined) throw this.#failure;
      try {
        this.#write ??= await this.#checkpoint.begin();
        await work(this.#write);
      } catch (error) {
        this.#failure = error as Error;
        throw error;
      }
    };
    complete(this.#queue.run(attempt), (error) => {
      this.#calls.leave();
      done(error);
    });
  }
}

function complete(result: Promise<void>, done: Done): void {
  void result.then(
    () => done(undefined),
    (error: unknown) => done(error as Error),
  );
}
