import { type MemberId } from "../../raft/types.ts";

/**
 * Why a frame was dropped before it was sent: there was no connection, too much waited already (`bufferBytesMax`), or it
 * was larger than `frameBytesMax`.
 */
export type DropReason = "disconnected" | "full" | "tooLarge";

/** What went over the connections with one member since it became a peer. Bytes are those of payloads. */
export interface FrameCounters {
  /** Connections that stood, from either side. */
  connections: number;
  sentFrames: number;
  sentBytes: number;
  receivedFrames: number;
  receivedBytes: number;
  readonly droppedFrames: Record<DropReason, number>;
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
  return {
    connections: 0,
    sentFrames: 0,
    sentBytes: 0,
    receivedFrames: 0,
    receivedBytes: 0,
    droppedFrames: { disconnected: 0, full: 0, tooLarge: 0 },
  };
}

/** Members that are no peers (yet) are not counted. */
export function countConnection(counters: FrameCounters | undefined): void {
  if (counters !== undefined) counters.connections += 1;
}

export function countSent(counters: FrameCounters | undefined, bytes: number): void {
  if (counters === undefined) return;
  counters.sentFrames += 1;
  counters.sentBytes += bytes;
}

export function countDropped(counters: FrameCounters | undefined, reason: DropReason): void {
  if (counters !== undefined) counters.droppedFrames[reason] += 1;
}

export function countReceived(counters: FrameCounters | undefined, bytes: number): void {
  if (counters === undefined) return;
  counters.receivedFrames += 1;
  counters.receivedBytes += bytes;
}
