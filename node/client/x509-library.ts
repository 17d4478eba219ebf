import { createRequire } from "node:module";
import type * as x509 from "@peculiar/x509";

export type X509Library = typeof x509;

let loaded: X509Library | undefined;

/**
 * Loads @peculiar/x509 when it is first needed: it costs tens of milliseconds that most processes never have to pay.
 *
 * Its container (tsyringe) asks for three functions of the decorator metadata proposal, while its classes are being
 * defined and never again. A library must not change the globals of the process it is embedded in, so they are lent to
 * it for the time of the synchronous load, unless the process has its own.
 */
export function x509Library(): X509Library {
  if (loaded !== undefined) return loaded;
  const require = createRequire(import.meta.url);
  const lent = "getMetadata" in Reflect ? [] : lendMetadata();
  try {
    loaded = require("@peculiar/x509") as X509Library;
  } finally {
    for (const name of lent) Reflect.deleteProperty(Reflect, name);
  }
  return loaded;
}

function lendMetadata(): readonly string[] {
  const records = new WeakMap<object, Map<unknown, unknown>>();
  const getOwnMetadata = (key: unknown, target: object): unknown => records.get(target)?.get(key);
  const functions = {
    getOwnMetadata,
    getMetadata(key: unknown, target: object): unknown {
      for (let at: object | null = target; at !== null; at = Reflect.getPrototypeOf(at))
        if (records.get(at)?.has(key) === true) return getOwnMetadata(key, at);
      return undefined;
    },
    defineMetadata(key: unknown, value: unknown, target: object): void {
      const record = records.get(target) ?? new Map<unknown, unknown>();
      records.set(target, record.set(key, value));
    },
  };
  for (const [name, value] of Object.entries(functions))
    Object.defineProperty(Reflect, name, { value, configurable: true, enumerable: false, writable: true });
  return Object.keys(functions);
}
