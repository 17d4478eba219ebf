import { type Command, Option } from "commander";
import { type Row } from "../client/rest.ts";
import { type CommandIo, type OutputFormat } from "./context.ts";

/** For commands that speak to no member; those that do have it among their client options. */
export function addOutputOption(command: Command): Command {
  return command.addOption(
    new Option("-o, --output <format>", "how to print").choices(["text", "json"]).default("text"),
  );
}

/** Prints a result once for programs or once for people. */
export function print(io: CommandIo, format: OutputFormat, result: unknown, text: () => string): void {
  io.stdout(format === "json" ? `${JSON.stringify(result)}\n` : text());
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, cell.length)));
  return rows
    .map((row) => row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0))).join("  "))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

/**
 * Bytes for a terminal: text where it is text without control characters, otherwise base64 with its prefix. A value
 * must not be able to drive somebody's terminal.
 */
export function shown(row: Partial<Row>, field: "key" | "value"): string {
  const text = field === "key" ? row.keyText : row.valueText;
  // eslint-disable-next-line no-control-regex -- exactly those are meant
  if (text !== undefined && !/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text)) return text;
  return `base64:${(field === "key" ? row.key : row.value) ?? ""}`;
}
