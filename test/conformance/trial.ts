import { expect } from "vitest";
import { ConcordError, type ErrorCode } from "../../node/client/errors.ts";
import {
  type Change,
  type Compare,
  type KeyRange,
  type KeyValue,
  type Operation,
  type RangeOperation,
  type RequestSettings,
  type SessionReply,
  type SessionRequest,
  type WatchRequest,
} from "../../node/client/wire/types.ts";
import { type Door } from "./doors/door.ts";

const encoder = new TextEncoder();
export const utf8 = (text: string): Uint8Array => encoder.encode(text);
export const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString();
const NO_BYTES = new Uint8Array(0);

type PutFlags = Partial<Omit<Extract<Operation, { readonly type: "put" }>, "type" | "key">>;
type RangeFlags = Partial<Omit<RangeOperation, "type" | keyof KeyRange>>;
export type Answer<T extends SessionReply["type"]> = Awaited<ReturnType<Door["carryOut"]>> & {
  readonly reply: Extract<SessionReply, { readonly type: T }>;
};

/** One rule at one door: requests on keys that no other rule has. */
export class Trial {
  readonly #door: Door;
  readonly #prefix: string;

  constructor(door: Door, ruleId: string) {
    this.#door = door;
    this.#prefix = `${ruleId}/`;
  }

  /** A name of this rule's own as a key. */
  key(name: string): Uint8Array {
    return utf8(this.#prefix + name);
  }

  one(name: string): KeyRange {
    return { key: this.key(name), rangeEnd: NO_BYTES };
  }

  /** All keys of this rule. */
  get all(): KeyRange {
    return { key: utf8(this.#prefix), rangeEnd: utf8(this.#prefix.replace(/\/$/, "0")) };
  }

  /** The name behind this rule's prefix. */
  name(row: KeyValue | undefined): string | undefined {
    return text(row?.key)?.slice(this.#prefix.length);
  }

  names(rows: readonly KeyValue[]): (string | undefined)[] {
    return rows.map((row) => this.name(row));
  }

  async ask<T extends SessionReply["type"]>(
    type: T,
    request: SessionRequest,
    settings?: RequestSettings,
  ): Promise<Answer<T>> {
    const answer = await this.#door.carryOut(request, settings);
    expect(answer.reply.type).toBe(type);
    return answer as Answer<T>;
  }

  putOf(name: string, value: string | Uint8Array, flags: PutFlags = {}): Extract<Operation, { readonly type: "put" }> {
    return {
      type: "put",
      key: this.key(name),
      value: typeof value === "string" ? utf8(value) : value,
      lease: 0n,
      previous: false,
      ignoreValue: false,
      ignoreLease: false,
      ...flags,
    };
  }

  rangeOf(range: KeyRange, flags: RangeFlags = {}): RangeOperation {
    return {
      type: "range",
      ...range,
      limit: 0,
      revision: 0,
      sortTarget: "key",
      sortOrder: "none",
      keysOnly: false,
      countOnly: false,
      minModRevision: 0,
      maxModRevision: 0,
      minCreateRevision: 0,
      maxCreateRevision: 0,
      ...flags,
    };
  }

  deleteOf(range: KeyRange, previous = false): Operation {
    return { type: "delete", ...range, previous };
  }

  put(name: string, value: string | Uint8Array, flags?: PutFlags, settings?: RequestSettings): Promise<Answer<"put">> {
    return this.ask("put", this.putOf(name, value, flags), settings);
  }

  range(range: KeyRange, flags?: RangeFlags, settings?: RequestSettings): Promise<Answer<"range">> {
    return this.ask("range", this.rangeOf(range, flags), settings);
  }

  async get(name: string, flags?: RangeFlags): Promise<KeyValue | undefined> {
    return (await this.range(this.one(name), flags)).reply.rows[0];
  }

  delete(range: KeyRange, previous = false, settings?: RequestSettings): Promise<Answer<"delete">> {
    return this.ask("delete", this.deleteOf(range, previous), settings);
  }

  txn(
    compares: readonly Compare[],
    success: readonly Operation[],
    failure: readonly Operation[] = [],
    settings?: RequestSettings,
  ): Promise<Answer<"txn">> {
    return this.ask("txn", { type: "txn", compares, success, failure }, settings);
  }

  /** Whether the compare holds. */
  async holds(compare: Compare): Promise<boolean> {
    return (await this.txn([compare], [])).reply.succeeded;
  }

  /** The revision of the store. */
  async revision(): Promise<number> {
    return (await this.txn([], [this.rangeOf(this.one("nothing"))])).revision;
  }

  async lease(ttlSeconds = 60, id = 0n): Promise<bigint> {
    return (await this.ask("leaseGrant", { type: "leaseGrant", id, ttlSeconds })).reply.id;
  }

  async watch(range: KeyRange, flags: Partial<Omit<WatchRequest, keyof KeyRange>> = {}): Promise<WatchTrial> {
    const request = { ...range, startRevision: 0, previous: false, filterPut: false, filterDelete: false, ...flags };
    return new WatchTrial(await this.#door.watch(request), this);
  }

  async refuses(code: ErrorCode, work: Promise<unknown>): Promise<ConcordError> {
    const outcome: unknown = await work.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(ConcordError.is(outcome) ? outcome.code : outcome).toBe(code);
    return outcome as ConcordError;
  }
}

/** A watch, change by change. */
export class WatchTrial {
  readonly #watch: Awaited<ReturnType<Door["watch"]>>;
  readonly #trial: Trial;
  #waiting: Change[] = [];

  constructor(watch: Awaited<ReturnType<Door["watch"]>>, trial: Trial) {
    this.#watch = watch;
    this.#trial = trial;
  }

  async next(): Promise<Change> {
    while (this.#waiting.length === 0) {
      const batch = await this.#watch.next();
      if (batch === undefined) throw new Error("The watch ended");
      this.#waiting = [...batch];
    }
    return this.#waiting.shift()!;
  }

  /** `<revision> <type> <name> <value> <previous value>` of the next changes, revisions counted from `base`. */
  async take(count: number, base = 0): Promise<string[]> {
    const seen: string[] = [];
    while (seen.length < count) {
      const { type, row, previous } = await this.next();
      const before = previous === undefined ? "" : ` (${text(previous.value) ?? ""})`;
      const value = type === "delete" ? "" : ` ${text(row.value) ?? ""}`;
      seen.push(`${row.modRevision - base} ${type} ${this.#trial.name(row) ?? ""}${value}${before}`);
    }
    return seen;
  }

  cancel(): void {
    this.#watch.cancel();
  }
}

/** The reply to an operation of a txn, as one of that type. */
export function replyAt(answer: Answer<"txn">, at: number): AnyReply {
  return answer.reply.replies[at] as Partial<AnyReply> as AnyReply;
}

/** The fields of every reply; a reply has those of its own type. */
export interface AnyReply {
  readonly rows: readonly KeyValue[];
  readonly deleted: number;
  readonly previous: readonly KeyValue[];
  readonly succeeded: boolean;
}
