/** Decides what a crash leaves: one of `alternatives` things, from 0 on. 0 is always "as if nothing un-synced had happened". */
export type Choose = (alternatives: number) => number;

export const SIM_SECTOR_BYTES = 512;
/** A killed process may have copied some pages of a write into the page cache, never a part of one. */
export const SIM_PAGE_BYTES = 4096;

/** A file: what the page cache shows, what the device holds, and every write between the two. */
export class SimFile {
  #cache: Uint8Array;
  #cacheSize: number;
  #durable: Uint8Array;
  #durableSize: number;
  /** For each sector that was written since the last sync: its contents after each write, oldest first. */
  #dirty = new Map<number, Uint8Array[]>();

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#cache = bytes.slice();
    this.#cacheSize = bytes.length;
    this.#durable = bytes.slice();
    this.#durableSize = bytes.length;
  }

  get size(): number {
    return this.#cacheSize;
  }

  clone(): SimFile {
    const clone = new SimFile();
    clone.#cache = this.#cache.slice();
    clone.#cacheSize = this.#cacheSize;
    clone.#durable = this.#durable.slice();
    clone.#durableSize = this.#durableSize;
    clone.#dirty = new Map([...this.#dirty].map(([sector, versions]) => [sector, [...versions]]));
    return clone;
  }

  read(): Uint8Array {
    return this.#cache.slice(0, this.#cacheSize);
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    const end = position + bytes.length;
    this.#cache = grown(this.#cache, end);
    this.#cacheSize = Math.max(this.#cacheSize, end);
    this.#cache.set(bytes, position);
    const first = Math.floor(position / SIM_SECTOR_BYTES);
    const last = Math.floor((end - 1) / SIM_SECTOR_BYTES);
    for (let sector = first; sector <= last; sector += 1) {
      const at = sector * SIM_SECTOR_BYTES;
      const versions = this.#dirty.get(sector) ?? [];
      versions.push(this.#cache.slice(at, at + SIM_SECTOR_BYTES));
      this.#dirty.set(sector, versions);
    }
  }

  /** Everything written so far becomes durable. */
  sync(): void {
    for (const [sector, versions] of this.#dirty) this.#keep(sector, versions.at(-1));
    this.#durableSize = this.#cacheSize;
    this.#dirty.clear();
  }

  /** A sync that fails: the kernel forgets that the pages were dirty, the cache goes on to show them. */
  failSync(choose: Choose): void {
    this.#settle(choose);
  }

  /** The device keeps some of the un-synced sectors, in any of their versions, and the cache is lost. */
  losePower(choose: Choose): void {
    this.#settle(choose);
    this.#cache = this.#durable.slice();
    this.#cacheSize = this.#durableSize;
  }

  /** Changes cache and device alike: a fault of the device, or another hand. */
  overwrite(change: (bytes: Uint8Array) => Uint8Array): void {
    this.sync();
    const changed = change(this.read());
    this.#cache = changed.slice();
    this.#durable = changed.slice();
    this.#cacheSize = changed.length;
    this.#durableSize = changed.length;
  }

  #settle(choose: Choose): void {
    if (this.#cacheSize > this.#durableSize && this.#dirty.size > 0 && choose(2) === 1)
      this.#durableSize = this.#cacheSize;
    for (const [sector, versions] of this.#dirty) {
      if (sector * SIM_SECTOR_BYTES >= this.#durableSize) continue;
      const kept = choose(versions.length + 1);
      if (kept > 0) this.#keep(sector, versions[kept - 1]);
    }
    this.#dirty.clear();
  }

  #keep(sector: number, version: Uint8Array | undefined): void {
    if (version === undefined) return;
    const at = sector * SIM_SECTOR_BYTES;
    this.#durable = grown(this.#durable, Math.max(at + version.length, this.#durableSize));
    this.#durable.set(version, at);
  }
}

function grown(bytes: Uint8Array, length: number): Uint8Array {
  const rounded = Math.ceil(length / SIM_SECTOR_BYTES) * SIM_SECTOR_BYTES;
  if (rounded <= bytes.length) return bytes;
  const larger = new Uint8Array(Math.max(rounded, Math.min(2 * bytes.length, bytes.length + (1 << 20))));
  larger.set(bytes);
  return larger;
}
