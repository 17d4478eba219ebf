import { CHANNELS, type EventChannel } from "../../node/observability/channels.ts";
import { type NodeEvent, type NodeHandle } from "../../node/observability/events.ts";

type ChannelName = keyof typeof CHANNELS;
export type EventOf<Name extends ChannelName> =
  (typeof CHANNELS)[Name] extends EventChannel<infer Event> ? Event : never;

interface Recorded {
  readonly channel: ChannelName;
  readonly event: NodeEvent;
}

/** Keeps what is published on every channel, in order, from when it is made until `stop`. */
export class EventRecorder {
  readonly events: Recorded[] = [];
  readonly #listeners = new Map<ChannelName, (event: unknown) => void>();

  constructor() {
    for (const channel of Object.keys(CHANNELS) as ChannelName[]) {
      const listener = (event: unknown): void => void this.events.push({ channel, event: event as NodeEvent });
      CHANNELS[channel].subscribe(listener);
      this.#listeners.set(channel, listener);
    }
  }

  /** What one channel carried, of one node where that is given. */
  of<Name extends ChannelName>(channel: Name, node?: NodeHandle): EventOf<Name>[] {
    return this.events
      .filter((each) => each.channel === channel && (node === undefined || each.event.node === node))
      .map(({ event }) => event as EventOf<Name>);
  }

  stop(): void {
    for (const [channel, listener] of this.#listeners) CHANNELS[channel].unsubscribe(listener);
  }
}
