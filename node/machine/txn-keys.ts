import { type Bytes, type KeyRange, type Operation, type TxnOperation } from "./commands.ts";
import { compareBytes, isOpenEnd, isSingleKey } from "./key-range.ts";

/**
 * A key may change once in a txn. True when some way through the branches puts a key twice, or puts it and deletes it.
 * The two branches of one txn exclude each other, so they may touch the same key; a key deleted twice is deleted once.
 *
 * etcd's `checkIntervals`, but for two txns side by side, of which the second deletes what the first puts: etcd looks
 * at them in one order only and lets them pass.
 */
export function hasDuplicateKey(txn: TxnOperation): boolean {
  return collectTouched(txn) === undefined;
}

interface Touched {
  /** Keys that some way puts, sorted. */
  readonly puts: readonly Bytes[];
  /** What some way deletes: intervals in order that do not overlap. */
  readonly deletes: readonly Interval[];
}

/** [start, end); end undefined is open. */
interface Interval {
  readonly start: Bytes;
  readonly end: Bytes | undefined;
}

/** A put or a delete in a branch: of the branch itself (`OWN`), or of the nested txn with that number. */
interface Put {
  readonly key: Bytes;
  readonly owner: number;
}
interface Delete extends Interval {
  readonly owner: number;
}
const OWN = 0;

/** What the txn may touch; undefined when a key is touched twice on one way. */
function collectTouched(txn: TxnOperation): Touched | undefined {
  const success = collectBranch(txn.success);
  const failure = success === undefined ? undefined : collectBranch(txn.failure);
  if (success === undefined || failure === undefined) return undefined;
  return {
    puts: dropRepeated([...success.puts, ...failure.puts].sort(compareBytes)),
    deletes: joinIntervals([...success.deletes, ...failure.deletes].sort(byStart)),
  };
}

function collectBranch(operations: readonly Operation[]): Touched | undefined {
  const puts: Put[] = [];
  const deletes: Delete[] = [];
  let owner = OWN;
  for (const operation of operations)
    if (operation.type === "put") puts.push({ key: operation.key, owner: OWN });
    else if (operation.type === "delete") pushDelete(deletes, operation);
    else if (operation.type === "txn") {
      owner += 1;
      const touched = collectTouched(operation);
      if (touched === undefined) return undefined;
      for (const key of touched.puts) puts.push({ key, owner });
      for (const { start, end } of touched.deletes) deletes.push({ start, end, owner });
    }
  puts.sort((a, b) => compareBytes(a.key, b.key));
  for (let i = 1; i < puts.length; i += 1)
    if (compareBytes((puts[i - 1] as Put).key, (puts[i] as Put).key) === 0) return undefined;
  deletes.sort(byStart);
  if (anyDeleted(puts, deletes)) return undefined;
  return { puts: puts.map(({ key }) => key), deletes: joinIntervals(deletes) };
}

function pushDelete(deletes: Delete[], operation: KeyRange): void {
  const { key, rangeEnd } = operation;
  if (isSingleKey(operation)) deletes.push({ start: key, end: keyAfter(key), owner: OWN });
  else if (isOpenEnd(rangeEnd)) deletes.push({ start: key, end: undefined, owner: OWN });
  else if (compareBytes(key, rangeEnd) < 0) deletes.push({ start: key, end: rangeEnd, owner: OWN });
}

/** The smallest key behind `key`. */
function keyAfter(key: Bytes): Bytes {
  const after = new Uint8Array(key.length + 1);
  after.set(key);
  return after;
}

/**
 * Whether some put lies in some delete; both are sorted. A nested txn's put and its own delete do not count: they are in
 * different branches of it, or it would not have got here. So besides the delete that reaches furthest, the one that
 * reaches furthest among those of other owners is kept.
 */
function anyDeleted(puts: readonly Put[], deletes: readonly Delete[]): boolean {
  let furthest: Delete | undefined;
  let second: Delete | undefined;
  let next = 0;
  for (const { key, owner } of puts) {
    for (let begun = deletes[next]; begun !== undefined && compareBytes(begun.start, key) <= 0; begun = deletes[next]) {
      next += 1;
      if (furthest === undefined || reachesFurther(begun, furthest)) {
        if (furthest !== undefined && furthest.owner !== begun.owner) second = furthest;
        furthest = begun;
      } else if (begun.owner !== furthest.owner && (second === undefined || reachesFurther(begun, second)))
        second = begun;
    }
    const against = furthest?.owner === owner && owner !== OWN ? second : furthest;
    if (against !== undefined && (against.end === undefined || compareBytes(key, against.end) < 0)) return true;
  }
  return false;
}

function reachesFurther(a: Interval, b: Interval): boolean {
  return b.end !== undefined && (a.end === undefined || compareBytes(a.end, b.end) > 0);
}

function byStart(a: Interval, b: Interval): number {
  return compareBytes(a.start, b.start);
}

/** Joins intervals that meet or overlap; they are sorted by their start. */
function joinIntervals(intervals: readonly Interval[]): Interval[] {
  const joined: Interval[] = [];
  for (const interval of intervals) {
    const last = joined.at(-1);
    if (last === undefined || (last.end !== undefined && compareBytes(last.end, interval.start) < 0))
      joined.push(interval);
    else if (reachesFurther(interval, last)) joined[joined.length - 1] = { start: last.start, end: interval.end };
  }
  return joined;
}

function dropRepeated(sorted: readonly Bytes[]): Bytes[] {
  return sorted.filter((key, i) => i === 0 || compareBytes(sorted[i - 1] as Bytes, key) !== 0);
}
