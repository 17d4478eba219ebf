import { type Command } from "commander";
import { ConcordError } from "../../client/errors.ts";
import { type WatchChange } from "../../client/rest.ts";
import {
  addClientOptions,
  type ClientOptions,
  type CommandIo,
  connectionOptions,
  endpointsOf,
  optionalNumber,
} from "../context.ts";
import { shown } from "../output.ts";

interface WatchFlags extends ClientOptions {
  readonly fromRevision?: string;
  readonly previous?: boolean;
  readonly limit?: string;
}

/** Between two rounds over the endpoints. */
const RETRY_MS = 500;

/** `concord watch`. */
export function registerWatch(program: Command, io: CommandIo): void {
  addClientOptions(program.command("watch [prefix]"), io)
    .description("print changes as they happen, of all keys under a prefix; goes on by itself after a lost connection")
    .option("--from-revision <number>", "begin with the changes of this revision")
    .option("--previous", "print the value before each change too")
    .option("--limit <number>", "end after so many changes")
    .action((prefix: string | undefined, options: WatchFlags) => watch(prefix ?? "", options, io));
}

/**
 * Goes on behind the last revision it was told of, at whichever endpoint answers, so no change is missed and none comes
 * twice. Gives up only when no endpoint ever answered, or history was discarded from under it.
 */
async function watch(prefix: string, options: WatchFlags, io: CommandIo): Promise<void> {
  const connection = connectionOptions(options);
  const endpoints = endpointsOf(options);
  let fromRevision = optionalNumber("--from-revision", options.fromRevision, 1) ?? 0;
  let left = optionalNumber("--limit", options.limit, 1) ?? Infinity;
  const { WatchClient } = await import("../../client/watch-client.ts");
  const signal = io.interrupted();
  let heard = false;
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    const client = new WatchClient(endpoints[attempt % endpoints.length] ?? "", connection);
    try {
      for await (const message of client.watch(prefix, { fromRevision, previous: options.previous, signal })) {
        heard = true;
        if (message.type === "progress") {
          fromRevision = message.revision + 1;
          continue;
        }
        const { revision, events } = message.changes;
        for (const event of events) {
          if (left === 0) return;
          left -= 1;
          io.stdout(options.output === "json" ? `${JSON.stringify({ revision, ...event })}\n` : lines(event));
        }
        if (left === 0) return;
        fromRevision = revision + 1;
      }
    } catch (error) {
      if (!ConcordError.is(error)) throw error;
      // Interrupted while it connected.
      if (error.code === "CONCORD_CANCELLED") return;
      if (!error.retryable || (!heard && attempt === endpoints.length - 1)) throw error;
    } finally {
      await client.close();
    }
    if (attempt % endpoints.length === endpoints.length - 1) await pause(RETRY_MS, signal);
  }
}

/** As `etcdctl watch` prints it. */
function lines(event: WatchChange): string {
  const before = event.previous === undefined ? "" : `${shown(event.previous, "value")}\n`;
  if (event.type === "delete") return `DELETE\n${shown(event, "key")}\n${before}`;
  return `PUT\n${before}${shown(event.row, "key")}\n${shown(event.row, "value")}\n`;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { setTimeout: delay } = await import("node:timers/promises");
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
