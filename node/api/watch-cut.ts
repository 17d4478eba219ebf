import { type WatchBatch } from "../runtime/node-api.ts";

/** A message of a watch. */
export interface Part {
  readonly events: WatchBatch["events"];
  readonly revision: number;
  /** More of the same revision follows. */
  readonly fragment: boolean;
}

/** About what an event takes in a message. */
export type EventBytes = (event: WatchBatch["events"][number]) => number;

/**
 * Cuts a batch into messages. Whole revisions go into one message while they fit; a revision that does not fit alone is
 * cut only when the client can put it together again.
 */
export function* cut(
  batch: WatchBatch,
  messageBytes: number,
  fragment: boolean,
  eventBytes: EventBytes,
): Generator<Part> {
  const { events } = batch;
  let from = 0;
  let bytes = 0;
  for (let at = 0; at < events.length; at += 1) {
    const event = events[at];
    if (event === undefined) break;
    const size = eventBytes(event);
    const previous = events[at - 1]?.event.row.modRevision;
    const sameRevision = at > from && previous === event.event.row.modRevision;
    // Going on within a revision cannot be undone later, so a revision is measured as a whole where it begins.
    const next = sameRevision ? size : fragment ? size : revisionBytes(events, at, eventBytes);
    if (at > from && bytes + next > messageBytes && (fragment || !sameRevision)) {
      yield { events: events.slice(from, at), revision: previous ?? 0, fragment: sameRevision };
      from = at;
      bytes = 0;
    }
    bytes += size;
  }
  if (from < events.length) yield { events: events.slice(from), revision: batch.revision, fragment: false };
}

function revisionBytes(events: WatchBatch["events"], from: number, eventBytes: EventBytes): number {
  const revision = events[from]?.event.row.modRevision;
  let bytes = 0;
  for (let at = from; at < events.length; at += 1) {
    const event = events[at];
    if (event === undefined || event.event.row.modRevision !== revision) break;
    bytes += eventBytes(event);
  }
  return bytes;
}
