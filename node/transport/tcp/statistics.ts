import { type MemberId } from "../../raft/types.ts";

/** What went over the connections with one member since it became a peer. Bytes are those of payloads. */
export interface FrameCounters {
  sentFrames: number;
  sentBytes: number;
  /** Dropped before they were sent: no connection, or the limits `bufferBytesMax` and `frameBytesMax`. */
  droppedFrames: number;
  receivedFrames: number;
  receivedBytes: number;
}

/** One peer, for metrics. */
export interface PeerStatistics extends Readonly<FrameCounters> {
  readonly memberId: MemberId;
  /** Whether frames can be sent to it now. */
  readonly connected: boolean;
  /** Waiting to be sent. */
  readonly bufferedBytes: number;
}

export function newCounters(): FrameCounters {
  return { sentFrames: 0, sentBytes: 0, droppedFrames: 0, receivedFrames: 0, receivedBytes: 0 };
}

/** Members that are no peers (yet) are not counted. */
export function countSent(counters: FrameCounters | undefined, bytes: number): void {
  if (counters === undefined) return;
  counters.sentFrames += 1;
  counters.sentBytes += bytes;
}

export function countReceived(counters: FrameCounters | undefined, bytes: number): void {
  if (counters === undefined) return;
  counters.receivedFrames += 1;
  counters.receivedBytes += bytes;
}
