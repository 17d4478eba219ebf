import { Type } from "typebox";
import { KEY_BYTES_MAX, LEASE_ID_PATTERN, LeaseId } from "../../client/rest.ts";
import { type ReadLevel, type ReadOptions } from "../../runtime/node-api.ts";
import { badRequest, printable } from "./exchange.ts";
import { type PathParameter, type QueryParameter, type QueryValues } from "./operation.ts";

/** A whole number between two bounds. */
export function wholeNumber(
  description: string,
  { minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: { readonly minimum?: number; readonly maximum?: number } = {},
): QueryParameter<number> {
  return {
    description,
    schema: Type.Integer({ minimum, maximum }),
    read(name, bytes) {
      const text = bytes.toString("latin1");
      const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
      if (number >= minimum && number <= maximum) return number;
      throw badRequest(`${name} is "${printable(text)}", expected a whole number from ${minimum} to ${maximum}`);
    },
  };
}

export function flag(description: string): QueryParameter<boolean> {
  return {
    description,
    schema: Type.Boolean({ default: false }),
    read(name, bytes) {
      const text = bytes.toString("latin1");
      if (text === "true" || text === "false") return text === "true";
      throw badRequest(`${name} is "${printable(text)}", expected true or false`);
    },
  };
}

export function choice<const T extends string>(description: string, choices: readonly [...T[], T]): QueryParameter<T> {
  return {
    description,
    schema: Type.Enum([...choices]),
    read(name, bytes) {
      const text = bytes.toString("latin1");
      const chosen = choices.find((each) => each === text);
      if (chosen !== undefined) return chosen;
      const last = choices.at(-1) ?? "";
      const expected = [choices.slice(0, -1).join(", "), last].filter((each) => each !== "").join(" or ");
      throw badRequest(`${name} is "${printable(text)}", expected ${expected}`);
    },
  };
}

/** Any text, for clients that send more than is understood. */
export function text(description: string): QueryParameter<string> {
  return { description, schema: Type.String(), read: (_name, value) => value.toString("latin1") };
}

/** Bytes as they are behind the percent-encoding. */
export function bytes(description: string, bytesMin: 0 | 1, bytesMax: number): QueryParameter<Buffer> {
  return {
    description: `${description}; any bytes, percent-encoded, at most ${bytesMax}`,
    schema: Type.String({ minLength: bytesMin, maxLength: bytesMax }),
    read(name, value) {
      if (value.length >= bytesMin && value.length <= bytesMax) return value;
      throw badRequest(`${name} has ${value.length} bytes, expected ${bytesMin} to ${bytesMax}`);
    },
  };
}

/** Parameters of everything that reads. */
export const READ_QUERY = {
  consistency: choice<ReadLevel>(
    "`strong`, the default, and `leader` are linearizable; `eventual` is answered from this member's memory",
    ["strong", "leader", "eventual"],
  ),
  minRevision: wholeNumber("What an eventual read must show at least"),
  maxStalenessMs: wholeNumber("What an eventual read must show: everything acknowledged this long ago"),
};

/** How a read is to be made. */
export interface ReadMode {
  readonly level: ReadLevel;
  readonly options: ReadOptions;
}

export function readMode({ consistency, minRevision, maxStalenessMs }: QueryValues<typeof READ_QUERY>): ReadMode {
  return {
    level: consistency ?? "strong",
    options: {
      ...(minRevision === undefined ? {} : { minRevision }),
      ...(maxStalenessMs === undefined ? {} : { maxStalenessMs }),
    },
  };
}

export const KEY_PARAMETER: PathParameter = {
  description:
    `The key, 1 to ${KEY_BYTES_MAX} bytes. Percent-encoding is undone once; slashes count as they are, written or ` +
    "escaped, and nothing is normalised",
  schema: Type.String({ minLength: 1, maxLength: KEY_BYTES_MAX }),
  slashes: true,
};

export const LEASE_PARAMETER: PathParameter = { description: "Id of the lease", schema: LeaseId };

export const LEASE_QUERY: QueryParameter<bigint> = {
  description: "Id of the lease the key hangs on",
  schema: LeaseId,
  read: (name, value) => leaseId(name, value.toString("latin1")),
};

const LEASE_ID = new RegExp(LEASE_ID_PATTERN);

/** Lease ids are int64, as etcd's; a negative one is shown as its two's complement. */
export function leaseId(name: string, text: string): bigint {
  const id = LEASE_ID.test(text) ? BigInt.asIntN(64, BigInt(`0x${text}`)) : 0n;
  if (id !== 0n) return id;
  throw badRequest(`${name} is "${printable(text)}", expected 16 lowercase hex digits that are not all zero`);
}

export function leaseText(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16).padStart(16, "0");
}
