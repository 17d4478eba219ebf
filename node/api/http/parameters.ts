import { LEASE_ID_PATTERN } from "../../client/rest.ts";
import { type ReadLevel, type ReadOptions } from "../../runtime/node-api.ts";
import { badRequest, printable } from "./exchange.ts";

/** Query parameters of everything that reads. */
export const READ_PARAMETERS = ["consistency", "minRevision", "maxStalenessMs"] as const;
type ReadParameters = Partial<Readonly<Record<(typeof READ_PARAMETERS)[number], Buffer>>>;

/** How a read is to be made. */
export interface ReadMode {
  readonly level: ReadLevel;
  readonly options: ReadOptions;
}

export function readMode({ consistency, minRevision, maxStalenessMs }: ReadParameters): ReadMode {
  return {
    level: readLevel(consistency),
    options: {
      ...(minRevision === undefined ? {} : { minRevision: wholeNumber("minRevision", minRevision, 0) }),
      ...(maxStalenessMs === undefined ? {} : { maxStalenessMs: wholeNumber("maxStalenessMs", maxStalenessMs, 0) }),
    },
  };
}

function readLevel(value: Buffer | undefined): ReadLevel {
  const text = value?.toString("latin1") ?? "strong";
  if (text === "strong" || text === "leader" || text === "eventual") return text;
  throw badRequest(`consistency is "${printable(text)}", expected strong, leader or eventual`);
}

export function flag(name: string, value: Buffer | undefined): boolean {
  const text = value?.toString("latin1") ?? "false";
  if (text === "true" || text === "false") return text === "true";
  throw badRequest(`${name} is "${printable(text)}", expected true or false`);
}

export function wholeNumber(
  name: string,
  value: Buffer | undefined,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  if (value === undefined) return minimum;
  const text = value.toString("latin1");
  const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (number >= minimum && number <= maximum) return number;
  throw badRequest(`${name} is "${printable(text)}", expected a whole number from ${minimum} to ${maximum}`);
}

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
