import { type Hello, type MemberName } from "../../codec/handshake.ts";
import { judgeAnswer } from "../admission.ts";
import { type TransportLogger } from "../logger.ts";
import { type Peer, type TransportIdentity } from "../transport.ts";
import { type Connection } from "./connection.ts";
import { type Answered, dial, type DialContext } from "./dial.ts";

export interface DialerContext extends DialContext {
  readonly logger: TransportLogger;
  /** A number in [0, 1). Spreads the dials of members that lost a peer together. */
  readonly random: () => number;
  /** The identity at this moment. */
  readonly identity: () => TransportIdentity;
  readonly hello: (to: MemberName) => Hello;
}

export interface DialerEvents {
  onUp(connection: Connection): void;
  onDown(connection: Connection): void;
  /** The peer writes over our connection as long as it has none of its own. */
  onFrame(payload: Uint8Array): void;
  /** The peer answered a ping. */
  onRoundTrip(durationMs: number): void;
  onRemoved(): void;
}

/** A connection that lived so long worked: the next pause is the shortest again. */
const PROVEN_MS = 1000;

/** Keeps one connection to one peer: dials its URLs in turn, and again after every end. */
export class Dialer {
  readonly #context: DialerContext;
  readonly #events: DialerEvents;
  #peer: Peer;
  #connection: Connection | undefined;
  #cancelDial: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #urlIndex = 0;
  #pauseMs = 0;
  #lastFailure = "";
  #upSince = 0;

  constructor(context: DialerContext, peer: Peer, events: DialerEvents) {
    this.#context = context;
    this.#peer = peer;
    this.#events = events;
  }

  /** The connection over which the peer can be reached now. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** Dials at once, unless connected or dialling. Called at the start, and when the peer shows that it lives. */
  dialNow(): void {
    if (this.#stopped || this.#connection !== undefined || this.#cancelDial !== undefined) return;
    clearTimeout(this.#timer);
    this.#dial();
  }

  /** Other URLs count from the next dial on; the connection stays. */
  setPeer(peer: Peer): void {
    const changed = peer.urls.join() !== this.#peer.urls.join();
    this.#peer = peer;
    if (changed) this.dialNow();
  }

  /** Ends the connection after what waits was sent. No event follows. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#cancelDial?.();
    this.#cancelDial = undefined;
    this.#connection?.finish("the peer is no longer wanted");
  }

  #dial(): void {
    const urls = this.#peer.urls;
    const url = urls[this.#urlIndex % Math.max(urls.length, 1)];
    this.#urlIndex += 1;
    if (url === undefined) {
      this.#retry("the peer has no URL");
      return;
    }
    const peer = this.#peer;
    this.#cancelDial = dial(this.#context, url, this.#context.hello(peer), (error, answered) => {
      this.#cancelDial = undefined;
      if (answered === undefined) this.#retry(error?.message ?? "no answer");
      else this.#judge(peer, answered);
    });
  }

  #judge(peer: Peer, answered: Answered): void {
    const { connection } = answered;
    const verdict = judgeAnswer(this.#context.identity(), peer, answered.answer, answered.certificateName);
    if (verdict.type === "accepted") {
      this.#becomeConnected(connection);
      return;
    }
    connection.becomeSession({ onFrame: () => undefined, onEnd: () => undefined });
    connection.destroy("the handshake failed");
    this.#retry(verdict.type === "removed" ? "this member was removed from the cluster" : verdict.reason);
    if (verdict.type === "removed") this.#events.onRemoved();
  }

  #becomeConnected(connection: Connection): void {
    this.#connection = connection;
    this.#upSince = performance.now();
    this.#lastFailure = "";
    // The URL that worked is the first to be tried again.
    this.#urlIndex -= 1;
    connection.becomeSession({
      onFrame: (kind, payload) => {
        if (kind === "message") this.#events.onFrame(payload);
        else connection.destroy(`the peer sent a ${kind} after its handshake`);
      },
      onRoundTrip: (durationMs) => this.#events.onRoundTrip(durationMs),
      onEnd: (reason) => {
        this.#connection = undefined;
        if (this.#stopped) return;
        if (performance.now() - this.#upSince >= PROVEN_MS) this.#pauseMs = 0;
        this.#retry(reason);
        this.#events.onDown(connection);
      },
    });
    this.#context.logger.info("Connected to peer", { peer: this.#peer.name, memberId: this.#peer.id });
    this.#events.onUp(connection);
  }

  /** Pauses double from the shortest to the longest; each is cut by up to a half. */
  #retry(reason: string): void {
    if (this.#stopped) return;
    if (reason !== this.#lastFailure) {
      this.#lastFailure = reason;
      this.#context.logger.warn("Peer is not connected", { peer: this.#peer.name, memberId: this.#peer.id, reason });
    }
    const { reconnectMinMs, reconnectMaxMs } = this.#context.limits;
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, reconnectMinMs), reconnectMaxMs);
    this.#timer = setTimeout(() => this.#dial(), this.#pauseMs * (0.5 + this.#context.random() / 2));
  }
}
