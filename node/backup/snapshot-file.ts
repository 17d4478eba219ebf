import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { ConcordError } from "../client/errors.ts";
import { CodecError } from "../codec/bytes.ts";
import { SnapshotDecoder, type SnapshotHeader, SNAPSHOT_VERSION } from "../codec/snapshot.ts";
import { Machine, CorruptPageError } from "../machine/machine.ts";
import { LIMIT_CEILINGS } from "../machine/limits.ts";

/** Limits of the members that wrote a backup do not matter to whoever reads it. */
export const BACKUP_MACHINE = { limits: LIMIT_CEILINGS, quotaBytes: Number.MAX_SAFE_INTEGER };

const READ_BYTES = 1 << 20;
/** `etcdctl` wants whole pages with a SHA-256 behind them: zeros, then the sum of all that is before it. */
const ETCD_PAGE_BYTES = 512;
const SHA256_BYTES = 32;
/** Where a database of etcd says what it is, and what it says (bbolt's first meta page). */
const BOLT_MAGIC_AT = 16;
const BOLT_MAGIC = 0xed0cdaed;

/** Everything that a file says of itself, once all of it was found to be right. */
export interface SnapshotFacts {
  readonly file: string;
  readonly bytes: number;
  /** Of the file. */
  readonly sha256: string;
  /** Of the stream, and who saved it. */
  readonly format: { readonly version: number; readonly savedBy: "concord" | "etcdctl" };
  readonly clusterId: string;
  readonly revision: number;
  readonly compactRevision: number;
  readonly keys: number;
  readonly leases: number;
  /** Of all rows and their history in memory. */
  readonly databaseBytes: number;
  readonly machineVersion: number;
  /** Time of the last write in it, unix ms; 0 when there was none. */
  readonly wallTimeMs: number;
  readonly members: readonly { readonly id: string; readonly name: string }[];
}

/** What reads pages as they come. */
export interface PageSink {
  page(number: number, bytes: Uint8Array): void;
}

export interface ReadFile {
  readonly header: SnapshotHeader;
  readonly bytes: number;
  readonly sha256: string;
  readonly savedBy: "concord" | "etcdctl";
}

/**
 * Reads a backup from its first byte to its last and checks every checksum in it.
 *
 * @param begin - called with the header before the first page
 * @throws ConcordError `CONCORD_FILE_FAILED` when it cannot be read, is damaged or cut, or is no backup of Concord
 */
export async function readSnapshotFile(file: string, begin: (header: SnapshotHeader) => PageSink): Promise<ReadFile> {
  const bytes = await sizeOf(file);
  const decoder = new SnapshotDecoder({ restBytesMax: ETCD_PAGE_BYTES + SHA256_BYTES });
  const whole = createHash("sha256");
  const before = createHash("sha256");
  let sink: PageSink | undefined;
  let read = 0;
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>) {
      if (read === 0) refuseEtcds(file, chunk);
      whole.update(chunk);
      before.update(chunk.subarray(0, Math.max(0, bytes - SHA256_BYTES - read)));
      read += chunk.length;
      const pages = decoder.push(chunk);
      if (decoder.header !== undefined) sink ??= begin(decoder.header);
      for (const page of pages) sink?.page(page.number, page.bytes);
    }
    const header = decoder.finish();
    const savedBy = saverOf(decoder.rest, before.digest());
    return { header, bytes, sha256: whole.digest("hex"), savedBy };
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** Reads a backup and builds the state in it: that it is whole, and fits together. */
export async function verifySnapshotFile(file: string): Promise<SnapshotFacts> {
  const loader = Machine.loader(BACKUP_MACHINE);
  const { header, bytes, sha256, savedBy } = await readSnapshotFile(file, () => loader);
  let machine: Machine;
  try {
    machine = loader.finish(header.machine);
  } catch (error) {
    throw unreadable(file, error);
  }
  const stats = machine.stats();
  return {
    file,
    bytes,
    sha256,
    format: { version: SNAPSHOT_VERSION, savedBy },
    clusterId: header.clusterId,
    revision: machine.revision,
    compactRevision: machine.compactRevision,
    keys: stats.keys,
    leases: stats.leases,
    databaseBytes: stats.bytes,
    machineVersion: machine.version,
    wallTimeMs: machine.wallTimeMs,
    members: machine.members().map(({ id, name }) => ({ id, name })),
  };
}

/** Checks a backup while it comes, without keeping it: whoever saved it knows that it is whole. */
export class SnapshotCheck {
  readonly #decoder = new SnapshotDecoder();

  /** @throws CodecError */
  push(chunk: Uint8Array): void {
    this.#decoder.push(chunk);
  }

  /** @throws CodecError when the end is missing */
  finish(): void {
    this.#decoder.finish();
  }
}

/** Says why a backup cannot be used; a bug stays what it is. */
export function unreadable(file: string, error: unknown): unknown {
  if (error instanceof CodecError || error instanceof CorruptPageError)
    return new ConcordError("CONCORD_FILE_FAILED", `"${file}" is no whole backup of Concord: ${error.message}`, {
      cause: error,
    });
  if (error instanceof Error && "syscall" in error)
    return new ConcordError("CONCORD_FILE_FAILED", `Cannot read the file "${file}": ${error.message}`, {
      cause: error,
    });
  return error;
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function refuseEtcds(file: string, first: Buffer): void {
  if (first.length < BOLT_MAGIC_AT + 4 || first.readUInt32LE(BOLT_MAGIC_AT) !== BOLT_MAGIC) return;
  throw new ConcordError(
    "CONCORD_FILE_FAILED",
    `"${file}" is a database of etcd, not a backup of Concord: copy the keys from a running etcd with a client instead`,
  );
}

/** @param before - SHA-256 of the file without its last 32 bytes */
function saverOf(rest: Uint8Array, before: Buffer): ReadFile["savedBy"] {
  if (rest.length === 0) return "concord";
  const padding = rest.subarray(0, Math.max(0, rest.length - SHA256_BYTES));
  const sum = rest.subarray(padding.length);
  if (padding.length < ETCD_PAGE_BYTES && padding.every((byte) => byte === 0) && before.equals(sum)) return "etcdctl";
  throw new CodecError(`${rest.length} bytes behind the end of the snapshot are not the checksum that etcdctl wants`);
}
