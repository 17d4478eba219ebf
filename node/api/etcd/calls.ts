import { type handleUnaryCall, type Metadata, type ServerUnaryCall } from "@grpc/grpc-js";
import { ConcordError } from "../../client/errors.ts";
import { type NodeInfo, type RequestOptions } from "../../runtime/node-api.ts";
import { type Principal } from "../../service/principal.ts";
import { type Services } from "../../service/services.ts";
import { rememberedCertificate } from "../connection.ts";
import { responseHeader } from "./responses.ts";
import { type ResponseHeader } from "./messages.ts";
import { grpcError } from "./status.ts";

/** What a gRPC call of either kind tells about itself. */
export type CallFacts = Pick<ServerUnaryCall<unknown, unknown>, "getPeer" | "getAuthContext" | "getDeadline"> & {
  readonly metadata: Metadata;
};

/** What every method needs around its own work. */
export class EtcdCalls {
  readonly services: Services;
  readonly #secure: boolean;
  readonly #timeoutMs: number;
  readonly #observe: (method: string, code: number, durationMs: number) => void;

  constructor(
    services: Services,
    options: {
      readonly secure: boolean;
      readonly timeoutMs: number;
      readonly observe: (method: string, code: number, durationMs: number) => void;
    },
  ) {
    this.services = services;
    this.#secure = options.secure;
    this.#timeoutMs = options.timeoutMs;
    this.#observe = options.observe;
  }

  /** Wraps a method: leader check, time limit, errors as etcd's statuses, measurement. */
  unary<Request>(
    method: string,
    handle: (request: Request, principal: Principal, options: RequestOptions) => Promise<object>,
  ): handleUnaryCall<Request, object> {
    return (call, callback) => {
      const startedAt = performance.now();
      const answer = async (): Promise<object> => {
        this.requireLeader(call.metadata);
        return handle(call.request, this.principal(call), { timeoutMs: this.#timeLeft(call) });
      };
      answer().then(
        (response) => {
          this.#observe(method, 0, performance.now() - startedAt);
          callback(null, response);
        },
        (error: unknown) => {
          const failure = grpcError(error);
          this.#observe(method, failure.code, performance.now() - startedAt);
          callback(failure);
        },
      );
    };
  }

  principal(call: CallFacts): Principal {
    const peer = call.getPeer();
    const portAt = peer.lastIndexOf(":");
    return this.services.principalOf({
      secure: this.#secure,
      remoteAddress: portAt > 0 ? peer.slice(0, portAt).replace(/^\[|\]$/g, "") : undefined,
      certificate: rememberedCertificate(call.getAuthContext().sslPeerCertificate),
    });
  }

  header(revision?: number): ResponseHeader {
    const header = this.services.header();
    return responseHeader(header, revision ?? header.revision);
  }

  info(): NodeInfo {
    return this.services.info();
  }

  /** A client that sends `hasleader: true` would rather go to another member than wait for an election. */
  requireLeader(metadata: Metadata): void {
    if (wantsLeader(metadata) && this.services.header().leaderId === "") throw new ConcordError("CONCORD_NO_LEADER");
  }

  /** etcd's learners answer nothing that needs the quorum; its clients then turn to a voter. */
  refuseLearner(): void {
    if (this.services.header().role === "learner") throw new ConcordError("CONCORD_LEARNER_UNSUPPORTED");
  }

  /** The client's deadline, when it is nearer than the door's own limit. */
  #timeLeft(call: CallFacts): number {
    const deadline = call.getDeadline();
    const at = deadline instanceof Date ? deadline.getTime() : deadline;
    return Number.isFinite(at) ? Math.max(1, Math.min(this.#timeoutMs, at - Date.now())) : this.#timeoutMs;
  }
}

export function wantsLeader(metadata: Metadata): boolean {
  return metadata.get("hasleader")[0] === "true";
}
