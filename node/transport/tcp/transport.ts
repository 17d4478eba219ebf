import { type Hello, type HelloAnswer } from "../../codec/handshake.ts";
import { InvariantError } from "../../raft/assert.ts";
import { type MemberId } from "../../raft/types.ts";
import { answerHello, probeHello, sessionHello } from "../admission.ts";
import { type TransportLogger } from "../logger.ts";
import {
  type Peer,
  type ProbeAnswer,
  type Transport,
  type TransportHandler,
  type TransportIdentity,
} from "../transport.ts";
import { type Connection } from "./connection.ts";
import { type PeerCredentials } from "../credentials.ts";
import { type DialContext } from "./dial.ts";
import { Dialer, type DialerContext } from "./dialer.ts";
import { payloadLength } from "./frame.ts";
import { type TransportLimits, transportLimits } from "./limits.ts";
import { Listener } from "./listener.ts";
import { probe } from "./probe.ts";
import { NameResolver } from "./resolver.ts";
import {
  countConnection,
  countDropped,
  countReceived,
  countSent,
  type DropReason,
  type FrameCounters,
  newCounters,
  type PeerStatistics,
} from "./statistics.ts";

export interface TcpTransportOptions {
  /** `http://host:port` or `https://host:port`; port 0 takes a free one, see `urls`. */
  readonly listenUrls: readonly string[];
  readonly identity: TransportIdentity;
  /** Own peer certificate and the judgement of others'. Needed as soon as one URL, own or a peer's, is `https`. */
  readonly tls?: PeerCredentials;
  readonly limits?: Partial<TransportLimits>;
  readonly logger: TransportLogger;
  /** Told how long a peer took to answer a ping, ms; about every `pingIntervalMs` on each connection. */
  readonly onRoundTrip?: (memberId: MemberId, durationMs: number) => void;
  /** @default c-ares with /etc/hosts and the search list of /etc/resolv.conf */
  readonly resolver?: NameResolver;
  /** A number in [0, 1), for the jitter of dials. @default Math.random */
  readonly random?: () => number;
}

/** The connections with one member: frames leave over the one dialled to it, or, while there is none, over the one it dialled. */
interface Link {
  incoming: Connection | undefined;
  outgoing: Connection | undefined;
}

/** Frames over TCP or TLS. Each side dials the other, so that both notice an end at once. */
export class TcpTransport implements Transport {
  readonly #options: TcpTransportOptions;
  readonly #limits: TransportLimits;
  readonly #listeners: readonly Listener[];
  readonly #dialers = new Map<MemberId, Dialer>();
  readonly #links = new Map<MemberId, Link>();
  readonly #counters = new Map<MemberId, FrameCounters>();
  readonly #unreachable = new Set<MemberId>();
  readonly #probes = new Set<() => void>();
  readonly #dialContext: DialContext;
  #identity: TransportIdentity;
  #handler: TransportHandler | undefined;
  #heart: NodeJS.Timeout | undefined;
  #lastBeat = 0;
  #closed = false;

