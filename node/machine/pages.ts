import { type Bytes } from "./commands.ts";
import { EMPTY } from "./key-range.ts";
import { PageReader, type PageWriter } from "./page-bytes.ts";
import { reachableVersions } from "./reachable.ts";
import { type FrozenEnds } from "./row-ends.ts";
import { PAGE_KEY_BYTES, PAGE_VERSION_BYTES, type Store } from "./store.ts";
import { Leaf } from "./tree-node.ts";
import { type RevisionBounds } from "./txn.ts";

/**
 * A page: the keys of a leaf in order, each with the versions that can be reached, oldest first.
 *
 *     u8 format version │ u32 keys
 *     a key:     u32 length │ bytes │ u32 versions
 *     a version: u53 mod │ u32 sub │ u53 create │ u53 version │ u8 flags │ i64 lease, if flagged
 *                │ u53 cluster time at which the row ends, if flagged; only the newest version
 *                │ u8 length │ content type, if flagged │ u32 length │ value
 *
 * An unknown flag refuses the page: it may say how the value is to be read.
 */
const PAGE_FORMAT_VERSION = 1;
const TOMBSTONE = 1;
const LEASE = 2;
const ENDS = 4;
const CONTENT_TYPE = 8;
const KNOWN_FLAGS = TOMBSTONE | LEASE | ENDS | CONTENT_TYPE;

/** The moment that a page is of. */
export interface PageMoment extends RevisionBounds {
  readonly ends: FrozenEnds;
}

/** The page of a leaf as it is at a moment. A key that cannot be reached is left out. */
export function encodePage(store: Store, leaf: Leaf, moment: PageMoment, writer: PageWriter): Uint8Array {
  const { keys, slab } = store;
  writer.u8(PAGE_FORMAT_VERSION);
  const countAt = writer.length;
  writer.u32(0);
  let count = 0;
  for (const slot of leaf.keys) {
    const versions = reachableVersions(store, slot, moment);
    if (versions.length === 0) continue;
    count += 1;
    const length = keys.length(slot);
    writer.u32(length);
    const room = writer.reserve(length);
    slab.copyTo(keys.address(slot), length, room.bytes, room.offset);
    writer.u32(versions.length);
    for (let i = versions.length - 1; i >= 0; i -= 1)
      writeVersion(store, versions[i] as number, i === 0 ? moment.ends.get(slot) : 0, writer);
  }
  writer.patchU32(countAt, count);
  return writer.take();
}

function writeVersion({ versions, slab }: Store, version: number, endMs: number, writer: PageWriter): void {
  const lease = versions.lease(version);
  writer.u53(versions.modRevision(version));
  writer.u32(versions.sub(version));
  writer.u53(versions.createRevision(version));
  writer.u53(versions.version(version));
  const type = versions.contentType(version);
  writer.u8(
    (versions.isTombstone(version) ? TOMBSTONE : 0) |
      (lease === 0n ? 0 : LEASE) |
      (endMs === 0 ? 0 : ENDS) |
      (type.length === 0 ? 0 : CONTENT_TYPE),
  );
  if (lease !== 0n) writer.i64(lease);
  if (endMs !== 0) writer.u53(endMs);
  if (type.length > 0) writer.u8(type.length).raw(type);
  const length = versions.valueLength(version);
  writer.u32(length);
  const room = writer.reserve(length);
  slab.copyTo(versions.valueAddress(version), length, room.bytes, room.offset);
}

/**
 * Takes the keys and versions of a page into the store.
 *
 * @param revisionBump - added to every revision
 * @returns their leaf.
 * @throws CorruptPageError
 */
export function decodePage(store: Store, number: number, bytes: Bytes, revisionBump: number): Leaf {
  const reader = new PageReader(bytes, `Page ${number}`);
  const format = reader.u8();
  if (format !== PAGE_FORMAT_VERSION)
    reader.fail(`has format version ${format}, this member reads ${PAGE_FORMAT_VERSION}`);
  const leaf = new Leaf(1, number, []);
  const count = reader.u32();
  for (let i = 0; i < count; i += 1) {
    const key = reader.raw(reader.u32());
    if (key.length === 0) reader.fail("has an empty key");
    const previous = leaf.keys.at(-1);
    if (previous !== undefined && store.keys.compare(previous, key) >= 0) reader.fail("has keys out of order");
    leaf.keys.push(readKey(store, key, reader, revisionBump));
  }
  reader.end();
  return leaf;
}

function readKey(store: Store, key: Bytes, reader: PageReader, revisionBump: number): number {
  const slot = store.keys.add(key);
  const count = reader.u32();
  if (count === 0) reader.fail("has a key without versions");
  let weight = PAGE_KEY_BYTES + key.length;
  let previous = 0;
  for (let i = 0; i < count; i += 1) {
    const version = readVersion(store, slot, previous, i === count - 1, reader, revisionBump);
    weight += PAGE_VERSION_BYTES + store.versions.contentLength(version);
    previous = version;
  }
  store.keys.setHead(slot, previous);
  store.keys.addWeight(slot, weight);
  return slot;
}

function readVersion(
  { versions, ends }: Store,
  key: number,
  previous: number,
  newest: boolean,
  reader: PageReader,
  revisionBump: number,
): number {
  const modRevision = reader.u53() + revisionBump;
  const sub = reader.u32();
  const created = reader.u53();
  // Of a tombstone it is 0.
  const createRevision = created === 0 ? 0 : created + revisionBump;
  const version = reader.u53();
  const flags = reader.u8();
  if ((flags & ~KNOWN_FLAGS) !== 0) reader.fail(`has flags ${flags}, this member knows ${KNOWN_FLAGS}`);
  const tombstone = (flags & TOMBSTONE) !== 0;
  const lease = flags & LEASE ? reader.i64() : 0n;
  if (flags & ENDS) {
    const endMs = reader.u53();
    if (!newest || tombstone || endMs === 0) reader.fail(`has an end at ${endMs} where none can be`);
    ends.set(key, endMs);
  }
  const type = flags & CONTENT_TYPE ? reader.raw(reader.u8()) : EMPTY;
  if ((flags & CONTENT_TYPE) !== 0 && type.length === 0) reader.fail("has a content type without characters");
  const value = reader.raw(reader.u32());
  if (modRevision < 2 + revisionBump) reader.fail(`has mod revision ${modRevision}`);
  if (tombstone) {
    if (createRevision !== 0 || version !== 0 || lease !== 0n || value.length !== 0 || type.length !== 0)
      reader.fail("has a tombstone with content");
  } else if (version < 1 || createRevision < 2 || (version === 1) !== (createRevision === modRevision))
    reader.fail(`has version ${version} with create revision ${createRevision} and mod revision ${modRevision}`);
  if (previous !== 0) {
    const follows =
      versions.modRevision(previous) < modRevision &&
      (versions.isTombstone(previous)
        ? version === 1
        : tombstone ||
          version === 1 + versions.version(previous) * Number(createRevision === versions.createRevision(previous)));
    if (!follows) reader.fail(`has versions of a key that do not follow each other at revision ${modRevision}`);
  }
  const fields = { key, modRevision, sub, createRevision, version, lease, tombstone, previous };
  return versions.add(fields, tombstone ? EMPTY : value, type);
}
