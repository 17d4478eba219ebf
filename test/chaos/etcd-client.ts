import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { loadEtcdServices } from "../../node/api/etcd/definition.ts";

const SERVICES = loadEtcdServices();

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly version: number;
}

export interface Listing {
  readonly revision: number;
  readonly rows: readonly KeyValue[];
}

export type TxnOperation =
  { readonly put: string; readonly value: string; readonly lease?: bigint } | { readonly deletePrefix: string };

export interface EndpointStatus {
  readonly memberId: string;
  readonly leader: string;
  readonly learner: boolean;
  readonly appliedIndex: number;
}

interface PutResponse {
  readonly header: { readonly revision: string };
}

interface RangeResponse {
  readonly header: { readonly revision: string };
  readonly kvs: readonly { readonly key: Buffer; readonly value: Buffer; readonly version: string }[];
  readonly more: boolean;
}

interface StatusResponse {
  readonly header: { readonly member_id: string };
  readonly leader: string;
  readonly isLearner: boolean;
  readonly raftAppliedIndex: string;
}

const PAGE_KEYS = 10_000;

/** etcd's API at one endpoint, over a connection of its own. Retries nothing. */
export class EtcdClient {
  readonly #client: Client;

  constructor(url: string) {
    this.#client = new Client(new URL(url).host, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 200,
      "grpc.max_receive_message_length": -1,
    });
  }

  /** @returns the revision of the write */
  async put(
    key: string,
    value: string,
    timeoutMs: number,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const request = { key: Buffer.from(key), value: Buffer.from(value) };
    return (await this.#unary<PutResponse>("KV", "Put", request, timeoutMs, metadata)).header.revision;
  }

  /** Every key that begins with `prefix`, read linearizably, page by page. */
  async list(prefix: string, timeoutMs: number): Promise<readonly KeyValue[]> {
    return (await this.listing(prefix, timeoutMs)).rows;
  }

  /** As `list`, with the revision that all pages are of. */
  async listing(prefix: string, timeoutMs: number): Promise<Listing> {
    const rows: KeyValue[] = [];
    const end = prefixEnd(prefix);
    let revision = "0";
    for (let from = Buffer.from(prefix); ;) {
      const request = { key: from, range_end: end, limit: String(PAGE_KEYS), revision };
      const { header, kvs, more } = await this.#unary<RangeResponse>("KV", "Range", request, timeoutMs);
      if (revision === "0") ({ revision } = header);
      for (const { key, value, version } of kvs)
        rows.push({ key: key.toString(), value: value.toString(), version: Number(version) });
      const last = kvs.at(-1);
      if (!more || last === undefined) return { revision: Number(revision), rows };
      from = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  /** Operations that happen together. @returns their revision */
  async txn(
    operations: readonly TxnOperation[],
    timeoutMs: number,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<number> {
    const success = operations.map((each) =>
      "put" in each
        ? {
            request_put: { key: Buffer.from(each.put), value: Buffer.from(each.value), lease: String(each.lease ?? 0) },
          }
        : { request_delete_range: { key: Buffer.from(each.deletePrefix), range_end: prefixEnd(each.deletePrefix) } },
    );
    return Number((await this.#unary<PutResponse>("KV", "Txn", { success }, timeoutMs, metadata)).header.revision);
  }

  async compact(revision: number, timeoutMs: number): Promise<void> {
    await this.#unary("KV", "Compact", { revision: String(revision) }, timeoutMs);
  }

  /** @returns the seconds that it is granted for */
  async grantLease(id: bigint, ttlSeconds: number, timeoutMs: number): Promise<number> {
    const request = { ID: String(id), TTL: String(ttlSeconds) };
    return Number((await this.#unary<{ readonly TTL: string }>("Lease", "LeaseGrant", request, timeoutMs)).TTL);
  }

  async addLearner(peerUrl: string, timeoutMs: number): Promise<void> {
    await this.#unary("Cluster", "MemberAdd", { peerURLs: [peerUrl], isLearner: true }, timeoutMs);
  }

  /** A stream of messages both ways; ended by its caller, or with an error by the other side. */
  stream<Request, Response>(service: keyof typeof SERVICES, method: string): ClientDuplexStream<Request, Response> {
    const { path, requestSerialize, responseDeserialize } = definitionOf(service, method);
    return this.#client.makeBidiStreamRequest(
      path,
      requestSerialize as (value: Request) => Buffer,
      responseDeserialize as (bytes: Buffer) => Response,
    );
  }

  async status(timeoutMs: number): Promise<EndpointStatus> {
    const response = await this.#unary<StatusResponse>("Maintenance", "Status", {}, timeoutMs);
    return {
      memberId: response.header.member_id,
      leader: response.leader,
      learner: response.isLearner,
      appliedIndex: Number(response.raftAppliedIndex),
    };
  }

  close(): void {
    this.#client.close();
  }

  async #unary<Response>(
    service: keyof typeof SERVICES,
    method: string,
    request: object,
    timeoutMs: number,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const definition = definitionOf(service, method);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        Metadata.fromHttp2Headers(metadata),
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          if (error === null) resolve(response as Response);
          else reject(error);
        },
      );
    });
  }
}

function definitionOf(service: keyof typeof SERVICES, method: string): MethodDefinition<object, object> {
  const definition = SERVICES[service][method];
  if (definition === undefined) throw new Error(`${service} has no method ${method}`);
  return definition;
}

/** The first key behind all that begin with `prefix`. */
export function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}

/** Answers of a member that say, in etcd's words, that the write never happened and never will. */
const CERTAINLY_FAILED = [
  "etcdserver: no leader",
  "etcdserver: not leader",
  "etcdserver: leader changed",
  "etcdserver: server stopped",
  "etcdserver: too many requests",
];

/** What a failed write means: `failed` it never happened; `unknown` it may have. */
export function fateOf(error: unknown): "failed" | "unknown" {
  const { code, details } = error as ServiceError;
  if (CERTAINLY_FAILED.includes(details)) return "failed";
  // No connection could be made, so no byte of the request left.
  return code === status.UNAVAILABLE && details.startsWith("No connection established") ? "failed" : "unknown";
}
