import {
  type Command,
  type DeleteOperation,
  type Member,
  type Operation,
  type Outcome,
  type PutOperation,
  type RangeOperation,
  type ReadOperation,
  type TxnOperation,
} from "../../node/machine/commands.ts";
import { type FrozenState, Machine, type MachineOptions, type PageBytes } from "../../node/machine/machine.ts";
import { plain } from "./naive-machine.ts";

/** Short ways to say commands, and a machine that is founded and counts its own entries. */
export const OPTIONS: MachineOptions = {
  limits: { keyBytesMax: 1024, valueBytesMax: 1_572_864, operationsMax: 128, nestingMax: 16 },
  quotaBytes: 2 ** 33,
};

export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "latin1"));
export const ALL = { key: bytes("\0"), rangeEnd: bytes("\0") };

export function put(key: string, value: string | Uint8Array, more: Partial<PutOperation> = {}): PutOperation {
  return {
    type: "put",
    key: bytes(key),
    value: typeof value === "string" ? bytes(value) : value,
    lease: 0n,
    previous: false,
    ignoreValue: false,
    ignoreLease: false,
    ...more,
  };
}

export function range(key: string, rangeEnd = "", more: Partial<RangeOperation> = {}): RangeOperation {
  return {
    type: "range",
    key: bytes(key),
    rangeEnd: bytes(rangeEnd),
    limit: 0,
    revision: 0,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...more,
  };
}

export function remove(key: string, rangeEnd = "", previous = false): DeleteOperation {
  return { type: "delete", key: bytes(key), rangeEnd: bytes(rangeEnd), previous };
}

export function txn(
  compares: TxnOperation["compares"],
  success: readonly Operation[],
  failure: readonly Operation[] = [],
): TxnOperation {
  return { type: "txn", compares, success, failure };
}

export function memberOf(n: number, more: Partial<Member> = {}): Member {
  const id = n.toString(16).padStart(16, "0");
  return { id, name: `m${n}`, peerUrls: [`http://m${n}:2380`], clientUrls: [], learner: false, joined: false, ...more };
}

export const FOUND: Command = {
  type: "found",
  clusterId: "00000000000000c1",
  clusterUid: "uid",
  size: 1,
  founder: memberOf(1),
  awaited: [],
};

export class Fixture {
  machine: Machine;

  constructor(options: MachineOptions = OPTIONS, found: Command | "none" = FOUND) {
    this.machine = new Machine(options);
    if (found !== "none") this.apply(found);
  }

  apply(command: Command): Outcome {
    const index = this.machine.appliedIndex + 1;
    return this.machine.apply({ index, clusterTimeMs: index, wallTimeMs: index }, command);
  }

  /** The reply with bytes as text; the reason when refused. */
  say(command: Command): unknown {
    const outcome = this.apply(command);
    return outcome.ok ? plain(outcome.reply) : outcome.reason;
  }

  /** What a read answers, with bytes as text. */
  read(operation: ReadOperation, units = 1e9): unknown {
    const task = this.machine.read(operation);
    for (;;) {
      const result = task.advance(units);
      if (result !== undefined) return result.ok ? plain(result.reply) : result.reason;
    }
  }

  /** Keys of a range, in the order of the reply. */
  keys(operation: RangeOperation): string[] {
    return (this.read(operation) as { rows: { key: string }[] }).rows.map(({ key }) => key);
  }

  hash(): string {
    const hash = this.machine.hash().advance(1e9);
    if (hash === undefined) throw new Error("Hash was not finished");
    return hash.hash;
  }

  sweepAll(): void {
    while (!this.machine.sweep(1000));
  }
}

export function pagesOf(frozen: FrozenState, sliceBytes = 1e9): PageBytes[] {
  const pages: PageBytes[] = [];
  for (let batch = frozen.nextPages(sliceBytes); batch !== undefined; batch = frozen.nextPages(sliceBytes))
    pages.push(...batch);
  return pages;
}

export function load(pages: Iterable<PageBytes>, meta: Uint8Array): Machine {
  const loader = Machine.loader(OPTIONS);
  for (const page of pages) loader.page(page.number, page.bytes);
  return loader.finish(meta);
}
