import { type EventChannel } from "./channels.ts";
import { type NodeEvent, type NodeHandle } from "./events.ts";

/** Hears one node's events on a channel. @returns What ends it. */
export function listen<Event extends NodeEvent>(
  channel: EventChannel<Event>,
  node: NodeHandle,
  hear: (event: Event) => void,
): () => void {
  const listener = (event: unknown): void => {
    if ((event as Event).node === node) hear(event as Event);
  };
  channel.subscribe(listener);
  return () => channel.unsubscribe(listener);
}
