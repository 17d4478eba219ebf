import { answerHello, judgeAnswer, probeHello, sessionHello } from "../../node/transport/admission.ts";
import { decodeMessage } from "../../node/codec/message.ts";
import { type Hello } from "../../node/codec/handshake.ts";
import {
  type Peer,
  type ProbeAnswer,
  type Transport,
  type TransportHandler,
  type TransportIdentity,
} from "../../node/transport/transport.ts";
import { type Prng } from "./prng.ts";
import { type SimClock, type SimProcess } from "./sim-clock.ts";

/** How bad the network is. Probabilities are per frame. */
export interface NetworkFaults {
  readonly delayMinMs: number;
  readonly delayMeanMs: number;
  readonly lossProbability: number;
  /**
   * A message of the core comes a second time, much later, perhaps to another process. No connection does that, but the
   * core does not rely on it.
   */
  readonly replayProbability: number;
  /** A frame is damaged on its way: its checksum shows that, and both ends give the connection up. */
  readonly corruptProbability: number;
}

/** One direction between two addresses. */
interface Link {
  blocked: boolean;
  /** When its last frame arrives: frames of one connection keep their order. */
  lastArrival: number;
}

const PROBE_TIMEOUT_MS = 200;
const REPLAY_DELAY_MS = 5_000;
const never = (): boolean => false;

/** Addresses are peer URLs. A process listens at one; partitions are between addresses, and may be one-way. */
export class SimNetwork {
  readonly clock: SimClock;
  readonly random: Prng;
  faults: NetworkFaults;
  readonly #listening = new Map<string, SimTransport>();
  readonly #links = new Map<string, Map<string, Link>>();

  constructor(clock: SimClock, random: Prng, faults: NetworkFaults) {
    this.clock = clock;
    this.random = random;
    this.faults = faults;
  }

  block(from: string, to: string): void {
    this.#link(from, to).blocked = true;
  }

  heal(): void {
    for (const links of this.#links.values()) for (const link of links.values()) link.blocked = false;
  }

  listen(address: string, transport: SimTransport): void {
    this.#listening.set(address, transport);
  }

  at(address: string): SimTransport | undefined {
    return this.#listening.get(address);
  }

  passes(from: string, to: string): boolean {
    return !this.#link(from, to).blocked;
  }

  delay(): number {
    const { delayMinMs, delayMeanMs } = this.faults;
    return delayMinMs - Math.log(1 - this.random.float()) * delayMeanMs;
  }

  /** Delivers in order after a delay, unless the frame is lost. */
  carry(from: string, to: string, deliver: (receiver: SimTransport) => void, mayRepeat: () => boolean = never): void {
    const link = this.#link(from, to);
    const { lossProbability, replayProbability, corruptProbability } = this.faults;
    if (link.blocked || this.random.chance(lossProbability)) return;
    const arrival = Math.max(this.clock.now + this.delay(), link.lastArrival);
    link.lastArrival = arrival;
    if (this.random.chance(corruptProbability)) {
      this.clock.schedule(arrival - this.clock.now, () => this.#reset(from, to));
      return;
    }
    const arrive = (): void => {
      const receiver = this.#listening.get(to);
      if (receiver !== undefined && !link.blocked) deliver(receiver);
    };
    this.clock.schedule(arrival - this.clock.now, arrive);
    if (this.random.chance(replayProbability) && mayRepeat())
      this.clock.schedule(arrival - this.clock.now + this.random.float() * REPLAY_DELAY_MS, arrive);
  }

  /** The connection between two that live on is given up. */
  #reset(from: string, to: string): void {
    const [sender, receiver] = [this.#listening.get(from), this.#listening.get(to)];
    if (sender === undefined || receiver === undefined) return;
    sender.peerGone(receiver.identity.memberId);
    receiver.peerGone(sender.identity.memberId);
  }

  #link(from: string, to: string): Link {
    let links = this.#links.get(from);
    if (links === undefined) this.#links.set(from, (links = new Map<string, Link>()));
    let link = links.get(to);
    if (link === undefined) links.set(to, (link = { blocked: false, lastArrival: 0 }));
    return link;
  }

  /** The process at `address` is gone. `heard`: its kernel lived on and closed its connections. */
  gone(address: string, heard: boolean): void {
    const transport = this.#listening.get(address);
    if (transport === undefined) return;
    this.#listening.delete(address);
    if (!heard) return;
    const { memberId } = transport.identity;
    for (const [other, receiver] of this.#listening) {
      this.clock.schedule(this.delay(), () => {
        if (this.passes(address, other)) receiver.peerGone(memberId);
      });
    }
  }
}

/** The transport of one simulated process. Its handshakes are the real ones' decisions. */
export class SimTransport implements Transport {
  identity: TransportIdentity;
  readonly address: string;
  readonly #network: SimNetwork;
  readonly #process: SimProcess;
  #handler: TransportHandler | undefined;
  #urls = new Map<string, { readonly name: string; readonly address: string }>();
  /** Where members dialled from: answers go there before this member knows the cluster's table. */
  readonly #heardFrom = new Map<string, string>();
  /** What a session with each member begins with. */
  readonly #hellos = new Map<string, Hello>();

