import { answerHello, judgeAnswer, probeHello, sessionHello } from "../../node/transport/admission.ts";
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
  /** A frame comes a second time, much later: an old message from another life. */
  readonly replayProbability: number;
}

const PROBE_TIMEOUT_MS = 200;
const REPLAY_DELAY_MS = 5_000;

/** Addresses are peer URLs. A process listens at one; partitions are between addresses, and may be one-way. */
export class SimNetwork {
  readonly clock: SimClock;
  readonly random: Prng;
  faults: NetworkFaults;
  readonly #listening = new Map<string, SimTransport>();
  readonly #blocked = new Set<string>();
  /** When the last frame of a direction arrives: frames of one connection keep their order. */
  readonly #lastArrival = new Map<string, number>();

  constructor(clock: SimClock, random: Prng, faults: NetworkFaults) {
    this.clock = clock;
    this.random = random;
    this.faults = faults;
  }

  block(from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`);
  }

  heal(): void {
    this.#blocked.clear();
  }

  listen(address: string, transport: SimTransport): void {
    this.#listening.set(address, transport);
  }

  at(address: string): SimTransport | undefined {
    return this.#listening.get(address);
  }

  passes(from: string, to: string): boolean {
    return !this.#blocked.has(`${from}>${to}`);
  }

  delay(): number {
    const { delayMinMs, delayMeanMs } = this.faults;
    return delayMinMs - Math.log(1 - this.random.float()) * delayMeanMs;
  }

  /** Delivers in order after a delay, unless the frame is lost. */
  carry(from: string, to: string, deliver: (receiver: SimTransport) => void): void {
    if (!this.passes(from, to) || this.random.chance(this.faults.lossProbability)) return;
    const key = `${from}>${to}`;
    const arrival = Math.max(this.clock.now + this.delay(), this.#lastArrival.get(key) ?? 0);
    this.#lastArrival.set(key, arrival);
    const arrive = (): void => {
      const receiver = this.#listening.get(to);
      if (receiver !== undefined && this.passes(from, to)) deliver(receiver);
    };
    this.clock.schedule(arrival - this.clock.now, arrive);
    if (this.random.chance(this.faults.replayProbability))
      this.clock.schedule(arrival - this.clock.now + this.random.float() * REPLAY_DELAY_MS, arrive);
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
  }

  setPeers(peers: readonly Peer[]): void {
    this.#urls = new Map(peers.map(({ id, name, urls }) => [id, { name, address: urls[0] ?? "" }]));
  }

  send(to: string, chunks: readonly Uint8Array[]): boolean {
    const peer = this.#urls.get(to);
    const address = peer?.address ?? this.#heardFrom.get(to);
    if (address === undefined || this.identity.clusterId === "") return false;
    const frame = Buffer.concat(chunks);
    const sender = this.identity;
    const hello = sessionHello(sender, { id: to, name: peer?.name ?? "" });
    this.#network.carry(this.address, address, (receiver) => {
      receiver.#process.later(0, () => {
        const handler = receiver.#handler;
        if (handler === undefined) return;
        const answer = answerHello(receiver.identity, handler, hello, undefined);
        const verdict = judgeAnswer(sender, { id: to, name: peer?.name ?? "" }, answer, undefined);
        if (verdict.type === "removed") this.#process.later(this.#network.delay(), () => this.#handler?.onRemoved());
        if (verdict.type !== "accepted") return;
        receiver.#heardFrom.set(sender.memberId, this.address);
        handler.onFrame(sender.memberId, frame);
      });
    });
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
