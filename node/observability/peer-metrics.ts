import { Counter, Gauge, type Registry } from "prom-client";

/** What a transport has counted for one peer since it became one. Bytes are those of payloads. */
export interface PeerSnapshot {
  /** 16 hex digits. */
  readonly memberId: string;
  readonly connected: boolean;
  readonly bufferedBytes: number;
  readonly connections: number;
  readonly sentFrames: number;
  readonly sentBytes: number;
  readonly receivedFrames: number;
  readonly receivedBytes: number;
  /** By reason, a fixed set. */
  readonly droppedFrames: Readonly<Record<string, number>>;
}

type Row = readonly [name: string, help: string, value: (peer: PeerSnapshot) => number];

const GAUGES: readonly Row[] = [
  ["concord_peer_connected", "1 while frames can be sent to this member", (peer) => Number(peer.connected)],
  ["concord_peer_buffered_bytes", "Bytes that wait to be sent to this member", (peer) => peer.bufferedBytes],
];

const COUNTERS: readonly Row[] = [
  ["concord_peer_connections_total", "Connections with this member that stood, from either side", (p) => p.connections],
  ["concord_peer_sent_frames_total", "Frames sent to this member", (peer) => peer.sentFrames],
  ["concord_peer_sent_bytes_total", "Bytes of frames sent to this member", (peer) => peer.sentBytes],
  ["concord_peer_received_frames_total", "Frames received from this member", (peer) => peer.receivedFrames],
  ["concord_peer_received_bytes_total", "Bytes of frames received from this member", (peer) => peer.receivedBytes],
];

/** Metrics of the traffic with the other members, a series for each peer there is; a removed one takes its series along. */
export function addPeerMetrics(registers: Registry[], peers: () => readonly PeerSnapshot[]): void {
  for (const [name, help, value] of GAUGES) {
    new Gauge({
      name,
      help,
      labelNames: ["peer"],
      registers,
      collect() {
        this.reset();
        for (const peer of peers()) this.set({ peer: peer.memberId }, value(peer));
      },
    });
  }
  for (const [name, help, value] of COUNTERS) {
    new Counter({
      name,
      help,
      labelNames: ["peer"],
      registers,
      collect() {
        this.reset();
        for (const peer of peers()) this.inc({ peer: peer.memberId }, value(peer));
      },
    });
  }
  new Counter({
    name: "concord_peer_dropped_frames_total",
    help: "Frames dropped before they were sent: disconnected, full (the buffer), tooLarge",
    labelNames: ["peer", "reason"],
    registers,
    collect() {
      this.reset();
      for (const { memberId, droppedFrames } of peers()) {
        for (const [reason, count] of Object.entries(droppedFrames)) this.inc({ peer: memberId, reason }, count);
      }
    },
  });
}
