import { type Command, Option } from "commander";
import { ConcordError } from "../../client/errors.ts";
import { type KvClient, type KvList, type KvRow, type ReadOptions, type WriteOptions } from "../../client/kv-client.ts";
import { type TxnRequest, type TxnResult } from "../../client/rest.ts";
import {
  addClientOptions,
  atAnyEndpoint,
  type ClientOptions,
  type CommandIo,
  leaseId,
  optionalNumber,
  readInput,
  wholeNumber,
} from "../context.ts";
import { print, shown, table } from "../output.ts";

interface ReadFlags extends ClientOptions {
  readonly limit?: string;
  readonly revision?: string;
  readonly consistency: "strong" | "leader" | "eventual";
}

interface GetFlags extends ReadFlags {
  readonly prefix?: boolean;
  readonly keysOnly?: boolean;
  readonly count?: boolean;
}

interface WriteFlags extends ClientOptions {
  readonly ifRevision?: string;
  readonly ifAbsent?: boolean;
  readonly idempotencyKey?: string;
}

interface PutFlags extends WriteFlags {
  readonly file?: string;
  readonly ttl?: string;
  readonly lease?: string;
}

const PAGE = 1000;
const load = async (): Promise<typeof KvClient> => (await import("../../client/kv-client.ts")).KvClient;

/** `concord get`, `list`, `put`, `touch`, `del`, `txn`. */
export function registerKv(program: Command, io: CommandIo): void {
  addReadOptions(addClientOptions(program.command("get <key>"), io))
    .description("print a value, or all keys and values under a prefix")
    .option("--prefix", "all keys that begin with <key>")
    .option("--keys-only", "keys without values")
    .option("--count", "only how many keys there are")
    .action(async (key: string, options: GetFlags) => {
      if (options.count === true) await count(key, options, io);
      else if (options.prefix === true) await getPrefix(key, options, io);
      else await getOne(key, options, io);
    });

  addReadOptions(addClientOptions(program.command("list [prefix]"), io))
    .description("list keys with their revisions, versions, leases and times to live")
    .action(async (prefix: string | undefined, options: ReadFlags) => {
      const list = await rowsOf(prefix ?? "", options, true);
      print(io, options.output, list, () => rowTable(list.items));
    });

  addWriteOptions(addClientOptions(program.command("put <key> [value]"), io))
    .description("write a value; without one it is read from standard input")
    .option("--file <path>", "read the value from a file")
    .option("--ttl <seconds>", "delete the row this long after the write")
    .option("--lease <id>", "attach the row to a lease")
    .action((key: string, value: string | undefined, options: PutFlags) => put(key, value, options, io));

  addWriteOptions(addClientOptions(program.command("touch <key> <seconds>"), io))
    .description("set how long a row lives from now on, without a revision; 0 is without end")
    .action(async (key: string, seconds: string, options: WriteFlags) => {
      const ttl = wholeNumber("<seconds>", seconds, 0);
      const answer = await write(options, (client, conditions) => client.touch(key, ttl, conditions));
      print(io, options.output, answer, () => `OK, revision ${answer.revision}\n`);
    });

  addWriteOptions(addClientOptions(program.command("del <key>"), io))
    .description("delete a key, or all keys under a prefix")
    .option("--prefix", "all keys that begin with <key>")
    .action(async (key: string, options: WriteFlags & { readonly prefix?: boolean }) => {
      const conditional = options.ifRevision !== undefined || options.ifAbsent === true;
      if (options.prefix === true && conditional)
        throw new ConcordError("CONCORD_USAGE", "--prefix takes neither --if-revision nor --if-absent");
      const answer = await write(options, (client, conditions) =>
        options.prefix === true ? client.deletePrefix(key, conditions) : client.delete(key, conditions),
      );
      print(io, options.output, answer, () => `OK, ${answer.deleted} deleted, revision ${answer.revision}\n`);
    });

  addClientOptions(program.command("txn [file]"), io)
    .description("carry out a txn, JSON as the REST door takes it, from a file or standard input")
    .option("--idempotency-key <key>", "apply it once, however often it is sent with this key")
    .action((file: string | undefined, options: WriteFlags) => txn(file, options, io));
}

function addReadOptions(command: Command): Command {
  return command
    .option("--limit <number>", "at most so many keys")
    .option("--revision <number>", "as of this revision")
    .addOption(
      new Option("--consistency <level>", "eventual is what this member knows; leader and strong are linearizable")
        .choices(["strong", "leader", "eventual"])
        .default("strong"),
    );
}

function addWriteOptions(command: Command): Command {
  return command
    .option("--if-revision <number>", "only when this is the row's mod revision")
    .option("--if-absent", "only when there is no such key")
    .option("--idempotency-key <key>", "apply it once, however often it is sent with this key");
}

async function getOne(key: string, options: GetFlags, io: CommandIo): Promise<void> {
  const row = await atAnyEndpoint(options, load, (client) => client.get(key, readOptions(options)));
  print(io, options.output, row, () => `${shown(row, options.keysOnly === true ? "key" : "value")}\n`);
}

