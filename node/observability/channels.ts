import { channel, type Channel } from "node:diagnostics_channel";

/**
 * What happens in a node, for whoever wants to know: metrics, tracing, an audit log, a program that embeds Concord.
 * Publishing costs a few nanoseconds while nobody listens. Several nodes may run in one process, so every payload says
 * whose it is; keys, values and certificates are never in one.
 */
export interface NodeEvent {
  /** The node that speaks: the same object in all its events. */
  readonly node: NodeHandle;
}

export interface NodeHandle {
  readonly name: string;
}

export interface RequestFinished extends NodeEvent {
  readonly door: "etcd" | "http";
  /** gRPC method or route name: a closed set, never what a client wrote. */
  readonly operation: string;
  /** gRPC status code or HTTP status. */
  readonly status: number;
  readonly durationMs: number;
}

export interface CertificateReloaded extends NodeEvent {
  /** RFC 3339. */
  readonly notAfter: string;
}

/** Names are part of the public interface. */
export const CHANNELS = {
  requestFinished: channel("concord:request:finished") as Channel<unknown, RequestFinished>,
  certificateReloaded: channel("concord:certificate:reloaded") as Channel<unknown, CertificateReloaded>,
} as const;
