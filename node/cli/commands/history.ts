import { type Command } from "commander";
import { type KvClient } from "../../client/kv-client.ts";
import { type HistoryRow } from "../../client/rest.ts";
import { addClientOptions, atAnyEndpoint, type ClientOptions, type CommandIo, optionalNumber } from "../context.ts";
import { print, shown, table } from "../output.ts";

interface HistoryFlags extends ClientOptions {
  readonly from?: string;
  readonly to?: string;
  readonly limit: string;
}

const PAGE = 1000;
const load = async (): Promise<typeof KvClient> => (await import("../../client/kv-client.ts")).KvClient;

/** `concord history`. */
export function registerHistory(program: Command, io: CommandIo): void {
  addClientOptions(program.command("history <key>"), io)
    .description("print what became of a key since the last compaction, newest first")
    .option("--from <revision>", "not older than this revision")
    .option("--to <revision>", "not newer than this revision")
    .option("--limit <number>", "at most so many changes", "100")
    .action(async (key: string, options: HistoryFlags) => {
      const items = await atAnyEndpoint(options, load, (client) => changes(client, key, options));
      print(io, options.output, { items }, () => historyTable(items));
    });
}

async function changes(client: KvClient, key: string, options: HistoryFlags): Promise<readonly HistoryRow[]> {
  const from = optionalNumber("--from", options.from, 1);
  const wanted = optionalNumber("--limit", options.limit, 1) ?? PAGE;
  const items: HistoryRow[] = [];
  let to = optionalNumber("--to", options.to, 1);
  do {
    const page = await client.history(key, { from, to, limit: Math.min(PAGE, wanted - items.length) });
    items.push(...page.items);
    to = page.next;
  } while (to !== undefined && to >= (from ?? 0) && items.length < wanted);
  return items;
}

function historyTable(items: readonly HistoryRow[]): string {
  const rows = items.map((row) => [
    String(row.modRevision),
    row.type,
    row.version === undefined ? "-" : String(row.version),
    row.lease ?? "-",
    row.type === "delete" ? "" : shown(row, "value"),
  ]);
  return table([["REVISION", "WHAT", "VERSION", "LEASE", "VALUE"], ...rows]);
}
