import { type FrozenState } from "../machine/machine.ts";
import { type Entry, type SnapshotMeta } from "../raft/types.ts";
import { type CheckpointStore, type CheckpointWriter } from "../storage/checkpoint-store.ts";
import { type CheckpointPointer, type LogStore } from "../storage/log-store.ts";
import { type CheckpointSlots } from "./checkpoint-slots.ts";
import { membersConfiguration } from "./configuration.ts";
import { type Environment } from "./environment.ts";
import { type Replica } from "./replica.ts";

/**
 * A checkpoint follows this much log, so that a restart replays about as much: half a second of work. Sooner would cost
 * more than the writes themselves, as random writes change nearly every page of a small store in a moment (measured: a
 * checkpoint every 10 000 entries halves the throughput).
 */
const LOG_BYTES = 32 << 20;
const LOG_ENTRIES = 100_000;
/** Kept in memory and on disk behind a checkpoint, so that a slow follower needs no snapshot. */
const KEEP_ENTRIES = 5_000;
const KEEP_BYTES = 16 << 20;
/** Bytes of pages encoded in one slice, about 1 ms. */
const SLICE_BYTES = 512 << 10;
/** After a failed write (a full disk) the next try waits. */
const RETRY_MS = 5_000;

interface LoggedGroup {
  readonly lastIndex: number;
  readonly entries: number;
  readonly bytes: number;
}

/** Writes the machine's changed pages to the checkpoint store as the log grows, and lets go of the log behind. */
export class Checkpointer {
  readonly #replica: Replica;
  readonly #slots: CheckpointSlots;
  readonly #log: LogStore;
  #groups: LoggedGroup[] = [];
  #bytes = 0;
  #entries = 0;
  #running = false;
  #retryAt = 0;
  /** The store holds nothing that can be built on: the next checkpoint has every page. */
  #whole = false;
  #stopped = false;

  constructor(replica: Replica, slots: CheckpointSlots, log: LogStore) {
    this.#replica = replica;
    this.#slots = slots;
    this.#log = log;
  }

  /** Entries went to the log. */
  logged(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    let bytes = 0;
    for (const { data } of entries) bytes += data.length;
    this.#groups.push({ lastIndex: last.index, entries: entries.length, bytes });
    this.#bytes += bytes;
    this.#entries += entries.length;
  }

  maybeStart(): void {
    const { options } = this.#replica;
    const due =
      this.#bytes >= (options.checkpointLogBytes ?? LOG_BYTES) ||
      this.#entries >= (options.checkpointEntries ?? LOG_ENTRIES);
    if (!due || this.#running || this.#stopped || !this.#replica.betweenEntries) return;
    if (this.#replica.environment.now() < this.#retryAt) return;
    this.start(() => undefined);
  }

  /** Writes a checkpoint of the present state. */
  start(done: (error: Error | undefined) => void): void {
    const { machine, core } = this.#replica;
    const store = this.#slots.current?.store;
    const term = core.termAt(machine.appliedIndex);
    if (this.#running || store === undefined || term === undefined) {
      done(undefined);
      return;
    }
    const meta = { index: machine.appliedIndex, term, configuration: membersConfiguration(machine.members()) };
    const [bytes, entries] = [this.#bytes, this.#entries];
    this.#running = true;
    const frozen = machine.freeze({ onlyDirty: !this.#whole });
    const over = this.#replica.events.checkpoint(meta.index);
    const finish = (error: Error | undefined, commitMs?: number): void => {
      frozen.close();
      this.#running = false;
      if (this.#stopped) return;
      over(error === undefined ? commitMs : undefined);
      if (error === undefined) {
        this.#bytes -= bytes;
        this.#entries -= entries;
      } else {
        this.#retryAt = this.#replica.environment.now() + RETRY_MS;
        this.#replica.logger.warn("Checkpoint failed, the log is kept", { error: error.message });
      }
      done(error);
    };
    this.#write(store, frozen, meta, finish);
  }

  stop(): void {
    this.#stopped = true;
  }

  #write(
    store: CheckpointStore,
    frozen: FrozenState,
    meta: SnapshotMeta,
    finish: (error: Error | undefined, commitMs?: number) => void,
  ): void {
    const { machine } = this.#replica;
    writeFrozen(
      this.#replica.environment,
      store.begin(),
      frozen,
      meta,
      () => this.#stopped,
      (error, commitMs) => {
        if (error !== undefined || this.#stopped) {
          finish(error);
          return;
        }
        if (this.#replica.machine !== machine) {
          finish(undefined, commitMs);
          return;
        }
        machine.checkpointed(frozen);
        this.#whole = false;
        const directory = this.#slots.current?.directory ?? "";
        this.#log.append({ checkpoint: { meta, directory } satisfies CheckpointPointer }, (appendError) => {
          if (appendError !== undefined) {
            this.#replica.fatal(appendError);
            return;
          }
          store.verify((found) => {
            if (found.type === "damaged") this.#rewrite(store, found.reason, finish);
            else {
              this.#letGo(meta.index);
              finish(undefined, commitMs);
            }
          });
        });
      },
    );
  }

  /** Memory is the truth while running: a damaged checkpoint is written anew, whole. */
  #rewrite(store: CheckpointStore, reason: string, finish: (error: Error | undefined) => void): void {
    this.#replica.logger.error("The checkpoint is damaged and is written anew", { reason });
    store.clear((error) => {
      this.#whole = true;
      finish(error ?? new Error(reason));
    });
  }

  /** The checkpoint was read back whole: the log before it may go, but for what slow followers may want. */
  #letGo(index: number): void {
    if (this.#stopped) return;
    let [entries, bytes, keepFrom] = [0, 0, index];
    for (let position = this.#groups.length - 1; position >= 0; position -= 1) {
      const group = this.#groups[position];
      if (group === undefined) break;
      entries += group.entries;
      bytes += group.bytes;
      keepFrom = Math.min(keepFrom, group.lastIndex - group.entries);
      if (entries >= KEEP_ENTRIES || bytes >= KEEP_BYTES) {
        this.#groups = this.#groups.slice(position);
        break;
      }
    }
    if (entries < KEEP_ENTRIES && bytes < KEEP_BYTES) return;
    this.#log.release(keepFrom);
    this.#replica.core.compact(keepFrom);
  }
}

/** Streams a frozen state into a checkpoint writer, a slice a turn. `commitMs`: how long the last, atomic write took. */
export function writeFrozen(
  environment: Pick<Environment, "defer" | "now">,
  writer: CheckpointWriter,
  frozen: FrozenState,
  snapshot: SnapshotMeta,
  cancelled: () => boolean,
  done: (error: Error | undefined, commitMs?: number) => void,
): void {
  const fail = (error: Error): void => {
    writer.abort();
    done(error);
  };
  const next = (error: Error | undefined): void => {
    if (error !== undefined) fail(error);
    else environment.defer(slice);
  };
  const slice = (): void => {
    if (cancelled()) {
      writer.abort();
      done(undefined);
      return;
    }
    const pages = frozen.nextPages(SLICE_BYTES);
    if (pages !== undefined) {
      writer.put(pages, next);
      return;
    }
    writer.remove(frozen.removedPages, (error) => {
      if (error !== undefined) {
        fail(error);
        return;
      }
      const began = environment.now();
      writer.commit({ snapshot, machine: frozen.meta }, (commitError) => done(commitError, environment.now() - began));
    });
  };
  slice();
}
