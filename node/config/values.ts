import { flagName, settingSchema, type SettingName } from "./schema.ts";

/** What a value should have been. The loader adds where the value came from. */
export class BadValue extends Error {}

/** One setting from a text (flag, variable) or from a value of a configuration file. @throws BadValue */
export function parseSetting(name: SettingName, given: unknown): unknown {
  const schema = settingSchema(name);
  switch (schema.type) {
    case "integer":
      return integer(given, schema.minimum ?? 0, schema.maximum ?? Number.MAX_SAFE_INTEGER);
    case "boolean":
      return boolean(given);
    case "array":
      return urls(given, schema.maxItems ?? 8);
    case "string":
      return string(name, given);
  }
}

function integer(given: unknown, minimum: number, maximum: number): number {
  const value =
    typeof given === "string" && /^-?\d{1,16}$/.test(given) ? Number(given) : typeof given === "number" ? given : NaN;
  if (Number.isSafeInteger(value) && value >= minimum && value <= maximum) return value;
  throw new BadValue(`a whole number from ${minimum} to ${maximum}`);
}

function boolean(given: unknown): boolean {
  if (typeof given === "boolean") return given;
  if (given === "true" || given === "1") return true;
  if (given === "false" || given === "0") return false;
  throw new BadValue("true or false");
}

function string(name: SettingName, given: unknown): string {
  const schema = settingSchema(name);
  // YAML turns `auto-compaction-retention: 5` into a number.
  const value = typeof given === "number" ? String(given) : given;
  if (typeof value !== "string") throw new BadValue("a text");
  if (schema.enum !== undefined && !schema.enum.includes(value)) throw new BadValue(`one of ${schema.enum.join(", ")}`);
  if (value.includes("\0") || value.length > (schema.maxLength ?? 4096)) {
    throw new BadValue(`a text of at most ${schema.maxLength ?? 4096} characters without NUL`);
  }
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, "u").test(value)) {
    throw new BadValue(PATTERN_TEXT[flagName(name)] ?? `a text like ${schema.pattern}`);
  }
  return value;
}

/** The patterns of the schema in words. */
const PATTERN_TEXT: Readonly<Record<string, string>> = {
  name: '1 to 253 characters without "=", "," and white space',
  "cluster-uid": "at most 64 letters, digits and dashes",
};

function urls(given: unknown, most: number): readonly string[] {
  const list: unknown[] = Array.isArray(given)
    ? given
    : typeof given === "string"
      ? given.split(",").filter((part) => part.trim() !== "")
      : [given];
  if (list.length > most) throw new BadValue(`at most ${most} URLs`);
  return list.map((entry) => url(entry));
}

/** `http(s)://host:port` without anything behind the port. */
export function url(given: unknown): string {
  const expected = "URLs like https://host:2379";
  if (typeof given !== "string") throw new BadValue(expected);
  const match = /^(https?):\/\/(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(\d{1,5})\/?$/.exec(given.trim());
  if (match === null || Number(match[3]) > 65_535) throw new BadValue(expected);
  return `${match[1]}://${match[2]}:${match[3]}`;
}

export interface ListenAddress {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
}

/** Parts of a URL that `url` accepted. */
export function listenAddress(accepted: string): ListenAddress {
  const separator = accepted.lastIndexOf(":");
  const [scheme, host] = accepted.slice(0, separator).split("://") as [string, string];
  return {
    secure: scheme === "https",
    host: host.replace(/^\[|\]$/g, ""),
    port: Number(accepted.slice(separator + 1)),
  };
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `90s`, `1h30m`, `250ms` in milliseconds; undefined when it is not a duration. */
export function durationMs(value: string): number | undefined {
  if (!/^(\d{1,9}(ms|s|m|h))+$/.test(value)) return undefined;
  let total = 0;
  for (const [, amount, unit] of value.matchAll(/(\d+)(ms|s|m|h)/g))
    total += Number(amount) * (UNIT_MS[unit ?? ""] ?? 0);
  return total;
}
