import { invariant } from "./assert.ts";
import { type ChangeEvent, type KeyRange, type KeyValue } from "./commands.ts";
import { EMPTY, isOpenEnd, isSingleKey } from "./key-range.ts";
import { type Store } from "./store.ts";

export interface Changes {
  readonly events: readonly ChangeEvent[];
  /** The rows before the events, when they were asked for; undefined where there was none, or where it is compacted. */
  readonly previousRows: readonly (KeyValue | undefined)[];
  /** Revision to go on with. */
  readonly next: number;
}

/** Changes of the revisions [from, to] that touch the range. See `Machine.changes`. */
export function readChanges(
  store: Store,
  range: KeyRange,
  from: number,
  to: number,
  options: { readonly previous: boolean; readonly units: number },
): Changes {
  invariant(from >= store.compactRevision, "Changes were asked for that are compacted");
  const { changes, versions } = store;
  const last = Math.min(to, store.revision);
  const events: ChangeEvent[] = [];
  const previousRows: (KeyValue | undefined)[] = [];
  let looked = 0;
  let revision = 0;
  for (let position = changes.firstAt(from); position < changes.end; position += 1, looked += 1) {
    const version = changes.at(position);
    const modRevision = versions.modRevision(version);
    if (modRevision > last) break;
    // A slice ends between revisions only.
    if (looked >= options.units && modRevision !== revision) return { events, previousRows, next: modRevision };
    revision = modRevision;
    if (!touches(store, range, versions.key(version))) continue;
    events.push(eventOf(store, version));
    if (options.previous) previousRows.push(rowBefore(store, version));
  }
  return { events, previousRows, next: Math.max(from, last + 1) };
}

function touches({ keys }: Store, range: KeyRange, slot: number): boolean {
  const order = keys.compare(slot, range.key);
  if (isSingleKey(range)) return order === 0;
  return order >= 0 && (isOpenEnd(range.rangeEnd) || keys.compare(slot, range.rangeEnd) < 0);
}

function eventOf(store: Store, version: number): ChangeEvent {
  const { versions, keys } = store;
  const sub = versions.sub(version);
  if (!versions.isTombstone(version)) return { type: "put", row: store.row(version), sub };
  const row = {
    key: keys.read(versions.key(version)),
    value: EMPTY,
    createRevision: 0,
    modRevision: versions.modRevision(version),
    version: 0,
    lease: 0n,
  };
  return { type: "delete", row, sub };
}

/**
 * The row before a change. Compaction keeps what each key was at its revision, so the row is there for every later
 * change; for the changes at that revision it is compacted, whether or not the sweep has taken it.
 */
function rowBefore(store: Store, version: number): KeyValue | undefined {
  if (store.versions.modRevision(version) <= store.compactRevision) return undefined;
  const before = store.versions.previous(version);
  return before === 0 || store.versions.isTombstone(before) ? undefined : store.row(before);
}
