import { createHash } from "node:crypto";
import { ConcordError } from "../client/errors.ts";
import { CodecError } from "../codec/bytes.ts";
import { encodeCommand } from "../codec/command.ts";
import { type Command } from "../machine/commands.ts";
import { KEY_DIGEST_BYTES, REQUEST_DIGEST_BYTES } from "../machine/write-records.ts";
import { type ProposeOptions, type RequestOptions } from "../runtime/node-api.ts";
import { type Principal } from "./principal.ts";

/** Longest idempotency key, bytes. */
export const IDEMPOTENCY_KEY_BYTES_MAX = 255;

export interface WriteOptions extends RequestOptions {
  /**
   * Chosen by the client, 1 to 255 bytes, the same for every attempt at one write: it is applied once, and later attempts
   * get the outcome of the first.
   */
  readonly idempotencyKey?: Uint8Array | undefined;
}

/** Limits that travel with every write, so that all members judge by the same. */
export interface IdempotencyLimits {
  /** How long a key is remembered, ms of the cluster's time. @default 24 h */
  readonly ttlMs: number;
  /** Bytes of all keys together; beyond it new ones are refused. None goes early. */
  readonly budgetBytes: number;
}

/** Gives writes their idempotency. */
export class IdempotencyKeys {
  readonly #limits: IdempotencyLimits;

  constructor(limits: IdempotencyLimits) {
    this.#limits = limits;
  }

  /** @throws ConcordError `CONCORD_INVALID_ARGUMENT` for a key that is empty or too long, or a command with an invalid number. */
  options(principal: Principal, command: Command, options: WriteOptions = {}): ProposeOptions {
    const { idempotencyKey, ...rest } = options;
    if (idempotencyKey === undefined) return rest;
    const request = digest(REQUEST_DIGEST_BYTES, actorOf(principal), encoded(command));
    return { ...rest, idempotency: { key: keyDigest(idempotencyKey), request, ...this.#limits } };
  }
}

/** @throws ConcordError `CONCORD_INVALID_ARGUMENT` for a key that is empty or too long. */
export function keyDigest(key: Uint8Array): Uint8Array {
  if (key.length < 1 || key.length > IDEMPOTENCY_KEY_BYTES_MAX) {
    const message = `The idempotency key has ${key.length} bytes, expected 1 to ${IDEMPOTENCY_KEY_BYTES_MAX}`;
    throw new ConcordError("CONCORD_INVALID_ARGUMENT", message);
  }
  return digest(KEY_DIGEST_BYTES, key);
}

/** Nothing has judged the command yet. */
function encoded(command: Command): Uint8Array {
  try {
    return encodeCommand(command);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    throw new ConcordError("CONCORD_INVALID_ARGUMENT", error.message, { cause: error });
  }
}

function actorOf(principal: Principal): Uint8Array {
  return Buffer.from(principal.kind === "anonymous" ? principal.kind : `${principal.kind}\0${principal.name}`);
}

/** Each part with its length before it, so that no two lists of parts are the same bytes. */
function digest(length: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest().subarray(0, length);
}
