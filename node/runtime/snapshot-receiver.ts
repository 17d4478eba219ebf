import { SnapshotDecoder } from "../codec/snapshot.ts";
import { Machine } from "../machine/machine.ts";
import { type MemberId, type Ready, type SnapshotMeta } from "../raft/types.ts";
import { type CheckpointWriter } from "../storage/checkpoint-store.ts";
import { type LogStore } from "../storage/log-store.ts";
import { type CheckpointSlot, type CheckpointSlots } from "./checkpoint-slots.ts";
import { type Replica } from "./replica.ts";

type Chunk = Ready["install"][number];

interface Receiving {
  readonly transfer: number;
  readonly from: MemberId;
  readonly slot: CheckpointSlot;
  readonly writer: CheckpointWriter;
  readonly decoder: SnapshotDecoder;
  readonly loader: ReturnType<typeof Machine.loader>;
}

/**
 * Takes a snapshot that the leader sends: into a new checkpoint directory, chunk by chunk, and at the same time into a
 * new machine. A log record that names the directory is the commit point; until then the old state stands, after it the
 * new one, and no reader sees anything between.
 */
export class SnapshotReceiver {
  readonly #replica: Replica;
  readonly #slots: CheckpointSlots;
  readonly #log: LogStore;
  #receiving: Receiving | undefined;
  /** Chunks wait while one is stored. The core's window bounds them. */
  #queue: Chunk[] = [];
  #busy = false;
  #switching = false;

  constructor(replica: Replica, slots: CheckpointSlots, log: LogStore) {
    this.#replica = replica;
    this.#slots = slots;
    this.#log = log;
  }

  /** The switch is being written to the log: nothing may go into the core until it is durable. */
  get switching(): boolean {
    return this.#switching;
  }

  receive(chunk: Chunk): void {
    if (chunk.sequence === 0) this.#queue = [];
    this.#queue.push(chunk);
    this.#next();
  }

  #next(): void {
    if (this.#busy || this.#replica.stopped) return;
    const chunk = this.#queue.shift();
    if (chunk === undefined) return;
    this.#busy = true;
    const done = (error: Error | undefined): void => {
      this.#busy = false;
      if (this.#replica.stopped) return;
      if (error !== undefined) this.#fail(chunk, error);
      else if (!chunk.last) {
        this.#replica.step({ type: "chunkStored", transfer: chunk.transfer, sequence: chunk.sequence });
      }
      this.#next();
    };
    if (chunk.sequence === 0) this.#begin(chunk, done);
    else this.#store(chunk, done);
  }

  #begin(chunk: Chunk, done: (error: Error | undefined) => void): void {
    this.#discard(() => {
      this.#slots.openNew((error, slot) => {
        if (error !== undefined || slot === undefined) {
          done(error ?? new Error("No checkpoint store"));
          return;
        }
        this.#receiving = {
          transfer: chunk.transfer,
          from: chunk.from,
          slot,
          writer: slot.store.begin(),
          decoder: new SnapshotDecoder(),
          loader: Machine.loader(this.#replica.options.machineOptions),
        };
        this.#replica.logger.info("Receiving a snapshot", { from: chunk.from, index: chunk.meta.index });
        this.#replica.events.snapshot("receiving", chunk.from, chunk.meta.index);
        this.#store(chunk, done);
      });
    });
  }

  #store(chunk: Chunk, done: (error: Error | undefined) => void): void {
    const receiving = this.#receiving;
    if (receiving?.transfer !== chunk.transfer) {
      done(new Error("The transfer is not known"));
      return;
    }
    try {
      const pages = receiving.decoder.push(chunk.data);
      for (const { number, bytes } of pages) receiving.loader.page(number, bytes);
      receiving.writer.put(pages, (error) => {
        if (error !== undefined || !chunk.last) done(error);
        else this.#finish(receiving, chunk.meta, done);
      });
    } catch (error) {
      done(error as Error);
    }
  }

  #finish(receiving: Receiving, snapshot: SnapshotMeta, done: (error: Error | undefined) => void): void {
    let machine: Machine;
    try {
      const header = receiving.decoder.finish();
      if (header.snapshot.index !== snapshot.index || header.snapshot.term !== snapshot.term)
        throw new Error(`Snapshot is of index ${header.snapshot.index}, wanted ${snapshot.index}`);
      machine = receiving.loader.finish(header.machine);
      receiving.writer.commit({ snapshot, machine: header.machine }, (error) => {
        if (error !== undefined) {
          done(error);
          return;
        }
        receiving.slot.store.verify((found) => {
          if (found.type === "damaged") done(new Error(found.reason));
          else this.#switch(receiving, snapshot, machine, done);
        });
      });
    } catch (error) {
      done(error as Error);
    }
  }

  #switch(receiving: Receiving, meta: SnapshotMeta, machine: Machine, done: (error: Error | undefined) => void): void {
    const { core } = this.#replica;
    if (this.#replica.stopped || meta.index <= this.#replica.machine.appliedIndex) {
      done(new Error("The snapshot is older than the state"));
      return;
    }
    this.#switching = true;
    // The core keeps what lies behind the snapshot only when the log holds the snapshot's own entry; so does the log.
    const resetLog = core.termAt(meta.index) !== meta.term;
    this.#log.append({ checkpoint: { meta, directory: receiving.slot.directory }, resetLog }, (error) => {
      this.#switching = false;
      if (error !== undefined) {
        this.#replica.fatal(error);
        return;
      }
      this.#receiving = undefined;
      this.#replica.step({ type: "snapshotInstalled", transfer: receiving.transfer, meta });
      this.#replica.replaceMachine(machine);
      this.#replica.logger.info("Installed a snapshot", { index: meta.index, revision: machine.revision });
      this.#replica.events.snapshot("received", receiving.from, meta.index);
      this.#slots.switchTo(receiving.slot, () => done(undefined));
    });
  }

  #fail({ transfer, from }: Chunk, error: Error): void {
    this.#replica.logger.warn("Snapshot not installed", { error: error.message });
    this.#replica.events.snapshot("failed", from, 0);
    this.#queue = this.#queue.filter((chunk) => chunk.transfer !== transfer);
    this.#discard(() => {
      if (!this.#replica.stopped) this.#replica.step({ type: "snapshotFailed", transfer });
    });
  }

  #discard(done: () => void): void {
    const receiving = this.#receiving;
    this.#receiving = undefined;
    if (receiving === undefined) {
      done();
      return;
    }
    receiving.writer.abort();
    this.#slots.discard(receiving.slot, done);
  }
}