  constructor(network: SimNetwork, process: SimProcess, address: string, identity: TransportIdentity) {
    this.#network = network;
    this.#process = process;
    this.address = address;
    this.identity = identity;
  }

  start(handler: TransportHandler, done: (error: Error | undefined) => void): void {
    this.#handler = handler;
    this.#network.listen(this.address, this);
    this.#process.later(0, () => done(undefined));
  }

  setIdentity(identity: TransportIdentity): void {
    this.identity = identity;
    this.#hellos.clear();
  }

  setPeers(peers: readonly Peer[]): void {
    this.#urls = new Map(peers.map(({ id, name, urls }) => [id, { name, address: urls[0] ?? "" }]));
    this.#hellos.clear();
  }

  send(to: string, chunks: readonly Uint8Array[]): boolean {
    const peer = this.#urls.get(to);
    const address = peer?.address ?? this.#heardFrom.get(to);
    if (address === undefined || this.identity.clusterId === "") return false;
    const frame = Buffer.concat(chunks);
    const sender = this.identity;
    let hello = this.#hellos.get(to);
    if (hello === undefined) this.#hellos.set(to, (hello = sessionHello(sender, { id: to, name: peer?.name ?? "" })));
    const asked = hello;
    this.#network.carry(
      this.address,
      address,
      (receiver) => {
        receiver.#process.later(0, () => {
          const handler = receiver.#handler;
          if (handler === undefined) return;
          const answer = answerHello(receiver.identity, handler, asked, undefined);
          const verdict = judgeAnswer(sender, { id: to, name: peer?.name ?? "" }, answer, undefined);
          if (verdict.type === "removed") this.#process.later(this.#network.delay(), () => this.#handler?.onRemoved());
          if (verdict.type !== "accepted") return;
          receiver.#heardFrom.set(sender.memberId, this.address);
          handler.onFrame(sender.memberId, frame);
        });
      },
      () => !decodeMessage(frame).message.type.startsWith("forward"),
    );
    return true;
  }

  probe(urls: readonly string[], done: (error: Error | undefined, answer: ProbeAnswer | undefined) => void): void {
    const to = urls[0] ?? "";
    let open = true;
    const end = (error: Error | undefined, answer: ProbeAnswer | undefined): void => {
      if (!open) return;
      open = false;
      done(error, answer);
    };
    this.#process.later(PROBE_TIMEOUT_MS, () => end(new Error("Nobody answers"), undefined));
    this.#network.carry(this.address, to, (receiver) => {
      receiver.#process.later(0, () => {
        const handler = receiver.#handler;
        if (handler === undefined) return;
        const answer = answerHello(receiver.identity, handler, probeHello(this.identity), undefined);
        if (answer.type !== "probed") return;
        this.#network.carry(to, this.address, () => this.#process.later(0, () => end(undefined, answer.reply)));
      });
    });
  }

  close(done: () => void): void {
    this.#network.gone(this.address, true);
    this.#handler = undefined;
    this.#process.later(0, done);
  }

  /** The connection from `member` ended. */
  peerGone(member: string): void {
    this.#process.later(0, () => this.#handler?.onConnectionLost(member));
  }
}
