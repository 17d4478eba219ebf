import { type Hello, type HelloAnswer } from "../../codec/handshake.ts";
import { InvariantError } from "../../raft/assert.ts";
import { type MemberId } from "../../raft/types.ts";
import { answerHello, judgeAnswer, probeHello, sessionHello } from "../admission.ts";
import {
  type Peer,
  type ProbeAnswer,
  type Transport,
  type TransportHandler,
  type TransportIdentity,
} from "../transport.ts";

/** Runs a callback later, never from within the call. The simulator's seed decides when; embedding uses `setImmediate`. */
export type Scheduler = (callback: () => void) => void;

/** Frames that wait for one receiver from one sender; further ones are dropped. */
export const MEMORY_FRAMES_MAX = 4096;

/** The network between the members of one process: who listens at which URL. */
export class MemoryHub {
  readonly #schedule: Scheduler;
  readonly #listening = new Map<string, MemoryTransport>();

  constructor(schedule: Scheduler = (callback) => void setImmediate(callback)) {
    this.#schedule = schedule;
  }

  /** @internal */
  later(callback: () => void): void {
    this.#schedule(callback);
  }

  /** @internal */
  find(url: string): MemoryTransport | undefined {
    return this.#listening.get(url);
  }

  /** @internal @returns Whether the URLs were free. */
  listen(urls: readonly string[], transport: MemoryTransport): boolean {
    if (urls.some((url) => this.#listening.has(url))) return false;
    for (const url of urls) this.#listening.set(url, transport);
    return true;
  }

  /** @internal */
  leave(transport: MemoryTransport): void {
    for (const [url, other] of this.#listening) if (other === transport) this.#listening.delete(url);
    for (const other of new Set(this.#listening.values())) other.onGone(transport);
  }
}

/**
 * A transport between members of one process: the handshakes and rules of the real one, without sockets. A session is
 * made when the first frame needs it, so that nothing has to run while nobody speaks.
 */
export class MemoryTransport implements Transport {
  readonly #hub: MemoryHub;
  readonly #urls: readonly string[];
  readonly #peers = new Map<MemberId, Peer>();
  /** Members that accepted a session from this one. */
  readonly #outgoing = new Map<MemberId, MemoryTransport>();
  /** Members whose session this one accepted. */
  readonly #incoming = new Map<MemberId, MemoryTransport>();
  readonly #dialling = new Set<MemberId>();
  readonly #unreachable = new Set<MemberId>();
  readonly #waitingFrames = new Map<MemberId, number>();
  #identity: TransportIdentity;
  #handler: TransportHandler | undefined;
  #closed = false;

  /** @param urls Where this member is found in the hub. Any text will do. */
  constructor(hub: MemoryHub, urls: readonly string[], identity: TransportIdentity) {
    this.#hub = hub;
    this.#urls = urls;
    this.#identity = identity;
  }

  get urls(): readonly string[] {
    return this.#urls;
  }

  start(handler: TransportHandler, done: (error: Error | undefined) => void): void {
    if (this.#handler !== undefined) throw new InvariantError("The transport was started twice");
    this.#handler = handler;
    const free = this.#hub.listen(this.#urls, this);
    this.#hub.later(() => done(free ? undefined : new Error(`Another member listens at ${this.#urls.join(", ")}`)));
  }

  setIdentity(identity: TransportIdentity): void {
    if (identity.groupId !== this.#identity.groupId || identity.memberId !== this.#identity.memberId)
      throw new InvariantError("A running transport keeps its group and its member id");
    this.#identity = identity;
  }

  setPeers(peers: readonly Peer[]): void {
    const wanted = new Map(peers.filter((peer) => peer.id !== this.#identity.memberId).map((peer) => [peer.id, peer]));
    for (const id of this.#peers.keys()) if (!wanted.has(id)) this.#dropPeer(id);
    for (const [id, peer] of wanted) {
      this.#peers.set(id, peer);
      this.#dial(id);
    }
  }

  send(to: MemberId, chunks: readonly Uint8Array[]): boolean {
    if (this.#closed) return false;
    if (!this.#outgoing.has(to)) this.#dial(to);
    // A member that was just adopted does not know the others' URLs yet: it answers over their sessions.
    const other = this.#outgoing.get(to) ?? this.#incoming.get(to);
    if (other === undefined || !other.take(this.#identity.memberId, this, chunks)) {
      this.#reportUnreachable(to);
      return false;
    }
    return true;
  }

  probe(urls: readonly string[], done: (error: Error | undefined, answer: ProbeAnswer | undefined) => void): void {
    const asked = probeHello(this.#identity);
    this.#hub.later(() => {
      const answer = this.#closed ? undefined : this.#find(urls)?.answer(asked);
      if (answer?.type === "probed") done(undefined, answer.reply);
      else done(new Error(`Nobody listens at ${urls.join(", ")}`), undefined);
    });
  }

  close(done: () => void): void {
    this.#closed = true;
    this.#hub.leave(this);
    this.#outgoing.clear();
    this.#incoming.clear();
    this.#hub.later(done);
  }

  /** @internal Another transport's hello arrives. */
  answer(asked: Hello): HelloAnswer | undefined {
    if (this.#handler === undefined || this.#closed) return undefined;
    return answerHello(this.#identity, this.#handler, asked, undefined);
  }

  /** @internal Another transport was accepted. */
  accept(from: MemberId, transport: MemoryTransport): void {
    this.#incoming.set(from, transport);
    this.#dial(from);
  }

  /** @internal A frame of a transport that shares a session with this one. It is copied now, and delivered later. */
  take(from: MemberId, transport: MemoryTransport, chunks: readonly Uint8Array[]): boolean {
    const waiting = this.#waitingFrames.get(from) ?? 0;
    if (waiting >= MEMORY_FRAMES_MAX) return false;
    this.#waitingFrames.set(from, waiting + 1);
    const payload = new Uint8Array(Buffer.concat(chunks));
    this.#hub.later(() => {
      this.#waitingFrames.set(from, (this.#waitingFrames.get(from) ?? 1) - 1);
      if (this.#incoming.get(from) === transport || this.#outgoing.get(from) === transport)
        this.#handler?.onFrame(from, payload);
    });
    return true;
  }

  /** @internal Another transport ended its sessions. */
  onGone(transport: MemoryTransport): void {
    const lost = new Set<MemberId>();
    for (const sessions of [this.#outgoing, this.#incoming])
      for (const [id, other] of sessions) if (other === transport && sessions.delete(id)) lost.add(id);
    for (const id of lost) this.#hub.later(() => this.#reportLost(id));
  }

  /** Like the real one: a removed member loses the session it has here, and is told when it dials again. */
  #dropPeer(id: MemberId): void {
    this.#peers.delete(id);
    this.#outgoing.get(id)?.onLeft(this.#identity.memberId);
    this.#outgoing.delete(id);
    const other = this.#incoming.get(id);
    if (other === undefined || this.#handler?.isRemoved(id) !== true) return;
    this.#incoming.delete(id);
    other.onCut(this.#identity.memberId);
  }

  /** @internal The other side ended the session that this one had dialled. */
  onCut(by: MemberId): void {
    this.#outgoing.delete(by);
    this.#hub.later(() => {
      this.#reportLost(by);
      this.#dial(by);
    });
  }

  /** @internal The other side ended the session that it had dialled. */
  onLeft(by: MemberId): void {
    // Later, like everything on a network: what was sent before comes before.
    this.#hub.later(() => {
      if (this.#incoming.delete(by)) this.#reportLost(by);
    });
  }

  #dial(id: MemberId): void {
    if (this.#closed || this.#handler === undefined) return;
    if (!this.#peers.has(id) || this.#outgoing.has(id) || this.#dialling.has(id)) return;
    this.#dialling.add(id);
    this.#hub.later(() => {
      this.#dialling.delete(id);
      const peer = this.#peers.get(id);
      if (peer !== undefined && !this.#closed) this.#shakeHands(peer);
    });
  }

  #shakeHands(peer: Peer): void {
    const other = this.#find(peer.urls);
    const answer = other?.answer(sessionHello(this.#identity, peer));
    if (other === undefined || answer === undefined) return;
    const verdict = judgeAnswer(this.#identity, peer, answer, undefined);
    if (verdict.type === "removed") this.#handler?.onRemoved();
    if (verdict.type !== "accepted") return;
    this.#outgoing.set(peer.id, other);
    other.accept(this.#identity.memberId, this);
  }

  #find(urls: readonly string[]): MemoryTransport | undefined {
    for (const url of urls) {
      const other = this.#hub.find(url);
      if (other !== undefined) return other;
    }
    return undefined;
  }

  #reportLost(member: MemberId): void {
    if (this.#closed || this.#outgoing.has(member) || this.#incoming.has(member)) return;
    this.#handler?.onConnectionLost(member);
  }

  #reportUnreachable(member: MemberId): void {
    if (this.#unreachable.has(member)) return;
    this.#unreachable.add(member);
    this.#hub.later(() => {
      this.#unreachable.delete(member);
      if (!this.#closed) this.#handler?.onUnreachable(member);
    });
  }
}
