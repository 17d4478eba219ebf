import { createHash } from "node:crypto";
import { type MessageStream } from "../grpc/method.ts";
import { type EtcdCalls } from "./calls.ts";
import { ETCD_STORAGE_VERSION } from "./definition.ts";
import { type SnapshotResponse } from "./messages.ts";
import { ServerStream } from "./server-stream.ts";

/** etcd's files are whole pages of this size with a SHA-256 behind them; etcdctl refuses any other length. */
const FILE_PAGE_BYTES = 512;

/**
 * One Snapshot call: a backup (codec/snapshot.ts) in pieces. Zeros fill it up to whole pages; a backup says itself where
 * it ends.
 */
export class SnapshotStream extends ServerStream<object, SnapshotResponse> {
  readonly #pieces: AsyncIterable<Uint8Array>;

  /** @throws ConcordError `CONCORD_PERMISSION_DENIED`. */
  constructor(call: MessageStream<SnapshotResponse>, calls: EtcdCalls, onClosed: () => void) {
    super(call, calls, onClosed);
    this.#pieces = calls.services.maintenance.snapshot(calls.principal(call));
  }

  protected async answer(): Promise<void> {
    const expectedBytes = this.calls.info().databaseBytes;
    const sum = createHash("sha256");
    let sent = 0;
    for await (const blob of this.#pieces) {
      // Leaving the loop lets go of the frozen state.
      if (this.isClosed) return;
      sum.update(blob);
      sent += blob.length;
      await this.#send(blob, Math.max(1, expectedBytes - sent));
    }
    if (this.isClosed) return;
    const padding = Buffer.alloc((FILE_PAGE_BYTES - (sent % FILE_PAGE_BYTES)) % FILE_PAGE_BYTES);
    await this.#send(Buffer.concat([padding, sum.update(padding).digest()]), 0);
  }

  async #send(blob: Uint8Array, remainingBytes: number): Promise<void> {
    const header = this.calls.header();
    await this.write({ header, remaining_bytes: remainingBytes, blob, version: ETCD_STORAGE_VERSION });
  }
}
