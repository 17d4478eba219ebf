import { type WebSocket } from "ws";
import { writeServerMessage } from "../../client/wire/answers.ts";
import { WireWriter } from "../../client/wire/fields.ts";
import { type ServerMessage } from "../../client/wire/types.ts";

export interface OutboxOptions {
  /** Bytes that may wait for the client; beyond it no watch is read on and no request is taken. */
  readonly bufferBytesMax: number;
  /** How long a watch waits for room before it is ended. */
  readonly slowMs: number;
  /** The client began to read slower than it is written to (true), or caught up (false). */
  readonly onFull: (full: boolean) => void;
  /** Bytes went to the network. */
  readonly onProgress: () => void;
}

/** What was gathered is sent at the latest at this size. */
const FRAME_BYTES = 64 * 1024;

/**
 * What a session has to say. Everything of one turn of the loop goes into one frame; and a client that does not read costs
 * a bounded buffer, not memory.
 */
export class Outbox {
  readonly #socket: WebSocket;
  readonly #options: OutboxOptions;
  #writer: WireWriter | undefined;
  #scheduled = false;
  #full = false;
  #slow = false;
  #slowTimer: NodeJS.Timeout | undefined;
  #waiting: ((room: boolean) => void)[] = [];
  #closed = false;

  constructor(socket: WebSocket, options: OutboxOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount + (this.#writer?.length ?? 0);
  }

  push(message: ServerMessage): void {
    if (this.#closed) return;
    this.#writer ??= new WireWriter();
    try {
      writeServerMessage(this.#writer, message);
    } catch (error) {
      // Half a record would be taken for something else.
      this.#writer = undefined;
      throw error;
    }
    if (this.#writer.length >= FRAME_BYTES) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.flush();
      });
    }
  }

  flush(): void {
    const writer = this.#writer;
    if (writer === undefined || this.#closed) return;
    this.#writer = undefined;
    this.#socket.send(writer.finish(), { binary: true }, () => this.#sent());
    if (!this.#full && this.bufferedBytes >= this.#options.bufferBytesMax) {
      this.#full = true;
      this.#options.onFull(true);
    }
  }

  /** Resolves with true when there is room for more, with false when the client was too slow for too long. */
  room(): Promise<boolean> | true {
    if (!this.#full) return true;
    if (this.#slow || this.#closed) return Promise.resolve(false);
    this.#slowTimer ??= setTimeout(() => {
      this.#slow = true;
      this.#release(false);
    }, this.#options.slowMs).unref();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#closed = true;
    this.#writer = undefined;
    this.#release(false);
  }

  #sent(): void {
    if (this.#closed) return;
    this.#options.onProgress();
    // Half of it, so that a session does not go to and fro at the limit.
    if (!this.#full || this.bufferedBytes > this.#options.bufferBytesMax / 2) return;
    this.#full = false;
    this.#slow = false;
    this.#options.onFull(false);
    this.#release(true);
  }

  #release(room: boolean): void {
    clearTimeout(this.#slowTimer);
    this.#slowTimer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve(room);
  }
}
