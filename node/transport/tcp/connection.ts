import { type Socket } from "node:net";
import { HANDSHAKE_BYTES_MAX } from "../../codec/handshake.ts";
import { FRAME_HEADER_BYTES, FrameDecoder, frameHeader, type FrameKind, payloadLength } from "./frame.ts";
import { type TransportLimits } from "./limits.ts";

export interface ConnectionEvents {
  /** Anything but pings and pongs. `payload` is valid during the call only. */
  onFrame(kind: FrameKind, payload: Uint8Array): void;
  /** The peer answered a ping. */
  onRoundTrip?(durationMs: number): void;
  /** Called once: the peer ended it, it broke, or `destroy` was called. */
  onEnd(reason: string): void;
}

/** What waits when a connection is finished is given this long to leave; a peer that reads nothing must not hold it. */
const LINGER_MS = 1000;

/** Operating systems probe an idle connection after this long, below what NAT tables and load balancers forget. */
const KEEP_ALIVE_MS = 15_000;

/**
 * One connection, plain or TLS, that carries frames. It ends as soon as either side says so: a peer that has closed its
 * half is not listened to any longer, for its death is news.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #limits: TransportLimits;
  readonly #groupId: number;
  readonly #decoder: FrameDecoder;
  #events: ConnectionEvents | undefined;
  #corked = false;
  #ended = false;
  #heardSinceCheck = true;
  #silentMs = 0;
  #isSession = false;
  /** When the ping was sent that has no answer yet. */
  #pingedAt: number | undefined;

  constructor(socket: Socket, groupId: number, limits: TransportLimits, events: ConnectionEvents) {
    this.#socket = socket;
    this.#limits = limits;
    this.#groupId = groupId;
    this.#events = events;
    this.#decoder = new FrameDecoder(groupId, Math.min(HANDSHAKE_BYTES_MAX, limits.frameBytesMax), (kind, payload) => {
      if (kind === "ping") this.#onPing();
      else if (kind === "pong") this.#onPong();
      else this.#events?.onFrame(kind, payload);
    });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on("data", (bytes: Buffer) => this.#onData(bytes));
    socket.on("end", () => this.destroy("the peer closed the connection"));
    socket.on("error", (error: Error) => this.destroy(error.message));
    socket.on("close", () => this.destroy("the connection was closed"));
  }

  get ended(): boolean {
    return this.#ended;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  get remote(): string {
    return `${this.#socket.remoteAddress ?? "?"}:${this.#socket.remotePort ?? 0}`;
  }

  /** The peer is authenticated: frames may be large, and go to another receiver. */
  becomeSession(events: ConnectionEvents): void {
    this.#events = events;
    this.#isSession = true;
    this.#decoder.bytesMax = this.#limits.frameBytesMax;
  }

  /**
   * Sends one frame, or drops it when too much waits already. All frames of a turn leave in one system call.
   * The chunks must not change before they are sent.
   *
   * @returns Whether it was taken.
   */
  send(kind: FrameKind, chunks: readonly Uint8Array[]): boolean {
    if (this.#ended || this.#socket.destroyed) return false;
    const bytes = FRAME_HEADER_BYTES + payloadLength(chunks);
    const waiting = this.#socket.writableLength;
    // The first frame always fits: a buffer smaller than a frame would block that frame for ever.
    if (waiting > 0 && waiting + bytes > this.#limits.bufferBytesMax) return false;
    this.#cork();
    this.#socket.write(frameHeader(kind, this.#groupId, chunks));
    for (const chunk of chunks) if (chunk.length > 0) this.#socket.write(chunk);
    return true;
  }

  /**
   * To be called every `pingIntervalMs`: says that this side is alive, and ends the connection when the other one has
   * not been heard for too long.
   *
   * @param elapsedMs Since the last call; 0 when this process itself was stopped and can accuse nobody.
   */
  beat(elapsedMs: number): void {
    this.#silentMs = this.#heardSinceCheck ? 0 : this.#silentMs + elapsedMs;
    this.#heardSinceCheck = false;
    if (this.#silentMs >= this.#limits.idleTimeoutMs) this.destroy("nothing was heard from the peer for too long");
    else if (this.send("ping", [])) this.#pingedAt ??= performance.now();
  }

  /** Strangers get no answer. */
  #onPing(): void {
    if (this.#isSession) this.send("pong", []);
  }

  #onPong(): void {
    if (this.#pingedAt === undefined) return;
    const durationMs = performance.now() - this.#pingedAt;
    this.#pingedAt = undefined;
    this.#events?.onRoundTrip?.(durationMs);
  }

  /** Ends the connection after what waits was sent. */
  finish(reason: string): void {
    if (this.#ended) return;
    this.#uncork();
    this.#end(reason);
    this.#socket.destroySoon();
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.once("close", () => clearTimeout(timer));
  }

  destroy(reason: string): void {
    if (this.#ended) return;
    this.#end(reason);
    this.#socket.destroy();
  }

  #end(reason: string): void {
    this.#ended = true;
    const events = this.#events;
    this.#events = undefined;
    events?.onEnd(reason);
  }

  #onData(bytes: Buffer): void {
    if (this.#ended) return;
    this.#heardSinceCheck = true;
    try {
      this.#decoder.push(bytes);
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "CodecError") throw error;
      this.destroy(error.message);
    }
  }

  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => this.#uncork());
  }

  #uncork(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket.uncork();
  }
}