  /** @throws ConcordError `CONCORD_CONFIGURATION_INVALID` for URLs or limits that make no sense. */
  constructor(options: TcpTransportOptions) {
    this.#options = options;
    this.#identity = options.identity;
    this.#limits = transportLimits(options.limits);
    this.#dialContext = {
      limits: this.#limits,
      credentials: options.tls,
      resolver: options.resolver ?? new NameResolver(),
    };
    const context = {
      limits: this.#limits,
      credentials: options.tls,
      logger: options.logger,
      groupId: options.identity.groupId,
    };
    const events = {
      onHello: (hello: Hello, name: string | undefined) => this.#onHello(hello, name),
      onSession: (hello: Hello, connection: Connection) => this.#onSession(hello, connection),
    };
    this.#listeners = options.listenUrls.map((url) => new Listener(context, url, events));
  }

  /** The listen URLs with the ports that were bound. */
  get urls(): readonly string[] {
    return this.#listeners.map((listener) => listener.url);
  }

  /** One row for each peer. */
  statistics(): readonly PeerStatistics[] {
    return [...this.#counters].map(([memberId, counters]) => {
      const connection = this.#connectionTo(memberId);
      return {
        memberId,
        connected: connection !== undefined,
        bufferedBytes: connection?.bufferedBytes ?? 0,
        ...counters,
        droppedFrames: { ...counters.droppedFrames },
      };
    });
  }

  start(handler: TransportHandler, done: (error: Error | undefined) => void): void {
    if (this.#handler !== undefined) throw new InvariantError("The transport was started twice");
    this.#handler = handler;
    this.#lastBeat = performance.now();
    this.#heart = setInterval(() => this.#beat(), this.#limits.pingIntervalMs);
    let waiting = this.#listeners.length;
    let failure: Error | undefined;
    if (waiting === 0) process.nextTick(done, undefined);
    for (const listener of this.#listeners)
      listener.listen((error) => {
        failure ??= error;
        waiting -= 1;
        if (waiting > 0) return;
        if (failure === undefined) done(undefined);
        else this.close(() => done(failure));
      });
  }

  setIdentity(identity: TransportIdentity): void {
    if (identity.groupId !== this.#identity.groupId || identity.memberId !== this.#identity.memberId)
      throw new InvariantError("A running transport keeps its group and its member id");
    this.#identity = identity;
  }

  setPeers(peers: readonly Peer[]): void {
    if (this.#closed) return;
    const wanted = new Map(peers.filter((peer) => peer.id !== this.#identity.memberId).map((peer) => [peer.id, peer]));
    for (const [id, dialer] of this.#dialers) if (!wanted.has(id)) this.#dropPeer(id, dialer);
    for (const [id, peer] of wanted) {
      const dialer = this.#dialers.get(id);
      if (dialer === undefined) this.#addPeer(peer);
      else dialer.setPeer(peer);
    }
  }

  send(to: MemberId, chunks: readonly Uint8Array[]): boolean {
    const counters = this.#counters.get(to);
    const bytes = payloadLength(chunks);
    const dropped = this.#trySend(to, chunks, bytes);
    if (dropped === undefined) {
      countSent(counters, bytes);
      return true;
    }
    countDropped(counters, dropped);
    this.#reportUnreachable(to);
    return false;
  }

  probe(urls: readonly string[], done: (error: Error | undefined, answer: ProbeAnswer | undefined) => void): void {
    const cancel = probe(this.#dialContext, urls, probeHello(this.#identity), (error, answer) => {
      this.#probes.delete(cancel);
      done(error, answer);
    });
    this.#probes.add(cancel);
    if (this.#closed) cancel();
  }

  /** Ends everything. The handler hears nothing any more; probes under way end with an error. */
  close(done: () => void): void {
    this.#closed = true;
    clearInterval(this.#heart);
    for (const dialer of this.#dialers.values()) dialer.stop();
    this.#dialers.clear();
    for (const cancel of this.#probes) cancel();
    const links = [...this.#links.values()];
    this.#links.clear();
    for (const link of links) link.incoming?.finish("this member is closing");
    let waiting = this.#listeners.length;
    if (waiting === 0) process.nextTick(done);
    for (const listener of this.#listeners)
      listener.close(() => {
        waiting -= 1;
        if (waiting === 0) done();
      });
  }

  #trySend(to: MemberId, chunks: readonly Uint8Array[], bytes: number): DropReason | undefined {
    if (bytes > this.#limits.frameBytesMax) {
      this.#options.logger.warn("Frame is larger than allowed and was dropped", { memberId: to, bytes });
      return "tooLarge";
    }
    const connection = this.#connectionTo(to);
    if (connection === undefined || connection.ended) return "disconnected";
    return connection.send("message", chunks) ? undefined : "full";
  }

  #addPeer(peer: Peer): void {
    const context: DialerContext = {
      ...this.#dialContext,
      logger: this.#options.logger,
      random: this.#options.random ?? Math.random,
      identity: () => this.#identity,
      hello: (to) => sessionHello(this.#identity, { id: to.id, name: to.name }),
    };
    const dialer = new Dialer(context, peer, {
      onUp: (connection) => {
        this.#link(peer.id).outgoing = connection;
        countConnection(this.#counters.get(peer.id));
      },
      onDown: (connection) => this.#onEnd(peer.id, connection),
      onFrame: (payload) => this.#deliver(peer.id, payload),
      onRoundTrip: (durationMs) => this.#options.onRoundTrip?.(peer.id, durationMs),
      onRemoved: () => this.#handler?.onRemoved(),
    });
    this.#dialers.set(peer.id, dialer);
    this.#counters.set(peer.id, newCounters());
    dialer.dialNow();
  }

  /** A removed member loses both connections: it dials again, and is then told. */
  #dropPeer(id: MemberId, dialer: Dialer): void {
    this.#dialers.delete(id);
    this.#counters.delete(id);
    dialer.stop();
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.outgoing = undefined;
    const { incoming } = link;
    if (incoming === undefined || this.#handler?.isRemoved(id) === true) this.#links.delete(id);
    if (this.#handler?.isRemoved(id) === true) incoming?.destroy("the member was removed");
  }

  #onHello(hello: Hello, certificateName: string | undefined): HelloAnswer {
    const handler = this.#handler;
    if (handler === undefined || this.#closed) return { type: "refused", reason: "this member is closing" };
    if (hello.kind === "session" && !this.#links.has(hello.from.id) && this.#links.size >= this.#limits.sessionsMax)
      return { type: "refused", reason: `too many members are connected, at most ${this.#limits.sessionsMax}` };
    return answerHello(this.#identity, handler, hello, certificateName);
  }

  #onSession(hello: Hello, connection: Connection): void {
    const from = hello.from.id;
    const link = this.#link(from);
    const previous = link.incoming;
    link.incoming = connection;
    countConnection(this.#counters.get(from));
    connection.becomeSession({
      onFrame: (kind, payload) => {
        if (kind === "message") this.#deliver(from, payload);
        else connection.destroy(`the peer sent a ${kind} after its handshake`);
      },
      onRoundTrip: (durationMs) => this.#options.onRoundTrip?.(from, durationMs),
      onEnd: () => this.#onEnd(from, connection),
    });
    // A member has one connection to us. An older one is half-open: its end was lost on the way, as it happens when a
    // machine loses power and the member comes back elsewhere. The one that we dialled leads to the same dead place.
    if (previous !== undefined) {
      previous.destroy("the peer connected again");
      link.outgoing?.destroy("the peer connected again");
    }
    this.#dialers.get(from)?.dialNow();
  }

  #onEnd(member: MemberId, connection: Connection): void {
    const link = this.#links.get(member);
    if (link === undefined || this.#closed) return;
    if (link.incoming === connection) link.incoming = undefined;
    else if (link.outgoing === connection) link.outgoing = undefined;
    else return;
    if (link.incoming !== undefined || link.outgoing !== undefined) return;
    this.#links.delete(member);
    this.#handler?.onConnectionLost(member);
  }

  /** A member that was just adopted does not know the others' URLs yet: it answers over their connections. */
  #connectionTo(member: MemberId): Connection | undefined {
    return this.#dialers.get(member)?.connection ?? this.#links.get(member)?.incoming;
  }

  #deliver(from: MemberId, payload: Uint8Array): void {
    countReceived(this.#counters.get(from), payload.length);
    this.#handler?.onFrame(from, payload);
  }

  #link(member: MemberId): Link {
    const link = this.#links.get(member) ?? { incoming: undefined, outgoing: undefined };
    this.#links.set(member, link);
    return link;
  }

  /** Told once for all frames of a turn, and never from within `send`. */
  #reportUnreachable(member: MemberId): void {
    if (this.#closed || this.#unreachable.has(member)) return;
    this.#unreachable.add(member);
    setImmediate(() => {
      this.#unreachable.delete(member);
      if (!this.#closed) this.#handler?.onUnreachable(member);
    });
  }

  #beat(): void {
    const now = performance.now();
    const elapsedMs = now - this.#lastBeat;
    this.#lastBeat = now;
    // This process was stopped or busy for so long that what came meanwhile has not been read yet: accuse nobody.
    const fair = elapsedMs < 2 * this.#limits.pingIntervalMs ? elapsedMs : 0;
    for (const link of [...this.#links.values()]) {
      link.incoming?.beat(fair);
      link.outgoing?.beat(fair);
    }
  }
}
