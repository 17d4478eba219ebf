import { type Listing, type TxnOperation } from "./etcd-client.ts";

/** All that the writers write begins with it. */
export const WATCHED_PREFIX = "watched/";
const VALUE_BYTES = 64;
/** Most puts of one txn: with the rest of it, less than the 128 operations that a txn may have. */
const PUTS_MAX = 100;

/** One change, as every door tells of it. A delete has no value. */
export interface WatchedEvent {
  readonly revision: number;
  readonly key: string;
  readonly value: string | undefined;
}

/**
 * What a writer's txn of a number does: says the number, takes away what the one before put, and puts keys of its own.
 * Nothing but the two numbers decides it, so whoever sees a txn's events, or the rows it left, knows whether they are whole.
 */
export function operationsOf(writer: number, sequence: number): TxnOperation[] {
  const value = valueOf(sequence);
  return [
    { put: markerOf(writer), value },
    { deletePrefix: halfOf(writer, sequence + 1) },
    ...keysOf(writer, sequence).map((put) => ({ put, value })),
  ];
}

/** The changes of the same txn, in the order in which a watch must tell of them. */
export function eventsOf(writer: number, sequence: number): Omit<WatchedEvent, "revision">[] {
  const value = valueOf(sequence);
  const deleted = sequence === 0 ? [] : keysOf(writer, sequence - 1);
  return [
    { key: markerOf(writer), value },
    ...deleted.map((key) => ({ key, value: undefined })),
    ...keysOf(writer, sequence).map((key) => ({ key, value })),
  ];
}

/** How many changes those are. */
export function eventCount(sequence: number): number {
  return 1 + (sequence === 0 ? 0 : putsOf(sequence - 1)) + putsOf(sequence);
}

/** Whose txn events belong to; undefined when they are not exactly all events of one. */
export function txnOf(
  events: readonly WatchedEvent[],
): { readonly writer: number; readonly sequence: number } | undefined {
  const [first] = events;
  const [, writerText, name] = first?.key.split("/") ?? [];
  if (name !== "marker" || first?.value === undefined) return undefined;
  const writer = Number(writerText);
  const sequence = Number.parseInt(first.value, 10);
  const expected = eventsOf(writer, sequence);
  const whole =
    events.length === expected.length &&
    expected.every(({ key, value }, at) => events[at]?.key === key && events[at].value === value);
  return whole ? { writer, sequence } : undefined;
}

/** What really happened: which revision each writer's txns got, in their order. Nothing else writes under the prefix. */
export class WatchHistory {
  readonly #revisions: readonly number[][];
  #events = 0;
  #newest = 0;

  constructor(writers: number) {
    this.#revisions = Array.from({ length: writers }, () => []);
  }

  /** Changes of all txns. */
  get events(): number {
    return this.#events;
  }

  get newest(): number {
    return this.#newest;
  }

  add(writer: number, sequence: number, revision: number): void {
    const own = this.#revisions[writer];
    if (own?.length !== sequence || revision <= (own.at(-1) ?? 0))
      throw new Error(`Txn ${sequence} of writer ${writer} was answered with revision ${revision}, out of order`);
    own.push(revision);
    this.#events += eventCount(sequence);
    this.#newest = Math.max(this.#newest, revision);
  }

  revisionOf(writer: number, sequence: number): number | undefined {
    return this.#revisions[writer]?.[sequence];
  }

  /** Of all txns, ascending. */
  revisions(): number[] {
    return this.#revisions.flat().sort((a, b) => a - b);
  }

  /** Whether rows are all that was there at a revision, and nothing else. */
  isState({ revision, rows }: Listing): boolean {
    const expected = this.#revisions.flatMap((own, writer) => {
      const sequence = own.findLastIndex((each) => each <= revision);
      if (sequence < 0) return [];
      return [...keysOf(writer, sequence), markerOf(writer)].map((key) => `${key}=${valueOf(sequence)}`);
    });
    return rows.map(({ key, value }) => `${key}=${value}`).join() === expected.sort().join();
  }
}

function valueOf(sequence: number): string {
  return String(sequence).padEnd(VALUE_BYTES, ".");
}

/** Small ones mostly, and at times one that fills many messages. */
function putsOf(sequence: number): number {
  return sequence % 50 === 49 ? PUTS_MAX : 1 + ((sequence * 7) % 17);
}

const writerPrefix = (writer: number): string => `${WATCHED_PREFIX}${String(writer).padStart(2, "0")}/`;
const markerOf = (writer: number): string => `${writerPrefix(writer)}marker`;
const halfOf = (writer: number, sequence: number): string => `${writerPrefix(writer)}${sequence % 2}/`;

function keysOf(writer: number, sequence: number): string[] {
  const half = halfOf(writer, sequence);
  return Array.from({ length: putsOf(sequence) }, (_, at) => half + String(at).padStart(3, "0"));
}