async function getPrefix(prefix: string, options: GetFlags, io: CommandIo): Promise<void> {
  const keysOnly = options.keysOnly === true;
  const list = await rowsOf(prefix, options, keysOnly);
  print(io, options.output, list, () =>
    list.items
      .map((row) => (keysOnly ? `${shown(row, "key")}\n` : `${shown(row, "key")}\n${shown(row, "value")}\n`))
      .join(""),
  );
}

async function count(key: string, options: GetFlags, io: CommandIo): Promise<void> {
  const counted = await atAnyEndpoint(options, load, async (client) => {
    const read = readOptions(options);
    if (options.prefix === true) return client.list(key, { ...read, limit: 1, keysOnly: true });
    try {
      return { count: 1, revision: (await client.get(key, read)).revision };
    } catch (error) {
      if (ConcordError.is(error) && error.code === "CONCORD_KEY_NOT_FOUND") return { count: 0 };
      throw error;
    }
  });
  print(io, options.output, { count: counted.count }, () => `${counted.count}\n`);
}

/** Page after page, all at the revision of the first. */
function rowsOf(
  prefix: string,
  options: ReadFlags,
  keysOnly: boolean,
): Promise<{ readonly items: readonly KvRow[]; readonly revision: number }> {
  const wanted = optionalNumber("--limit", options.limit, 1) ?? Infinity;
  return atAnyEndpoint(options, load, async (client) => {
    const items: KvRow[] = [];
    let page: KvList;
    let cursor: string | undefined;
    do {
      const limit = Math.min(PAGE, wanted - items.length);
      page = await client.list(prefix, { ...readOptions(options), limit, keysOnly, cursor });
      items.push(...page.items);
      cursor = page.cursor;
    } while (cursor !== undefined && items.length < wanted);
    return { items, revision: page.revision };
  });
}

function rowTable(rows: readonly KvRow[]): string {
  const cells = rows.map((row) => [
    String(row.modRevision),
    String(row.createRevision),
    String(row.version),
    row.lease ?? "-",
    row.ttlSeconds === undefined ? "-" : `${row.ttlSeconds}s`,
    shown(row, "key"),
  ]);
  return table([["MODIFIED", "CREATED", "VERSION", "LEASE", "TTL", "KEY"], ...cells]);
}

function readOptions({ consistency, revision }: ReadFlags): ReadOptions {
  return { consistency, revision: optionalNumber("--revision", revision, 1) };
}

async function put(key: string, value: string | undefined, options: PutFlags, io: CommandIo): Promise<void> {
  if (value !== undefined && options.file !== undefined)
    throw new ConcordError("CONCORD_USAGE", "A value and --file exclude each other");
  const ttlSeconds = optionalNumber("--ttl", options.ttl, 1);
  const lease = options.lease === undefined ? undefined : leaseId("--lease", options.lease);
  const bytes = value ?? (await readInput(io, options.file));
  const answer = await write(options, (client, conditions) =>
    client.put(key, bytes, { ...conditions, ttlSeconds, lease }),
  );
  print(io, options.output, answer, () => `OK, revision ${answer.revision}\n`);
}

async function txn(file: string | undefined, options: WriteFlags, io: CommandIo): Promise<void> {
  const text = Buffer.from(await readInput(io, file)).toString("utf8");
  let request: TxnRequest;
  try {
    request = JSON.parse(text) as TxnRequest;
  } catch (cause) {
    throw new ConcordError("CONCORD_USAGE", "The txn is not valid JSON", { cause });
  }
  const answer = await write(options, (client, conditions) => client.txn(request, conditions));
  print(io, options.output, answer, () => {
    const branch = answer.succeeded ? "success" : "failure";
    return `OK, carried out "${branch}", revision ${answer.revision}\n${resultLines(answer.results, "")}`;
  });
}

/** One line for what each operation did, with the rows that it gave. */
function resultLines(results: readonly TxnResult[], indent: string): string {
  return results
    .map(({ put: written, get, delete: removed, touch, txn: nested }) => {
      if (written !== undefined) return `${indent}put\n`;
      if (touch !== undefined) return `${indent}touch: ${touch.touched ? "done" : "no such key"}\n`;
      if (removed !== undefined) return `${indent}delete: ${removed.deleted} deleted\n`;
      if (nested !== undefined)
        return `${indent}txn: "${nested.succeeded ? "success" : "failure"}"\n${resultLines(nested.results, `${indent}  `)}`;
      const rows = get?.items.map((row) => `${indent}  ${shown(row, "key")}\n${indent}  ${shown(row, "value")}\n`);
      return `${indent}get: ${get?.count ?? 0} found\n${rows?.join("") ?? ""}`;
    })
    .join("");
}

/** A write with an idempotency key may be sent to the next member when the answer of the first was lost. */
function write<T>(options: WriteFlags, use: (client: KvClient, conditions: WriteOptions) => Promise<T>): Promise<T> {
  const { idempotencyKey, ifAbsent } = options;
  const ifRevision = optionalNumber("--if-revision", options.ifRevision, 1);
  if (ifAbsent === true && ifRevision !== undefined)
    throw new ConcordError("CONCORD_USAGE", "--if-revision and --if-absent exclude each other");
  const conditions = { idempotencyKey, ifRevision: ifAbsent === true ? 0 : ifRevision };
  return atAnyEndpoint(options, load, (client) => use(client, conditions), {
    repeatable: idempotencyKey !== undefined,
  });
}
