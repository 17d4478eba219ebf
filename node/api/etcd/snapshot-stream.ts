import { createHash } from "node:crypto";
import { STATUS } from "../grpc/status.ts";
import { type MessageStream, type StreamListener } from "../grpc/method.ts";
import { type EtcdCalls, wantsLeader } from "./calls.ts";
import { ETCD_STORAGE_VERSION } from "./definition.ts";
import { type SnapshotResponse } from "./messages.ts";
import { grpcStatus } from "./status.ts";

/** etcd's files are whole pages of this size with a SHA-256 behind them; etcdctl refuses any other length. */
const FILE_PAGE_BYTES = 512;

/**
 * One Snapshot call: a backup (codec/snapshot.ts) in pieces, each sent when the client has room for it. Zeros fill it up
 * to whole pages; a backup says itself where it ends. A client that goes away ends the work with the next piece.
 */
export class SnapshotStream implements StreamListener<object> {
  readonly #call: MessageStream<SnapshotResponse>;
  readonly #calls: EtcdCalls;
  readonly #pieces: AsyncIterable<Uint8Array>;
  readonly #onClosed: () => void;
  #requests = 0;
  #closed = false;
  /** Set while the client has no room. */
  #continue: (() => void) | undefined;

  /** @throws ConcordError `CONCORD_PERMISSION_DENIED`. */
  constructor(call: MessageStream<SnapshotResponse>, calls: EtcdCalls, onClosed: () => void) {
    this.#call = call;
    this.#calls = calls;
    this.#onClosed = onClosed;
    this.#pieces = calls.services.maintenance.snapshot(calls.principal(call));
  }

  /** Whether this stream would rather end than stay at a member without a leader. */
  get wantsLeader(): boolean {
    return wantsLeader(this.#call);
  }

  fail(error: unknown): void {
    if (!this.#closed) this.#call.fail(grpcStatus(error));
  }

  receive(): void {
    this.#requests += 1;
  }

  ended(): void {
    if (this.#requests === 1) void this.#run();
    else this.#call.fail({ code: STATUS.unimplemented, details: "grpc: the call takes one request message" });
  }

  drained(): void {
    this.#continue?.();
  }

  closed(): void {
    this.#closed = true;
    this.#continue?.();
    this.#onClosed();
  }

  async #run(): Promise<void> {
    try {
      await this.#send();
    } catch (error) {
      this.fail(error);
    }
  }

  async #send(): Promise<void> {
    const expectedBytes = this.#calls.info().databaseBytes;
    const sum = createHash("sha256");
    let sent = 0;
    for await (const blob of this.#pieces) {
      // Leaving the loop lets go of the frozen state.
      if (this.#closed) return;
      sum.update(blob);
      sent += blob.length;
      await this.#write(blob, Math.max(1, expectedBytes - sent));
    }
    if (this.#closed) return;
    const padding = Buffer.alloc((FILE_PAGE_BYTES - (sent % FILE_PAGE_BYTES)) % FILE_PAGE_BYTES);
    await this.#write(Buffer.concat([padding, sum.update(padding).digest()]), 0);
    this.#call.end();
  }

  /** Resolves when there is room for more, or the call is over. */
  async #write(blob: Uint8Array, remainingBytes: number): Promise<void> {
    const response = {
      header: this.#calls.header(),
      remaining_bytes: remainingBytes,
      blob,
      version: ETCD_STORAGE_VERSION,
    };
    if (this.#call.write(response) || this.#closed) return;
    await new Promise<void>((resolve) => {
      this.#continue = resolve;
    });
    this.#continue = undefined;
  }
}
