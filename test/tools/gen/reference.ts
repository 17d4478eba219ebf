import { Command } from "commander";
import { addClientOptions } from "../../../node/cli/context.ts";
import { buildProgram, processIo } from "../../../node/cli/program.ts";
import { processCommands } from "../../../node/main.ts";
import {
  flagName,
  SETTING_GROUPS,
  settingSchema,
  variableName,
  type SettingName,
  type SettingSchema,
} from "../../../node/config/schema.ts";
import { FLAGS_WITHOUT_EFFECT, REFUSED_FLAGS } from "../../../node/config/etcd-flags.ts";
import { NodeMetrics } from "../../../node/observability/metrics.ts";
import { environmentName, operatorCommand } from "../../../operator/options.ts";
import { channelReferences } from "./channels.ts";
import { LIMITS } from "./limits.ts";

type Row = readonly string[];

/** Every setting of a node, a table for each group of `concord node --help`. */
export function nodeSettings(): string {
  const header = ["Flag", "Variable", "Value", "Default", "Meaning"];
  return SETTING_GROUPS.map(({ title, properties }) => {
    const rows = (Object.keys(properties) as SettingName[]).map((name) => {
      const schema = settingSchema(name);
      const fallback = Array.isArray(schema.default) ? schema.default.join(",") : String(schema.default);
      return [
        code(`--${flagName(name)}`),
        code(variableName(name)),
        valueOf(schema),
        code(fallback),
        prose(schema.description),
      ];
    });
    return `### ${title}\n\n${table(header, rows)}`;
  })
    .concat(etcdFlags())
    .join("\n");
}

/** Flags of etcd that are no settings. */
function etcdFlags(): string {
  const list = (flags: readonly string[]): string => flags.map((flag) => code(`--${flag}`)).join(", ");
  return [
    "### Other flags of etcd",
    "",
    `Accepted with a warning that they have no effect: ${list(FLAGS_WITHOUT_EFFECT)}.`,
    "",
    `Refused unless they ask for nothing, because passing over them would change who gets in or which cluster this is: ${list(Object.keys(REFUSED_FLAGS))}.`,
    "",
  ].join("\n");
}

function valueOf(schema: SettingSchema): string {
  if (schema.enum !== undefined) return schema.enum.map(code).join(", ");
  switch (schema.type) {
    case "boolean":
      return `${code("true")}, ${code("false")}`;
    case "integer":
      return `${schema.placeholder}, ${rangeOf(schema)}`;
    case "array":
      return `at most ${schema.maxItems ?? 8} URLs`;
    case "string":
      return schema.placeholder.replaceAll("|", " or ");
  }
}

function rangeOf({ minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: SettingSchema): string {
  return maximum === Number.MAX_SAFE_INTEGER ? `from ${minimum}` : `${minimum} to ${maximum}`;
}

/** Every flag of the operator. */
export function operatorSettings(): string {
  const rows = operatorCommand().options.map((option) => {
    const variable = environmentName(option.name());
    const value = option.argChoices?.map(code).join(", ") ?? /[<[](.*)[>\]]/.exec(option.flags)?.[1] ?? "";
    return [
      code(`--${option.name()}`),
      code(variable),
      value,
      code(String(option.defaultValue ?? "")),
      prose(option.description.replace(` (env: ${variable})`, "")),
    ];
  });
  return table(["Flag", "Variable", "Value", "Default", "Meaning"], rows);
}

/** Every command of the executable but `node` and `operator`, whose settings stand elsewhere, with the flags of its own. */
export function commands(): string {
  const io = processIo({});
  const program = buildProgram({ version: "", io, registrations: processCommands({}) }, () => undefined);
  const shared = new Set(addClientOptions(new Command(), io).options.map(({ flags }) => flags));
  const rows = leaves(program)
    .filter(({ path }) => path !== "node" && path !== "operator")
    .map(({ path, command }) => {
      const parameters = command.registeredArguments.map((argument) => {
        const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
        return argument.required ? `<${name}>` : `[${name}]`;
      });
      const own = command.options.filter((option) => !shared.has(option.flags)).map(({ long }) => code(long ?? ""));
      const flags = path === "config check" ? "every [setting](#settings)" : own.join(", ");
      return [code(["concord", path, ...parameters].join(" ")), prose(command.description()), flags];
    });
  return table(["Command", "What it does", "Flags of its own"], rows);
}

/** Commands that have none below them. */
function leaves(command: Command, path: readonly string[] = []): readonly { path: string; command: Command }[] {
  if (command.commands.length === 0) return [{ path: path.join(" "), command }];
  return command.commands.flatMap((each) => leaves(each, [...path, each.name()]));
}

/** Every metric of a node. */
export function nodeMetrics(): string {
  const none = (): never => {
    throw new Error("Nobody asks for values here");
  };
  const metrics = new NodeMetrics({ name: "reference" }, none);
  const rows = metrics
    .descriptions()
    .map(({ name, type, labels, help }) => [code(name), type, labels.map(code).join(", "), prose(help)]);
  metrics.close();
  return table(["Metric", "Type", "Labels", "Meaning"], rows);
}

/** Every limit of a node. */
export function nodeLimits(): string {
  const rows = LIMITS.map(({ what, bound, metrics }) => [
    prose(what),
    typeof bound === "string" ? bound : bound.map((name) => code(`--${flagName(name)}`)).join(", "),
    metrics.map(code).join(", "),
  ]);
  return table(["Limit", "Bound", "Metrics"], rows);
}

/** Every channel of a node. */
export function nodeChannels(): string {
  const rows = channelReferences().map(({ name, event, meaning, fields }) => [
    code(name),
    code(event),
    fields.map(code).join(", "),
    prose(meaning),
  ]);
  return table(["Channel", "Event", "Fields besides `node`", "Meaning"], rows);
}

const code = (text: string): string => (text === "" ? "" : `\`${text}\``);

/** Flags, file names and placeholders of a sentence become code; a bar would end a cell. */
const prose = (text: string): string =>
  text.replace(/--[a-z-]+|<[a-z-]+>[\w.]*|(?<= )\/[a-z]+\b/g, (word) => `\`${word}\``).replaceAll("|", "\\|");

/** As Prettier lays a table out. */
function table(header: Row, rows: readonly Row[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: Row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |\n`;
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("");
}

/**
 * The document with `body` as its generated part `name`, which stands between two comments.
 *
 * @throws Error when the document has no such part.
 */
export function withGenerated(document: string, name: string, body: string): string {
  const begin = `<!-- begin ${name}: generated by npm run generate -->\n`;
  const end = `<!-- end ${name} -->\n`;
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from < 0 || to < from) throw new Error(`The document has no lines ${begin}and ${end}`);
  return `${document.slice(0, from + begin.length)}\n${body}\n${document.slice(to)}`;
}
