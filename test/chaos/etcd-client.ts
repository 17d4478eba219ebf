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
  readonly count: string;
}

export interface Page extends Pick<RangeResponse, "kvs"> {
  readonly revision: number;
  /** Keys from the first one of this page to the end of the range, those of later pages too. */
  readonly count: number;
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
    let revision = 0;
    for await (const page of this.pages(prefix, timeoutMs)) {
      ({ revision } = page);
      for (const { key, value, version } of page.kvs)
        rows.push({ key: key.toString(), value: value.toString(), version: Number(version) });
    }
    return { revision, rows };
  }

  /** The pages of a listing, all of the revision of the first one. */
  async *pages(prefix: string, timeoutMs: number): AsyncGenerator<Page> {
    const end = prefixEnd(prefix);
    let revision = "0";
    for (let from = Buffer.from(prefix); ;) {
      const request = { key: from, range_end: end, limit: String(PAGE_KEYS), revision };
      const { header, kvs, more, count } = await this.#unary<RangeResponse>("KV", "Range", request, timeoutMs);
      if (revision === "0") ({ revision } = header);
      yield { revision: Number(revision), kvs, count: Number(count) };
      const last = kvs.at(-1);
      if (!more || last === undefined) return;
      from = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async count(prefix: string, timeoutMs: number): Promise<number> {
    const request = { key: Buffer.from(prefix), range_end: prefixEnd(prefix), count_only: true };
    return Number((await this.#unary<RangeResponse>("KV", "Range", request, timeoutMs)).count);
  }

  /** @returns how many there were */
  async deletePrefix(prefix: string, timeoutMs: number): Promise<number> {
    const request = { key: Buffer.from(prefix), range_end: prefixEnd(prefix) };
    return Number((await this.#unary<{ readonly deleted: string }>("KV", "DeleteRange", request, timeoutMs)).deleted);
  }

  /** Of all keys with their history, at the newest revision. */
  async hash(timeoutMs: number): Promise<number> {
    return (await this.#unary<{ readonly hash: number }>("Maintenance", "HashKV", { revision: "0" }, timeoutMs)).hash;
  }

  /** Reads a snapshot to its end. @returns its bytes */
  async snapshot(): Promise<number> {
    const { path, requestSerialize, responseDeserialize } = definitionOf("Maintenance", "Snapshot");
    const deserialize = responseDeserialize as (bytes: Buffer) => { readonly blob: Buffer };
    const stream = this.#client.makeServerStreamRequest(path, requestSerialize, deserialize, {});
    let bytes = 0;
    for await (const { blob } of stream as AsyncIterable<{ readonly blob: Buffer }>) bytes += blob.length;
    return bytes;
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
