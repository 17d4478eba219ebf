import { ConcordError } from "../../client/errors.ts";
import { type NodeInfo, type ReadOptions } from "../../runtime/node-api.ts";
import { type WriteOptions } from "../../service/idempotency.ts";
import { type Principal } from "../../service/principal.ts";
import { type Services } from "../../service/services.ts";
import { type CallFacts } from "../grpc/method.ts";
import { responseHeader } from "./responses.ts";
import { type ResponseHeader } from "./messages.ts";

/** A unary method: the request as its codec read it. */
export type UnaryHandler = (request: never, call: CallFacts) => Promise<object>;
/** By the names of rpc.proto. */
export type UnaryHandlers = Readonly<Record<string, UnaryHandler>>;

/** What every method needs around its own work. */
export class EtcdCalls {
  readonly services: Services;
  readonly timeoutMs: number;

  /** @param options.timeoutMs - of calls whose client does not give up earlier */
  constructor(services: Services, options: { readonly timeoutMs: number }) {
    this.services = services;
    this.timeoutMs = options.timeoutMs;
  }

  /** Wraps a method: leader check, principal, time limit. */
  unary<Request>(
    handle: (request: Request, principal: Principal, options: WriteOptions & ReadOptions) => Promise<object>,
  ): (request: Request, call: CallFacts) => Promise<object> {
    return (request, call) => {
      this.requireLeader(call);
      return handle(request, this.principal(call), this.options(call));
    };
  }

  /** Wraps a method that may take as long as its client waits for it. */
  waiting<Request>(
    handle: (request: Request, principal: Principal, signal: AbortSignal) => Promise<object>,
  ): (request: Request, call: CallFacts) => Promise<object> {
    return (request, call) => {
      this.requireLeader(call);
      return handle(request, this.principal(call), call.signal);
    };
  }

  /** What the metadata of a call ask for. */
  options(call: CallFacts): WriteOptions & ReadOptions {
    return { timeoutMs: this.#timeLeft(call), ...idempotencyOf(call), ...freshnessOf(call) };
  }

  principal(call: CallFacts): Principal {
    return this.services.principalOf(call.connection);
  }

  header(revision?: number): ResponseHeader {
    const header = this.services.header();
    return responseHeader(header, revision ?? header.revision);
  }

  info(): NodeInfo {
    return this.services.info();
  }

  /** A client that sends `hasleader: true` would rather go to another member than wait for an election. */
  requireLeader(call: CallFacts): void {
    if (wantsLeader(call) && this.services.header().leaderId === "") throw new ConcordError("CONCORD_NO_LEADER");
  }

  /** etcd's learners answer nothing that needs the quorum; its clients then turn to a voter. */
  refuseLearner(): void {
    if (this.services.header().role === "learner") throw new ConcordError("CONCORD_LEARNER_UNSUPPORTED");
  }

  /** The client's deadline, when it is nearer than the door's own limit. */
  #timeLeft({ deadlineAt }: CallFacts): number {
    if (deadlineAt === Number.POSITIVE_INFINITY) return this.timeoutMs;
    return Math.max(1, Math.min(this.timeoutMs, deadlineAt - Date.now()));
  }
}

/** Metadata of a write that may be tried again, as the REST door's header of that name. */
function idempotencyOf({ headers }: CallFacts): WriteOptions {
  const key = headers["idempotency-key"];
  return typeof key === "string" ? { idempotencyKey: Buffer.from(key, "latin1") } : {};
}

/** Metadata of a serializable read, as the parameters of the REST door. */
function freshnessOf({ headers }: CallFacts): ReadOptions {
  const minRevision = wholeNumber("concord-min-revision", headers["concord-min-revision"]);
  const maxStalenessMs = wholeNumber("concord-max-staleness-ms", headers["concord-max-staleness-ms"]);
  return {
    ...(minRevision === undefined ? {} : { minRevision }),
    ...(maxStalenessMs === undefined ? {} : { maxStalenessMs }),
  };
}

function wholeNumber(name: string, value: string | readonly string[] | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new ConcordError("CONCORD_INVALID_ARGUMENT", `The metadata ${name} is no whole number`);
}

export function wantsLeader({ headers }: CallFacts): boolean {
  const value = headers["hasleader"];
  // Sent twice, it comes as a list; the first counts.
  return value === "true" || (typeof value === "string" && value.startsWith("true,"));
}
