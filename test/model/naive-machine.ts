import {
  type Command,
  type Compare,
  type KeyRange,
  type Operation,
  type HistoryOperation,
  type RangeOperation,
  type TxnOperation,
} from "../../node/machine/commands.ts";

/** What is compared: outcomes and rows with bytes as text. */
export type Plain = unknown;

type Row = {
  key: string;
  value: string;
  createRevision: number;
  modRevision: number;
  version: number;
  lease: bigint;
  ttlMs?: number;
  contentType?: string;
};
type Change = { type: "put" | "delete"; row: Row; sub: number };

/** Bytes as text, one character a byte: compares like the bytes. */
export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

/** Replaces byte arrays by text, all the way down. */
export function plain(value: unknown): Plain {
  if (value instanceof Uint8Array) return text(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
  return value;
}

class Refused extends Error {
  readonly reason: string;
  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

/** etcd's rules written down as plainly as possible: a map of all rows for every revision there ever was. */
export class NaiveMachine {
  revision = 1;
  compactRevision = -1;
  readonly states: Map<string, Row>[] = [new Map(), new Map()];
  readonly changes: Change[][] = [[], []];
  readonly leases = new Map<bigint, { readonly ttlSeconds: number; readonly deadlineMs: number }>();
  /** When the rows end that have an end. */
  ends = new Map<string, number>();
  #workingEnds = this.ends;

  apply(command: Command, nowMs: number): Plain {
    this.#workingEnds = new Map(this.ends);
    try {
      const done = { ok: true, ...this.#apply(command, nowMs) };
      this.ends = this.#workingEnds;
      return done;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const { revision, compactRevision } = this;
      return { ok: false, revision, reason: error.reason, compactRevision };
    }
  }

  /** Rows in the range at a revision, in key order. */
  rows(range: KeyRange, revision: number): Row[] {
    const state = this.states[revision]!;
    return [...state.values()].filter(({ key }) => inRange(range, key)).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Changes from the compacted revision on; what was before that revision is compacted. */
  changesOf(range: KeyRange, from: number, to: number): { event: Change; previous: Row | undefined }[] {
    const found: { event: Change; previous: Row | undefined }[] = [];
    for (let revision = from; revision <= Math.min(to, this.revision); revision += 1) {
      const before = revision > this.compactRevision ? this.states[revision - 1]! : new Map<string, Row>();
      for (const event of this.changes[revision]!)
        if (inRange(range, event.row.key)) found.push({ event, previous: before.get(event.row.key) });
    }
    return found;
  }

  /** All rows that a key had, the newest first: those since the compaction, and the one that it left. */
  history({ key, fromRevision, toRevision, limit }: HistoryOperation): Plain {
    const { revision, compactRevision } = this;
    const refused = [fromRevision, toRevision].map((bound) =>
      bound > revision ? "futureRevision" : bound > 0 && bound < compactRevision ? "compacted" : undefined,
    );
    const reason = refused[0] ?? refused[1];
    if (reason !== undefined) return { ok: false, revision, reason, compactRevision };
    const oldest = Math.max(1, compactRevision);
    const changed = this.changes.slice(oldest).flatMap((changes) => changes.map(({ row }) => row));
    const before = this.states[oldest]!.get(text(key));
    const left = before !== undefined && before.modRevision < oldest ? [before] : [];
    const to = toRevision === 0 ? revision : toRevision;
    const rows = [...left, ...changed.filter((row) => row.key === text(key))]
      .filter(({ modRevision }) => modRevision >= fromRevision && modRevision <= to)
      .reverse();
    const more = limit > 0 && rows.length > limit;
    return { ok: true, revision, reply: { type: "history", rows: more ? rows.slice(0, limit) : rows, more } };
  }

  #apply(command: Command, nowMs: number): { revision: number; reply: Plain } {
    if (command.type === "compact") {
      if (command.revision > this.revision) throw new Refused("futureRevision");
      if (command.revision <= this.compactRevision) throw new Refused("compacted");
      this.compactRevision = command.revision;
      return { revision: this.revision, reply: { type: "compact" } };
    }
    if (command.type.startsWith("lease")) {
      const reply = this.#lease(command, nowMs);
      return { revision: this.revision, reply };
    }
    if (command.type === "expireRows") {
      const ended = command.rows.map(({ key, endMs }) => ({ key: text(key), endMs }));
      const keys = ended.filter(({ key, endMs }) => this.ends.get(key) === endMs && endMs <= nowMs);
      const deleted = this.#remove(keys.map(({ key }) => key));
      return { revision: this.revision, reply: { type: "delete", deleted, previous: [] } };
    }
    if (!isOperation(command)) throw new Error("Not in this model");
    if (command.type === "txn" && conflicts(command)) throw new Refused("duplicateKey");
    const before = this.states[this.revision]!;
    const working = new Map(before);
    const changes: Change[] = [];
    this.#validate(command, before);
    const reply = this.#operate(command, before, working, changes, nowMs);
    if (changes.length > 0) {
      this.revision += 1;
      this.states.push(working);
      this.changes.push(changes);
    }
    return { revision: this.revision, reply };
  }

  #lease(command: Command, nowMs: number): Plain {
    switch (command.type) {
      case "leaseGrant": {
        const { id } = command;
        if (this.leases.has(id)) throw new Refused("leaseExists");
        const ttlSeconds = Math.max(2, command.ttlSeconds);
        this.leases.set(id, { ttlSeconds, deadlineMs: nowMs + 1 + ttlSeconds * 1000 });
        return { type: "leaseGrant", id, ttlSeconds };
      }
      case "leaseRevoke":
        if (!this.leases.has(command.id)) throw new Refused("leaseNotFound");
        return { type: "leaseRevoke", deleted: this.#revoke(command.id) };
      case "leaseExpire": {
        const lease = this.leases.get(command.id);
        const ended = lease !== undefined && lease.deadlineMs === command.deadlineMs && lease.deadlineMs <= nowMs;
        return ended ? { type: "leaseRevoke", deleted: this.#revoke(command.id) } : { type: "ok" };
      }
      case "leaseKeepAlive":
        return {
          type: "leaseKeepAlive",
          ttls: command.ids.map((id) => {
            const ttlSeconds = this.leases.get(id)?.ttlSeconds ?? 0;
            if (ttlSeconds > 0) this.leases.set(id, { ttlSeconds, deadlineMs: nowMs + 1 + ttlSeconds * 1000 });
            return ttlSeconds;
          }),
        };
      case "leaseTimeToLive": {
        const lease = this.leases.get(command.id);
        if (lease === undefined) return { type: "leaseTimeToLive", ttlSeconds: -1, grantedSeconds: 0, keys: [] };
        const left = Math.max(0, Math.floor((lease.deadlineMs - nowMs) / 1000));
        const keys = command.keys ? this.keysOf(command.id) : [];
        return { type: "leaseTimeToLive", ttlSeconds: left, grantedSeconds: lease.ttlSeconds, keys };
      }
      default:
        throw new Error("No lease command");
    }
  }

  keysOf(id: bigint): string[] {
    const rows = [...this.states[this.revision]!.values()].filter(({ lease }) => lease === id);
    return rows.map(({ key }) => key).sort();
  }

  #revoke(id: bigint): number {
    const keys = this.keysOf(id);
    this.leases.delete(id);
    return this.#remove(keys);
  }

  #remove(keys: readonly string[]): number {
    if (keys.length === 0) return 0;
    this.revision += 1;
    const state = new Map(this.states[this.revision - 1]);
    for (const key of keys) state.delete(key);
    for (const key of keys) this.#workingEnds.delete(key);
    this.states.push(state);
    const row = { value: "", createRevision: 0, modRevision: this.revision, version: 0, lease: 0n };
    this.changes.push(keys.map((key, sub) => ({ type: "delete", row: { key, ...row }, sub })));
    return keys.length;
  }

  #chosen(txn: TxnOperation, before: Map<string, Row>): readonly Operation[] {
    return this.#holds(txn, before) ? txn.success : txn.failure;
  }

  #holds(txn: TxnOperation, before: Map<string, Row>): boolean {
    return txn.compares.every((compare) => {
      const rows = [...before.values()].filter(({ key }) => inRange(compare, key));
      return rows.length === 0 ? compareHolds(compare, undefined) : rows.every((row) => compareHolds(compare, row));
    });
  }

  #validate(operation: Operation, before: Map<string, Row>): void {
    switch (operation.type) {
      case "put":
        if ((operation.ignoreValue || operation.ignoreLease) && !before.has(text(operation.key)))
          throw new Refused("keyNotFound");
        if (operation.lease !== 0n && !this.leases.has(operation.lease)) throw new Refused("leaseNotFound");
        return;
      case "range":
        if (operation.revision > this.revision) throw new Refused("futureRevision");
        if (operation.revision > 0 && operation.revision < this.compactRevision) throw new Refused("compacted");
        return;
      case "txn":
        for (const inner of this.#chosen(operation, before)) this.#validate(inner, before);
        return;
      case "delete":
      case "touch":
    }
  }

  #operate(
    operation: Operation,
    before: Map<string, Row>,
    working: Map<string, Row>,
    changes: Change[],
    nowMs: number,
  ): Plain {
    const revision = this.revision + 1;
    switch (operation.type) {
      case "put": {
        const key = text(operation.key);
        const old = working.get(key);
        const row = {
          key,
          value: operation.ignoreValue ? old!.value : text(operation.value),
          createRevision: old?.createRevision ?? revision,
          modRevision: revision,
          version: (old?.version ?? 0) + 1,
          lease: operation.ignoreLease ? old!.lease : operation.lease,
          ...typed(operation.ignoreValue ? old!.contentType : operation.contentType),
        };
        working.set(key, row);
        this.#setEnd(key, operation.ttlMs ?? 0, nowMs);
        changes.push({ type: "put", row, sub: changes.length });
        return { type: "put", previous: operation.previous ? old : undefined };
      }
      case "delete": {
        const rows = [...working.values()].filter(({ key }) => inRange(operation, key));
        rows.sort((a, b) => (a.key < b.key ? -1 : 1));
        for (const { key } of rows) {
          working.delete(key);
          this.#workingEnds.delete(key);
          const row = { key, value: "", createRevision: 0, modRevision: revision, version: 0, lease: 0n };
          changes.push({ type: "delete", row, sub: changes.length });
        }
        return { type: "delete", deleted: rows.length, previous: operation.previous ? rows : [] };
      }
      case "range":
        return this.#range(
          operation,
          operation.revision > 0 ? this.states[operation.revision]! : working,
          working,
          nowMs,
        );
      case "touch": {
        const key = text(operation.key);
        const touched = working.has(key);
        if (touched) this.#setEnd(key, operation.ttlMs, nowMs);
        return { type: "touch", touched };
      }
      case "txn":
        return {
          type: "txn",
          succeeded: this.#holds(operation, before),
          replies: this.#chosen(operation, before).map((inner) =>
            this.#operate(inner, before, working, changes, nowMs),
          ),
        };
    }
  }

  #setEnd(key: string, ttlMs: number, nowMs: number): void {
    if (ttlMs === 0) this.#workingEnds.delete(key);
    else this.#workingEnds.set(key, nowMs + 1 + ttlMs);
  }

  range(operation: RangeOperation, nowMs: number, state = this.states[this.revision]!): Plain {
    this.#workingEnds = this.ends;
    return this.#range(operation, state, this.states[this.revision]!, nowMs);
  }

  /** A row has an end while it is the newest of its key. */
  #withEnd(row: Row, working: Map<string, Row>, nowMs: number): Row {
    const endMs = this.#workingEnds.get(row.key);
    return endMs === undefined || working.get(row.key) !== row
      ? row
      : { ...row, ttlMs: Math.max(0, endMs - 1 - nowMs) };
  }

  #range(operation: RangeOperation, state: Map<string, Row>, working: Map<string, Row>, nowMs: number): Plain {
    let rows = [...state.values()].filter(({ key }) => inRange(operation, key));
    rows.sort((a, b) => (a.key < b.key ? -1 : 1));
    const count = rows.length;
    if (operation.countOnly) return { type: "range", rows: [], count, more: false };
    const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = operation;
    rows = rows.filter(
      (row) =>
        (minModRevision === 0 || row.modRevision >= minModRevision) &&
        (maxModRevision === 0 || row.modRevision <= maxModRevision) &&
        (minCreateRevision === 0 || row.createRevision >= minCreateRevision) &&
        (maxCreateRevision === 0 || row.createRevision <= maxCreateRevision),
    );
    const field = {
      key: "key",
      version: "version",
      create: "createRevision",
      mod: "modRevision",
      value: "value",
    } as const;
    const by = field[operation.sortTarget];
    const sign = operation.sortOrder === "descend" ? -1 : 1;
    rows.sort((a, b) => (a[by] < b[by] ? -sign : a[by] > b[by] ? sign : 0));
    const more = operation.limit > 0 && rows.length > operation.limit;
    if (more) rows = rows.slice(0, operation.limit);
    rows = rows.map((row) => this.#withEnd(row, working, nowMs));
    return { type: "range", rows: operation.keysOnly ? rows.map((row) => ({ ...row, value: "" })) : rows, count, more };
  }
}

