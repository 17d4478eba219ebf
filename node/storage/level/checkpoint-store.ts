import { readdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ConcordError } from "../../client/errors.ts";
import { invariant } from "../../raft/assert.ts";
import { type CheckpointFactory, type CheckpointStore } from "../checkpoint-store.ts";
import { LevelCheckpointStore } from "./level-checkpoint-store.ts";
import { removeDurably, syncDirectory } from "./durable-file.ts";
import { JobQueue } from "./job-queue.ts";
import { PagedCheckpoint } from "./paged-checkpoint.ts";

const DIRECTORY = /^checkpoint-(\d{1,15})$/;

/** The directories `checkpoint-<n>` of a data directory, each a LevelDB store. */
export class LevelCheckpoints implements CheckpointFactory {
  readonly #dataDirectory: string;
  readonly #groupId: number;
  /** One for all stores: LevelDB jobs run one at a time (D18). */
  readonly #jobs = new JobQueue();
  readonly #open = new Set<string>();

  /** @param options `groupId`: stands in every row (D19). @default 0 */
  constructor(dataDirectory: string, options: { readonly groupId?: number } = {}) {
    this.#dataDirectory = dataDirectory;
    this.#groupId = options.groupId ?? 0;
  }

  open(directory: string, done: (error: Error | undefined, store: CheckpointStore | undefined) => void): void {
    const path = this.#pathOf(directory);
    if (this.#open.has(directory)) {
      queueMicrotask(() => done(inUse(path), undefined));
      return;
    }
    this.#open.add(directory);
    void this.#openStore(directory, path).then(
      (store) => done(undefined, store),
      (error: unknown) => {
        this.#open.delete(directory);
        done(asConcordError(`Cannot open checkpoint "${path}"`, error), undefined);
      },
    );
  }

  destroy(directory: string, done: (error: Error | undefined) => void): void {
    const path = this.#pathOf(directory);
    if (this.#open.has(directory)) {
      queueMicrotask(() => done(inUse(path)));
      return;
    }
    void removeDurably(path).then(
      () => done(undefined),
      (error: unknown) => done(asConcordError(`Cannot remove checkpoint "${path}"`, error)),
    );
  }

  list(): string[] {
    const numberOf = (name: string): number => Number(DIRECTORY.exec(name)?.[1]);
    return readdirSync(this.#dataDirectory)
      .filter((name) => DIRECTORY.test(name))
      .sort((a, b) => numberOf(a) - numberOf(b));
  }

  async #openStore(directory: string, path: string): Promise<CheckpointStore> {
    await mkdir(path, { recursive: true });
    await syncDirectory(this.#dataDirectory);
    const checkpoint = new PagedCheckpoint(path, { groupId: this.#groupId, jobs: this.#jobs });
    await checkpoint.open();
    return new LevelCheckpointStore(checkpoint, () => this.#open.delete(directory));
  }

  #pathOf(directory: string): string {
    invariant(DIRECTORY.test(directory), "A checkpoint's directory is named checkpoint-<n>");
    return join(this.#dataDirectory, directory);
  }
}

function inUse(path: string): ConcordError {
  return new ConcordError("CONCORD_DATA_DIR_LOCKED", `Checkpoint "${path}" is open`);
}

function asConcordError(what: string, error: unknown): ConcordError {
  if (ConcordError.is(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new ConcordError("CONCORD_STORAGE_FAILED", `${what}: ${text}`, { cause: error });
}
