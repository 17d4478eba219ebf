import { type Command } from "commander";
import { ConcordError } from "../../client/errors.ts";
import { KvClient, type KvList, type KvRow } from "../../client/kv-client.ts";
import { addClientOptions, atAnyEndpoint, wholeNumber, type ClientOptions, type CommandIo } from "../context.ts";
import { print, shown } from "../output.ts";

interface GetOptions extends ClientOptions {
  readonly prefix?: boolean;
  readonly limit?: string;
  readonly keysOnly?: boolean;
  readonly revision?: string;
  readonly consistency: "strong" | "eventual";
}

const PAGE = 1000;
const connect = (...parameters: ConstructorParameters<typeof KvClient>): KvClient => new KvClient(...parameters);

/** `concord get`, `put`, `del`. */
export function registerKv(program: Command, io: CommandIo): void {
  addClientOptions(program.command("get <key>"), io)
    .description("print a value, or all keys and values under a prefix")
    .option("--prefix", "all keys that begin with <key>")
    .option("--limit <number>", "at most so many keys")
    .option("--keys-only", "keys without values")
    .option("--revision <number>", "as of this revision")
    .option("--consistency <level>", "strong, or eventual: what this member knows", "strong")
    .action(async (key: string, options: GetOptions) => {
      await (options.prefix === true ? getPrefix(key, options, io) : getOne(key, options, io));
    });

  addClientOptions(program.command("put <key> [value]"), io)
    .description("write a value; without one it is read from standard input")
    .action(async (key: string, value: string | undefined, options: ClientOptions) => {
      const bytes = value ?? (await io.readStdin());
      const answer = await atAnyEndpoint(options, connect, (client) => client.put(key, bytes));
      print(io, options.output, answer, () => `OK, revision ${answer.revision}\n`);
    });

  addClientOptions(program.command("del <key>"), io)
    .description("delete a key")
    .action(async (key: string, options: ClientOptions) => {
      const answer = await atAnyEndpoint(options, connect, (client) => client.delete(key));
      print(io, options.output, answer, () => `${answer.deleted} deleted, revision ${answer.revision}\n`);
    });
}

async function getOne(key: string, options: GetOptions, io: CommandIo): Promise<void> {
  const read = readOptions(options);
  const row = await atAnyEndpoint(options, connect, (client) => client.get(key, read));
  print(io, options.output, row, () => `${shown(row, options.keysOnly === true ? "key" : "value")}\n`);
}

/** Page after page, all at the revision of the first. */
async function getPrefix(prefix: string, options: GetOptions, io: CommandIo): Promise<void> {
  const wanted = options.limit === undefined ? Infinity : wholeNumber("--limit", options.limit, 1);
  const keysOnly = options.keysOnly === true;
  await atAnyEndpoint(options, connect, async (client) => {
    const rows: KvRow[] = [];
    let page: KvList;
    let cursor: string | undefined;
    do {
      const limit = Math.min(PAGE, wanted - rows.length);
      page = await client.list(prefix, { ...readOptions(options), limit, keysOnly, cursor });
      rows.push(...page.items);
      cursor = page.cursor;
    } while (cursor !== undefined && rows.length < wanted);
    const { revision } = page;
    print(io, options.output, { items: rows, revision }, () =>
      rows
        .map((row) => (keysOnly ? `${shown(row, "key")}\n` : `${shown(row, "key")}\n${shown(row, "value")}\n`))
        .join(""),
    );
  });
}

function readOptions(options: GetOptions): { consistency: "strong" | "eventual"; revision: number | undefined } {
  if (!["strong", "eventual"].includes(options.consistency)) {
    throw new ConcordError("CONCORD_USAGE", `--consistency is "${options.consistency}", expected strong or eventual`);
  }
  const revision = options.revision === undefined ? undefined : wholeNumber("--revision", options.revision, 1);
  return { consistency: options.consistency, revision };
}
