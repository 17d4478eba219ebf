import { SnapshotEncoder } from "../codec/snapshot.ts";
import { type FrozenState } from "../machine/machine.ts";
import { type MemberId, type Ready, type SnapshotMeta } from "../raft/types.ts";
import { membersConfiguration } from "./configuration.ts";
import { GROUP_ID } from "./constants.ts";
import { type Replica } from "./replica.ts";

/** Bytes of one chunk of a snapshot. */
export const CHUNK_BYTES = 256 << 10;

type Request = Ready["snapshotRequests"][number];

interface Sending {
  readonly transfer: number;
  readonly meta: SnapshotMeta;
  readonly frozen: FrozenState;
  readonly encoder: SnapshotEncoder;
  readonly chunks: Uint8Array[];
  ended: boolean;
  /** When the last chunk was asked for, monotonic ms. */
  askedAt: number;
}

/** A transfer that nobody asks for any more gives its frozen state back after this long. */
const IDLE_MS = 60_000;

/** Cuts a frozen state into the chunks that the core asks for, one snapshot per peer at a time. */
export class SnapshotSender {
  readonly #replica: Replica;
  readonly #sending = new Map<MemberId, Sending>();

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  request(request: Request): void {
    if (this.#replica.stopped || this.#replica.status.role !== "leader") return;
    if (request.sequence === 0 && !this.#replica.betweenEntries) {
      // Half a command is no state: ask again when it is whole.
      this.#replica.environment.defer(() => this.request(request));
      return;
    }
    const sending = request.sequence === 0 ? this.#begin(request) : this.#sending.get(request.to);
    if (sending?.transfer !== request.transfer) {
      this.#replica.step({ type: "snapshotUnavailable", to: request.to, transfer: request.transfer });
      return;
    }
    sending.askedAt = this.#replica.environment.now();
    this.#fill(sending);
    const data = sending.chunks.shift();
    if (data === undefined) return;
    const last = sending.ended && sending.chunks.length === 0;
    const { to, transfer, sequence } = request;
    if (last) {
      this.#end(to);
      this.#replica.events.snapshot("sent", to, sending.meta.index);
    }
    this.#replica.step({ type: "snapshotChunk", to, transfer, meta: sending.meta, sequence, last, data });
  }

  expire(now: number): void {
    for (const [to, { askedAt }] of this.#sending) if (now - askedAt > IDLE_MS) this.#end(to);
  }

  /** Gives up all transfers: this member leads no more. */
  stop(): void {
    for (const to of [...this.#sending.keys()]) this.#end(to);
  }

  #begin(request: Request): Sending | undefined {
    this.#end(request.to);
    const { machine, core, logger } = this.#replica;
    const term = core.termAt(machine.appliedIndex);
    if (term === undefined) return undefined;
    const meta = { index: machine.appliedIndex, term, configuration: membersConfiguration(machine.members()) };
    const frozen = machine.freeze({ onlyDirty: false });
    const encoder = new SnapshotEncoder({
      groupId: GROUP_ID,
      clusterId: machine.clusterId,
      snapshot: meta,
      machine: frozen.meta,
    });
    const sending = { transfer: request.transfer, meta, frozen, encoder, chunks: [], ended: false, askedAt: 0 };
    this.#sending.set(request.to, sending);
    logger.info("Sending a snapshot", { to: request.to, index: meta.index, transfer: request.transfer });
    this.#replica.events.snapshot("sending", request.to, meta.index);
    return sending;
  }

  /** Until one chunk and the knowledge whether another follows are there. */
  #fill(sending: Sending): void {
    while (!sending.ended && sending.chunks.length < 2) {
      const pages = sending.frozen.nextPages(CHUNK_BYTES);
      if (pages === undefined) {
        sending.chunks.push(...sending.encoder.finish());
        sending.ended = true;
      } else {
        sending.chunks.push(...sending.encoder.push(pages));
      }
    }
  }

  #end(to: MemberId): void {
    this.#sending.get(to)?.frozen.close();
    this.#sending.delete(to);
  }
}
