import { type CheckpointFactory, type CheckpointStore } from "../storage/checkpoint-store.ts";

/** An open checkpoint store and the directory it lies in. */
export interface CheckpointSlot {
  readonly directory: string;
  readonly store: CheckpointStore;
}

const DIRECTORY = /^checkpoint-(\d+)$/;
const numberOf = (directory: string): number => Number(DIRECTORY.exec(directory)?.[1] ?? 0);

/**
 * The checkpoint directories of one member. One is current: the one the log names. Founding and snapshot installs write
 * into a new one; the log record that names it is the switch, and only then the old one goes.
 */
export class CheckpointSlots {
  readonly #factory: CheckpointFactory;
  #current: CheckpointSlot | undefined;
  #nextNumber: number;

  constructor(factory: CheckpointFactory) {
    this.#factory = factory;
    this.#nextNumber = Math.max(0, ...factory.list().map(numberOf)) + 1;
  }

  get current(): CheckpointSlot | undefined {
    return this.#current;
  }

  /**
   * The directory that the log names. Its number is never given out again, even when the directory itself is gone: a
   * snapshot that is half taken would else stand where the log says that the state is.
   */
  open(directory: string, done: (error: Error | undefined, slot: CheckpointSlot | undefined) => void): void {
    this.#nextNumber = Math.max(this.#nextNumber, numberOf(directory) + 1);
    this.#factory.open(directory, (error, store) => {
      done(error, store === undefined ? undefined : { directory, store });
    });
  }

  openNew(done: (error: Error | undefined, slot: CheckpointSlot | undefined) => void): void {
    this.open(`checkpoint-${this.#nextNumber}`, done);
  }

  /** Makes a slot current, and removes all others: the log does not name them. */
  switchTo(slot: CheckpointSlot, done: () => void): void {
    const old = this.#current;
    this.#current = slot;
    const removeOthers = (): void => {
      const others = this.#factory.list().filter((name) => name !== slot.directory);
      this.#destroy(others, done);
    };
    if (old === undefined || old.directory === slot.directory) removeOthers();
    else old.store.close(removeOthers);
  }

  /** Gives up a slot that was never current. */
  discard(slot: CheckpointSlot, done: () => void): void {
    slot.store.close(() => this.#destroy([slot.directory], done));
  }

  close(done: () => void): void {
    const { current } = this;
    this.#current = undefined;
    if (current === undefined) done();
    else current.store.close(() => done());
  }

  #destroy(directories: readonly string[], done: () => void): void {
    const [first, ...rest] = directories;
    if (first === undefined) done();
    else this.#factory.destroy(first, () => this.#destroy(rest, done));
  }
}