function typed(contentType: string | undefined): { contentType?: string } {
  return contentType === undefined ? {} : { contentType };
}

function isOperation(command: Command): command is Operation {
  return ["put", "delete", "range", "touch", "txn"].includes(command.type);
}

export function inRange(range: KeyRange, key: string): boolean {
  const start = text(range.key);
  const end = text(range.rangeEnd);
  if (end === "") return key === start;
  return key >= start && (end === "\0" || key < end);
}

function compareHolds(compare: Compare, row: Row | undefined): boolean {
  const sign = (left: number | bigint | string, right: number | bigint | string): number =>
    left < right ? -1 : Number(left > right);
  let order: number;
  switch (compare.target) {
    case "value":
      if (row === undefined) return false;
      order = sign(row.value, text(compare.operand));
      break;
    case "lease":
      order = sign(row?.lease ?? 0n, compare.operand);
      break;
    case "version":
      order = sign(row?.version ?? 0, compare.operand);
      break;
    case "create":
      order = sign(row?.createRevision ?? 0, compare.operand);
      break;
    case "mod":
      order = sign(row?.modRevision ?? 0, compare.operand);
  }
  return { equal: order === 0, notEqual: order !== 0, less: order < 0, greater: order > 0 }[compare.result];
}

/** Whether some way through the branches puts a key twice, or puts and deletes it: all ways are tried. */
export function conflicts(txn: TxnOperation): boolean {
  return ways(txn).some((writes) =>
    writes.some((put, i) =>
      put.type === "put"
        ? writes.some((other, j) =>
            other.type === "put" ? i !== j && text(other.key) === text(put.key) : inRange(other, text(put.key)),
          )
        : false,
    ),
  );
}

type Write = Extract<Operation, { type: "put" | "delete" }>;

function ways(txn: TxnOperation): Write[][] {
  return [txn.success, txn.failure].flatMap((branch) => {
    let found: Write[][] = [[]];
    for (const operation of branch)
      if (operation.type === "put" || operation.type === "delete") found = found.map((way) => [...way, operation]);
      else if (operation.type === "txn")
        found = found.flatMap((way) => ways(operation).map((inner) => [...way, ...inner]));
    return found;
  });
}
