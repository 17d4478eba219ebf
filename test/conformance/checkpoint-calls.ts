import {
  type CheckpointFactory,
  type CheckpointMeta,
  type CheckpointStore,
  type CheckpointWriter,
  type LoadedCheckpoint,
  type Page,
} from "../../node/storage/checkpoint-store.ts";

/** Text of pages by number. */
export type Contents = ReadonlyMap<number, string>;

export const page = (number: number, text: string): Page => ({ number, bytes: new TextEncoder().encode(text) });

export function metaAt(index: number): CheckpointMeta {
  const configuration = { voters: ["0000000000000001", "00000000000000ff"], learners: ["7fffffffffffffff"] };
  return { snapshot: { index, term: 3, configuration }, machine: new TextEncoder().encode(`machine at ${index}`) };
}

const settled = (call: (done: (error: Error | undefined) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => call((error) => (error === undefined ? resolve() : reject(error))));

export function open(factory: CheckpointFactory, directory: string): Promise<CheckpointStore> {
  return new Promise((resolve, reject) =>
    factory.open(directory, (error, store) =>
      store === undefined ? reject(error ?? new Error("none")) : resolve(store),
    ),
  );
}

export const close = (store: CheckpointStore): Promise<void> => settled((done) => store.close(done));
export const clear = (store: CheckpointStore): Promise<void> => settled((done) => store.clear(done));
export const destroy = (factory: CheckpointFactory, directory: string): Promise<void> =>
  settled((done) => factory.destroy(directory, done));
export const put = (writer: CheckpointWriter, pages: readonly Page[]): Promise<void> =>
  settled((done) => writer.put(pages, done));
export const remove = (writer: CheckpointWriter, numbers: readonly number[]): Promise<void> =>
  settled((done) => writer.remove(numbers, done));
export const commit = (writer: CheckpointWriter, meta: CheckpointMeta): Promise<void> =>
  settled((done) => writer.commit(meta, done));
export const verify = (store: CheckpointStore): Promise<LoadedCheckpoint> =>
  new Promise((resolve) => store.verify(resolve));

/** Loads and checks that no page comes twice. */
export async function load(store: CheckpointStore): Promise<{ result: LoadedCheckpoint; contents: Contents }> {
  const contents = new Map<number, string>();
  const result = await new Promise<LoadedCheckpoint>((resolve) =>
    store.load((pages) => {
      for (const { number, bytes } of pages) {
        if (contents.has(number)) throw new Error(`Page ${number} came twice`);
        contents.set(number, new TextDecoder().decode(bytes));
      }
    }, resolve),
  );
  return { result, contents };
}

export async function write(store: CheckpointStore, index: number, contents: Contents): Promise<void> {
  const writer = store.begin();
  await put(
    writer,
    [...contents].map(([number, text]) => page(number, text)),
  );
  await commit(writer, metaAt(index));
}
