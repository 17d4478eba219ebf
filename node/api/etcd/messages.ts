/**
 * The messages of rpc.proto that Concord looks into, as @grpc/proto-loader hands them over: 64-bit numbers as decimal
 * texts, enums by name (an unknown number stays a number), absent messages null, the chosen field of a oneof by name.
 */
export interface RangeRequest {
  readonly key: Uint8Array;
  readonly range_end: Uint8Array;
  readonly limit: string;
  readonly revision: string;
  readonly sort_order: string | number;
  readonly sort_target: string | number;
  readonly serializable: boolean;
  readonly keys_only: boolean;
  readonly count_only: boolean;
  readonly min_mod_revision: string;
  readonly max_mod_revision: string;
  readonly min_create_revision: string;
  readonly max_create_revision: string;
}

export interface PutRequest {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly lease: string;
  readonly prev_kv: boolean;
  readonly ignore_value: boolean;
  readonly ignore_lease: boolean;
}

export interface DeleteRangeRequest {
  readonly key: Uint8Array;
  readonly range_end: Uint8Array;
  readonly prev_kv: boolean;
}

export type RequestOp =
  | { readonly request: "request_range"; readonly request_range: RangeRequest }
  | { readonly request: "request_put"; readonly request_put: PutRequest }
  | { readonly request: "request_delete_range"; readonly request_delete_range: DeleteRangeRequest }
  | { readonly request: "request_txn"; readonly request_txn: TxnRequest }
  | { readonly request?: undefined };

export interface CompareRequest {
  readonly result: string | number;
  readonly target: string | number;
  readonly key: Uint8Array;
  readonly range_end: Uint8Array;
  readonly version?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly value?: Uint8Array;
  readonly lease?: string;
}

export interface LockRequest {
  readonly name: Uint8Array;
  readonly lease: string;
}

export interface CampaignRequest extends LockRequest {
  readonly value: Uint8Array;
}

export interface LeaderKey {
  readonly name: Uint8Array;
  readonly key: Uint8Array;
  readonly rev: string;
  readonly lease: string;
}

export interface ProclaimRequest {
  readonly leader: LeaderKey | null;
  readonly value: Uint8Array;
}

export interface ElectionRequest {
  readonly name: Uint8Array;
}

export interface LeaderResponse {
  readonly header: ResponseHeader;
  readonly kv: KeyValueMessage;
}

export interface TxnRequest {
  readonly compare: readonly CompareRequest[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface CompactionRequest {
  readonly revision: string;
}

export interface WatchCreateRequest {
  readonly key: Uint8Array;
  readonly range_end: Uint8Array;
  readonly start_revision: string;
  readonly progress_notify: boolean;
  readonly filters: readonly (string | number)[];
  readonly prev_kv: boolean;
  readonly watch_id: string;
  readonly fragment: boolean;
}

export type WatchRequestMessage =
  | { readonly request_union: "create_request"; readonly create_request: WatchCreateRequest }
  | { readonly request_union: "cancel_request"; readonly cancel_request: { readonly watch_id: string } }
  | { readonly request_union: "progress_request" }
  | { readonly request_union?: undefined };

export interface LeaseGrantRequest {
  readonly TTL: string;
  readonly ID: string;
}

export interface LeaseRevokeRequest {
  readonly ID: string;
}

export interface LeaseKeepAliveRequest {
  readonly ID: string;
}

export interface LeaseTimeToLiveRequest {
  readonly ID: string;
  readonly keys: boolean;
}

export interface MemberListRequest {
  readonly linearizable: boolean;
}

export interface MemberAddRequest {
  readonly peerURLs: readonly string[];
  readonly isLearner: boolean;
}

export interface MemberUpdateRequest {
  readonly ID: string;
  readonly peerURLs: readonly string[];
}

/** MemberRemove and MemberPromote. */
export interface MemberIdRequest {
  readonly ID: string;
}

export interface HashKvRequest {
  readonly revision: string;
}

export interface DowngradeRequest {
  readonly action: string | number;
  readonly version: string;
}

export interface RangeStreamResponse {
  readonly range_response: {
    readonly header?: ResponseHeader;
    readonly kvs: readonly KeyValueMessage[];
    readonly more?: boolean;
    readonly count?: number;
  };
}

export interface SnapshotResponse {
  readonly header: ResponseHeader;
  /** An estimate until the last message, whose it is 0: the size is only known at the end. */
  readonly remaining_bytes: number;
  readonly blob: Uint8Array;
  readonly version: string;
}

export interface MoveLeaderRequest {
  readonly targetID: string;
}

export interface AlarmRequest {
  readonly action: string | number;
  readonly memberID: string;
  readonly alarm: string | number;
}

export interface ResponseHeader {
  readonly cluster_id: string;
  readonly member_id: string;
  readonly revision: number;
  readonly raft_term: number;
}

export interface KeyValueMessage {
  readonly key: Uint8Array;
  readonly create_revision: number;
  readonly mod_revision: number;
  readonly version: number;
  readonly value: Uint8Array;
  readonly lease: string | number;
}

export interface EventMessage {
  readonly type: 0 | 1;
  readonly kv: KeyValueMessage;
  readonly prev_kv?: KeyValueMessage;
}

export interface LeaseKeepAliveResponse {
  readonly header: ResponseHeader;
  readonly ID: string;
  readonly TTL: number;
}

export interface WatchResponse {
  readonly header: ResponseHeader;
  readonly watch_id: string | number;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compact_revision?: number;
  readonly cancel_reason?: string;
  readonly fragment?: boolean;
  readonly events?: readonly EventMessage[];
}
