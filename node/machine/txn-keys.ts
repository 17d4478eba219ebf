import { type Bytes, type Operation, type TxnOperation } from "./commands.ts";
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

const NOTHING: Touched = { puts: [], deletes: [] };

/** What the txn may touch; undefined when a key is touched twice on one way. */
function collectTouched(txn: TxnOperation): Touched | undefined {
  const success = collectBranch(txn.success);
  const failure = success === undefined ? undefined : collectBranch(txn.failure);
  if (success === undefined || failure === undefined) return undefined;
  return {
    puts: dropRepeated([...success.puts, ...failure.puts].sort(compareBytes)),
    deletes: joinIntervals([...success.deletes, ...failure.deletes]),
  };
}

function collectBranch(operations: readonly Operation[]): Touched | undefined {
  const puts: Bytes[] = [];
  const deletes: Interval[] = [];
  const nested: Touched[] = [];
  for (const operation of operations)
    if (operation.type === "put") puts.push(operation.key);
    else if (operation.type === "delete") pushInterval(deletes, operation);
    else if (operation.type === "txn") {
      const touched = collectTouched(operation);
      if (touched === undefined) return undefined;
      nested.push(touched);
    }
  if (puts.length + deletes.length + nested.length === 0) return NOTHING;
  // A nested txn's own puts and deletes may meet, when they are in different branches; so each nested txn's puts are
  // compared with the deletes of all others.
  for (const [i, touched] of nested.entries()) {
    const others = nested.flatMap((other, j) => (i === j ? [] : other.deletes));
    if (meets(touched.puts, joinIntervals([...deletes, ...others]))) return undefined;
  }
  const own = puts.sort(compareBytes);
  if (meets(own, joinIntervals([...deletes, ...nested.flatMap((touched) => touched.deletes)]))) return undefined;
  const all = nested.length === 0 ? own : [...own, ...nested.flatMap((touched) => touched.puts)].sort(compareBytes);
  for (let i = 1; i < all.length; i += 1)
    if (compareBytes(all[i - 1] as Bytes, all[i] as Bytes) === 0) return undefined;
  return { puts: all, deletes: joinIntervals([...deletes, ...nested.flatMap((touched) => touched.deletes)]) };
}

function pushInterval(intervals: Interval[], operation: { readonly key: Bytes; readonly rangeEnd: Bytes }): void {
  const { key, rangeEnd } = operation;
  if (isSingleKey(operation)) intervals.push({ start: key, end: keyAfter(key) });
  else if (isOpenEnd(rangeEnd)) intervals.push({ start: key, end: undefined });
  else if (compareBytes(key, rangeEnd) < 0) intervals.push({ start: key, end: rangeEnd });
}

/** The smallest key behind `key`. */
function keyAfter(key: Bytes): Bytes {
  const after = new Uint8Array(key.length + 1);
  after.set(key);
  return after;
}

/** Whether some key lies in some interval. Intervals are in order and do not overlap. */
function meets(keys: readonly Bytes[], intervals: readonly Interval[]): boolean {
  let at = 0;
  for (const key of keys) {
    let interval = intervals[at];
    while (interval?.end !== undefined && compareBytes(interval.end, key) <= 0) {
      at += 1;
      interval = intervals[at];
    }
    if (interval === undefined) return false;
    if (compareBytes(interval.start, key) <= 0) return true;
  }
  return false;
}

function joinIntervals(intervals: Interval[]): Interval[] {
  if (intervals.length < 2) return intervals;
  intervals.sort((a, b) => compareBytes(a.start, b.start));
  const joined: Interval[] = [];
  for (const interval of intervals) {
    const last = joined.at(-1);
    if (last === undefined || (last.end !== undefined && compareBytes(last.end, interval.start) < 0))
      joined.push(interval);
    else if (last.end !== undefined && (interval.end === undefined || compareBytes(interval.end, last.end) > 0))
      joined[joined.length - 1] = { start: last.start, end: interval.end };
  }
  return joined;
}

function dropRepeated(sorted: readonly Bytes[]): Bytes[] {
  return sorted.filter((key, i) => i === 0 || compareBytes(sorted[i - 1] as Bytes, key) !== 0);
}
