import { ConcordError, ERROR_TABLE, type ErrorCode } from "../../../node/client/errors.ts";
import { type BackendAnswer, type BackendWatch } from "../../../node/client/store/backend.ts";
import { type RequestSettings, type SessionRequest, type WatchRequest } from "../../../node/client/wire/types.ts";

/** What not every door has. */
export type Feature =
  | "sort"
  | "revision filters"
  | "count only"
  | "keep value or lease"
  | "row ttl"
  | "history"
  | "content type"
  | "what an answer is worth"
  | "minimum revision"
  | "said to be replayed"
  | "key length"
  | "progress"
  | "count of revoked keys";

/** A way into the store, spoken of in one language so that one suite asks all of them the same. */
export interface Door {
  readonly name: string;
  /** Why it does not have a feature: the rules that need it are skipped there, and the table says so. */
  readonly lacks: Partial<Readonly<Record<Feature, string>>>;
  /** @throws ConcordError with the code of the one table. */
  carryOut(request: SessionRequest, settings?: RequestSettings): Promise<BackendAnswer>;
  /** Resolves when it has begun. */
  watch(request: Omit<WatchRequest, "fragment">): Promise<Pick<BackendWatch, "next" | "cancel">>;
  close(): Promise<void>;
}

/** The error that a text of etcd's doors stands for: its clients know errors by their texts. */
export function errorOfText(text: string): ConcordError {
  const codes = Object.keys(ERROR_TABLE) as ErrorCode[];
  const whole = codes.find((code) => text === `etcdserver: ${ERROR_TABLE[code].message}`);
  const end = codes.find((code) => text.endsWith(ERROR_TABLE[code].message));
  return new ConcordError(whole ?? end ?? "CONCORD_INVALID_ARGUMENT", text);
}
