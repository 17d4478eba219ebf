import { type CommandResult } from "./command.ts";

/** What a text may hold that no two clusters have in common, and the name it gets instead. */
export type Names = ReadonlyMap<string, string>;

/** What a command did, as far as two clusters can agree about it. */
export interface Normal {
  readonly status: number | null;
  readonly stdout: readonly string[];
  readonly stderr: string;
}

const TABLE_LINE = /^[+|├┌└│]/;

/** @param decode - of a command that prints a message of protobuf */
export function normal(
  result: CommandResult,
  names: Names,
  options: {
    readonly json: boolean;
    readonly sorted: boolean;
    readonly decode: ((bytes: Buffer) => object) | undefined;
  },
): Normal {
  const { json, sorted, decode } = options;
  const text = decode === undefined ? result.stdout.toString() : JSON.stringify(decode(result.stdout), plainBytes);
  const named = json || decode !== undefined ? jsonLines(text, names) : lines(plainText(text, names));
  return {
    status: result.status,
    stdout: sorted ? [...named].sort() : named,
    stderr: plainText(failures(result.stderr, result.status), names),
  };
}

function lines(text: string): string[] {
  return text.split("\n").map((line) => (TABLE_LINE.test(line) ? line.replace(/[-─\s]+/g, " ") : line));
}

function jsonLines(text: string, names: Names): string[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      // Ids are beyond what JSON.parse keeps apart.
      const quoted = line.replace(/(?<=[:[,]\s*)\d{16,20}(?=\s*[,}\]])/g, (id) =>
        JSON.stringify(names.get(id) ?? "<id>"),
      );
      return JSON.stringify(JSON.parse(plainText(quoted, names)), inOrder, 1);
    });
}

/** Members and endpoints come in the order of ids, which no two clusters have in common. */
function inOrder(_key: string, value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  const known = value.every((each: object) => typeof each === "object" && ("name" in each || "Endpoint" in each));
  return known ? value.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : value;
}

/** Names instead of ids, addresses, times, sizes and versions. */
function plainText(text: string, names: Names): string {
  let plain = text;
  for (const [found, name] of names) plain = plain.replaceAll(found, name);
  return (
    plain
      .replace(/\b[0-9a-f]{13,16}\b/g, "<id>")
      .replace(/\b\d{17,20}\b/g, "<id>")
      .replace(/(?<=raft_?(?:term|index|appliedindex)"?\s*:\s*)"?\d+"?/gi, "0")
      .replace(/(?<=(?:dbSize|dbSizeInUse|dbSizeQuota)"?\s*:\s*)\d+/gi, "0")
      .replace(/(?<=(?:hash|took)"?\s*:\s*)("[^"]+"|\d+)/gi, "0")
      .replace(/\b\d+(\.\d+)?(ns|µs|ms|m|s)\b/g, "<time>")
      .replace(/\b\d+(\.\d+)? ?(B|kB|MB|GB)\b/g, "<size>")
      .replace(/(?<="ttl"\s*:\s*)\d{3,}/gi, "0")
      .replace(/\b\d+%/g, "<share>")
      // Term and indexes in the line and in the table of `endpoint status`; a hash in that of `endpoint hashkv`.
      .replace(/(?<=true|false), \d+, \d+, \d+(?=,)/g, ", <raft>")
      .replace(/(?<=true|false)( │ +\d+){3} │/g, " │ <raft> │")
      .replace(/(?<=, )\d{5,10}(?=, \d)/g, "<hash>")
      .replace(/\b3\.[67](\.\d+)?\b/g, "<version>")
      // Ids are padded to 16 digits.
      .replace(/ +(?=<)/g, " ")
  );
}

/**
 * Of a program's complaints those that it ends with. The client logs its attempts too, whose number is a matter of luck;
 * of a failed command the last one shows the status that the server gave.
 */
function failures(stderr: string, status: number | null): string {
  const all = stderr.split("\n").filter((line) => line !== "");
  const logged = all.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as { error?: string });
  const last = status === 0 ? undefined : logged.findLast(({ error }) => error !== undefined)?.error;
  return [...(last === undefined ? [] : [last]), ...all.filter((line) => !line.startsWith("{"))].join("\n");
}

function plainBytes(_key: string, value: unknown): unknown {
  const buffer = value as { type?: unknown; data?: unknown } | null;
  const isBuffer = typeof value === "object" && buffer?.type === "Buffer" && Array.isArray(buffer.data);
  return isBuffer ? Buffer.from(buffer.data as number[]).toString("base64") : value;
}
