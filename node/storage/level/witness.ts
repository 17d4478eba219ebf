import { readFile } from "node:fs/promises";
import { ByteReader, ByteWriter, CodecError } from "../../codec/bytes.ts";
import { crc32 } from "../../codec/crc.ts";
import { removeDurably, writeDurably } from "./durable-file.ts";

const WITNESS_VERSION = 1;
const BODY_BYTES = 1 + 4 + 8 + 8;

export interface Witnessed {
  readonly generation: number;
  /** Applied index of the checkpoint. */
  readonly index: number;
}

/**
 * Remembers, outside LevelDB, which generation was committed last. Damage in LevelDB's own log makes it drop the latest
 * writes without a word, and what is left can be an older checkpoint, whole in itself, or nothing at all: only somebody
 * who knows better can tell. Written after the commit, so it may lag one generation behind, never be ahead.
 */
export class Witness {
  readonly #path: string;
  readonly #groupId: number;

  constructor(path: string, groupId: number) {
    this.#path = path;
    this.#groupId = groupId;
  }

  async write(witnessed: Witnessed): Promise<void> {
    const writer = new ByteWriter(BODY_BYTES + 4).u8(WITNESS_VERSION).u32(this.#groupId);
    writer.u53(witnessed.generation).u53(witnessed.index);
    await writeDurably(this.#path, writer.u32(crc32(writer.view())).finish());
  }

  /**
   * Undefined when nothing was committed yet.
   *
   * @throws CodecError when the file is damaged, cannot be read, or is of another group
   */
  async read(): Promise<Witnessed | undefined> {
    let bytes: Uint8Array;
    try {
      bytes = await readFile(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new CodecError(`Witness file cannot be read: ${(error as Error).message}`);
    }
    const reader = new ByteReader(bytes);
    const body = reader.raw(BODY_BYTES);
    const crc = reader.u32();
    reader.end();
    if (crc32(body) !== crc) throw new CodecError("Checksum of the witness file does not hold");
    const fields = new ByteReader(body);
    const version = fields.u8();
    const group = fields.u32();
    if (version !== WITNESS_VERSION)
      throw new CodecError(`Witness file has version ${version}, wanted ${WITNESS_VERSION}`);
    if (group !== this.#groupId)
      throw new CodecError(`Witness file belongs to group ${group}, wanted ${this.#groupId}`);
    return { generation: fields.u53(), index: fields.u53() };
  }

  async remove(): Promise<void> {
    await removeDurably(this.#path);
  }
}
