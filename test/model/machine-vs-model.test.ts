import { describe, expect, it } from "vitest";
import fc from "fast-check";
import {
  type Command,
  type Compare,
  type HistoryOperation,
  type Operation,
  type Outcome,
  type RangeOperation,
} from "../../node/machine/commands.ts";
import { type FrozenState, Machine, type ReadTask } from "../../node/machine/machine.ts";
import { NaiveMachine, plain, text } from "./naive-machine.ts";

const OPTIONS = {
  limits: { keyBytesMax: 64, valueBytesMax: 65_536, operationsMax: 64, nestingMax: 8 },
  quotaBytes: 2 ** 30,
};
const ALL = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

/** Few keys, so that operations meet; bytes around 0 and 255, where orders go wrong. */
const key = fc.oneof(
  fc.array(fc.constantFrom(0, 1, 97, 98, 255), { minLength: 1, maxLength: 2 }).map((bytes) => Uint8Array.from(bytes)),
  fc.integer({ min: 0, max: 60 }).map((n) => Uint8Array.from(Buffer.from(`k${n}`))),
);
const rangeEnd = fc.oneof(
  { weight: 2, arbitrary: fc.constant(new Uint8Array(0)) },
  { weight: 2, arbitrary: fc.constant(Uint8Array.of(0)) },
  { weight: 3, arbitrary: key },
);
/** Mostly small; the large ones fill pages, so that leaves split and join. */
const value = fc
  .tuple(fc.constantFrom(0, 1, 3, 900, 5000), fc.constantFrom(1, 2))
  .map(([length, byte]) => new Uint8Array(length).fill(byte));

const untyped = fc
  .record({
    type: fc.constant("put" as const),
    key,
    value,
    lease: fc.oneof(
      { weight: 20, arbitrary: fc.constant(0n) },
      { weight: 8, arbitrary: fc.constantFrom(1n, 2n) },
      { weight: 1, arbitrary: fc.constant(-5n) },
    ),
    previous: fc.boolean(),
    ignoreValue: fc.constant(false),
    ignoreLease: fc.constantFrom(false, false, false, true),
    ttlMs: fc.constantFrom(undefined, undefined, undefined, 500, 3000),
  })
  .map(({ ttlMs, ...operation }) => ({
    ...operation,
    ...(operation.ignoreLease ? { lease: 0n } : {}),
    ...(ttlMs === undefined ? {} : { ttlMs }),
  }));
const contentType = fc.constantFrom(undefined, undefined, "a/b", "application/json; charset=utf-8");
const put = fc
  .tuple(untyped, contentType)
  .map(([operation, type]) => (type === undefined ? operation : { ...operation, contentType: type }));
const touch = fc.record({ type: fc.constant("touch" as const), key, ttlMs: fc.constantFrom(0, 300, 3000) });
const reput = untyped.map((operation) => ({
  ...operation,
  value: new Uint8Array(0),
  ignoreValue: true,
}));
const remove = fc.record({ type: fc.constant("delete" as const), key, rangeEnd, previous: fc.boolean() });
/** A revision as a share of those that exist and a few beyond; 0 is the current one. */
const share = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 110 }));
const bound = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 60 }) },
);
const range: fc.Arbitrary<RangeOperation> = fc.record({
  type: fc.constant("range" as const),
  key,
  rangeEnd,
  limit: fc.constantFrom(0, 0, 1, 3, 20),
  revision: share,
  sortTarget: fc.constantFrom("key" as const, "version" as const, "create" as const, "mod" as const, "value" as const),
  sortOrder: fc.constantFrom("none" as const, "ascend" as const, "descend" as const),
  keysOnly: fc.boolean(),
  countOnly: fc.constantFrom(false, false, false, true),
  minModRevision: bound,
  maxModRevision: bound,
  minCreateRevision: bound,
  maxCreateRevision: bound,
});
const history: fc.Arbitrary<HistoryOperation> = fc.record({
  type: fc.constant("history" as const),
  key,
  fromRevision: share,
  toRevision: share,
  limit: fc.constantFrom(0, 0, 1, 3),
});
const result = fc.constantFrom("equal" as const, "greater" as const, "less" as const, "notEqual" as const);
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({
    key,
    rangeEnd,
    result,
    target: fc.constantFrom("version" as const, "create" as const, "mod" as const),
    operand: fc.integer({ min: 0, max: 40 }),
  }),
  fc.record({ key, rangeEnd, result, target: fc.constant("lease" as const), operand: fc.constantFrom(0n, 1n) }),
  fc.record({ key, rangeEnd, result, target: fc.constant("value" as const), operand: value }),
);
const { operation } = fc.letrec<{ operation: Operation; txn: Operation }>((tie) => ({
  operation: fc.oneof({ maxDepth: 3 }, put, put, range, remove, reput, touch, tie("txn")),
  txn: fc.record({
    type: fc.constant("txn" as const),
    compares: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie("operation"), { maxLength: 4 }),
    failure: fc.array(tie("operation"), { maxLength: 4 }),
  }),
}));

const leaseId = fc.constantFrom(1n, 2n, -5n);
const lease: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant("leaseGrant" as const), id: leaseId, ttlSeconds: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("leaseRevoke" as const), id: leaseId }) },
  fc.record({ type: fc.constant("leaseKeepAlive" as const), ids: fc.array(leaseId, { maxLength: 3 }) }),
  fc.record({ type: fc.constant("leaseTimeToLive" as const), id: leaseId, keys: fc.boolean() }),
);

type Step =
  | { readonly do: "apply"; readonly operation: Operation; readonly units: number }
  | { readonly do: "lease"; readonly command: Command; readonly units: number }
  /** What the leader does when it sees rows end. */
  | { readonly do: "expireRows"; readonly count: number; readonly lateMs: number; readonly units: number }
  /** What the leader does when it sees a lease end; `lateMs` 0: it looks again. */
  | { readonly do: "expire"; readonly lateMs: number; readonly units: number }
  | { readonly do: "compact"; readonly share: number }
  | { readonly do: "sweep"; readonly units: number }
  | { readonly do: "read"; readonly operation: RangeOperation }
  | { readonly do: "history"; readonly operation: HistoryOperation }
  | { readonly do: "continue"; readonly units: number }
  | { readonly do: "changes"; readonly from: number; readonly range: RangeOperation; readonly units: number }
  | { readonly do: "freeze"; readonly onlyDirty: boolean }
  | { readonly do: "checkpoint"; readonly bytes: number; readonly fails: boolean }
  | { readonly do: "restart" };

const units = fc.constantFrom(1, 2, 5, 1000);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant("apply" as const), operation, units }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant("apply" as const), operation: put, units }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("apply" as const), operation: remove, units }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("lease" as const), command: lease, units }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("expire" as const), lateMs: fc.constantFrom(0, 0, 2000), units }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("expireRows" as const),
      count: fc.constantFrom(1, 3, 100),
      lateMs: fc.constantFrom(0, 0, 0, 100),
      units,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("compact" as const), share }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("sweep" as const), units }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("read" as const), operation: range }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("history" as const), operation: history }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("continue" as const), units }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("changes" as const), from: share, range, units }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("freeze" as const), onlyDirty: fc.constantFrom(true, true, false) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("checkpoint" as const),
      bytes: fc.constantFrom(1, 20_000, 1e9),
      fails: fc.constantFrom(false, false, true),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);

/** The machine and the model side by side, with a checkpoint as a store of pages would keep it. */
class Pair {
  machine = new Machine(OPTIONS);
  readonly model = new NaiveMachine();
  readonly #checkpoint = new Map<number, Uint8Array>();
  #meta: Uint8Array | undefined;
  #frozen: FrozenState | undefined;
  #frozenDirty = false;
  #frozenEnds = new Map<string, number>();
  #reads: { readonly task: ReadTask; readonly expected: unknown }[] = [];
  #index = 0;

  constructor() {
    const founder = { id: "0000000000000001", name: "a", peerUrls: [], clientUrls: [], learner: false, joined: true };
    const found = {
      type: "found",
      clusterId: "00000000000000aa",
      clusterUid: "",
      size: 1,
      founder,
      awaited: [],
    } as const;
    expect(this.machine.apply(this.#context(), found).ok).toBe(true);
  }

  run(step: Step): void {
    switch (step.do) {
      case "apply": {
        this.#apply(this.#settle(step.operation), step.units);
        return;
      }
      case "lease": {
        this.#apply(step.command, step.units);
        return;
      }
      case "expire": {
        this.#expire(step);
        return;
      }
      case "expireRows": {
        const ended = this.machine.endedRows(this.#nowMs, step.count);
        const rows = ended.map(({ key: of, endMs }) => ({ key: of, endMs: endMs - step.lateMs }));
        rows.sort((left, right) => Buffer.compare(left.key, right.key));
        this.#apply({ type: "expireRows", rows }, step.units);
        return;
      }
      case "compact": {
        const command = { type: "compact", revision: this.#revision(step.share) } as const;
        this.#apply(command, 1);
        return;
      }
      case "sweep":
        this.machine.sweep(step.units);
        return;
      case "read": {
        const operation = this.#settle(step.operation) as RangeOperation;
        this.#reads.push({ task: this.machine.read(operation), expected: withoutEnds(this.model.apply(operation, 0)) });
        return;
      }
      case "history": {
        const { fromRevision, toRevision } = step.operation;
        const operation = {
          ...step.operation,
          fromRevision: this.#revision(fromRevision),
          toRevision: this.#revision(toRevision),
        };
        this.#reads.push({ task: this.machine.read(operation), expected: withoutEnds(this.model.history(operation)) });
        return;
      }
      case "continue":
        this.#reads = this.#reads.filter(({ task, expected }) => {
          const done = task.advance(step.units);
          if (done !== undefined) expect(withoutEnds(plain(done))).toEqual(expected);
          return done === undefined;
        });
        return;
      case "changes": {
        this.#changes(step);
        return;
      }
      case "freeze":
        this.#frozen?.close();
        this.#frozenDirty = step.onlyDirty && this.#meta !== undefined;
        this.#freeze();
        return;
      case "checkpoint": {
        this.#write(step);
        return;
      }
      case "restart":
        this.check();
        this.#frozen?.close();
        this.#frozen = undefined;
        this.#restart();
    }
  }

  /** Everything there is, at every revision that can be read. */
  check(): void {
    this.machine.checkInvariants();
    for (const { task } of this.#reads) task.close();
    this.#reads = [];
    this.#compare(this.machine);
    this.#compareLeases();
    this.#compareEnds();
  }

  #freeze(): void {
    this.#frozen = this.machine.freeze({ onlyDirty: this.#frozenDirty });
    this.#frozenEnds = this.model.ends;
  }

  #compareEnds(machine = this.machine, ends: ReadonlyMap<string, number> = this.model.ends): void {
    const known = [...ends].map(([of, endMs]) => ({ key: of, endMs }));
    expect(machine.rowsWithEnd).toBe(known.length);
    const ended = known.filter(({ endMs }) => endMs <= this.#nowMs);
    const due = machine.endedRows(this.#nowMs, 1000).map(({ key: of, endMs }) => ({ key: text(of), endMs }));
    expect(due.map(({ endMs }) => endMs)).toEqual(ended.map(({ endMs }) => endMs).sort((a, b) => a - b));
    expect(new Set(due.map(({ key: of }) => of))).toEqual(new Set(ended.map(({ key: of }) => of)));
  }

  #compareLeases(): void {
    const known = [...this.model.leases].map(([id, lease]) => ({ id, ...lease }));
    expect(this.machine.leases.list()).toEqual(known.sort((left, right) => Number(left.id - right.id)));
    const ended = known.filter(({ deadlineMs }) => deadlineMs <= this.#nowMs);
    const due = this.machine.leases.due(this.#nowMs, 10);
    expect(due.map(({ id }) => id).sort()).toEqual(ended.map(({ id }) => id).sort());
    expect(due.map(({ deadlineMs }) => deadlineMs)).toEqual(
      ended.map(({ deadlineMs }) => deadlineMs).sort((a, b) => a - b),
    );
  }

  #compare(machine: Machine): void {
    expect([machine.revision, machine.compactRevision]).toEqual([this.model.revision, this.model.compactRevision]);
    for (let revision = Math.max(1, machine.compactRevision); revision <= machine.revision; revision += 1) {
      const result = machine.read({ ...PLAIN_RANGE, ...ALL, revision }).advance(1e9);
      // A frozen state is of a time that the model has left behind.
      const shown = machine === this.machine ? (value: unknown) => value : withoutEnds;
      const expected = this.model.range(
        { ...PLAIN_RANGE, ...ALL },
        machine.clusterTimeMs,
        this.model.states[revision],
      ) as object;
      expect(shown(plain(result))).toEqual(shown({ ok: true, revision: this.model.revision, reply: expected }));
    }
    expect(machine.stats().keys).toBe(this.model.states[this.model.revision]!.size);
    const from = Math.max(1, machine.compactRevision);
    const changes = machine.changes(ALL, from, machine.revision, { previous: true, units: 1e9 });
    const expected = this.model.changesOf(ALL, from, machine.revision);
    expect(plain(changes.events)).toEqual(expected.map(({ event }) => event));
    expect(plain(changes.previousRows)).toEqual(expected.map(({ previous }) => previous));
  }

  #expire({ lateMs, units: slice }: Extract<Step, { do: "expire" }>): void {
    const seen = this.machine.leases.due(this.#nowMs, 1)[0];
    if (seen === undefined) return;
    this.#apply({ type: "leaseExpire", id: seen.id, deadlineMs: seen.deadlineMs - lateMs }, slice);
    if (lateMs === 0) expect(this.model.leases.has(seen.id)).toBe(false);
  }

  #apply(command: Command, slice: number): void {
    const before = this.machine.revision;
    const probe = "key" in command ? command.key : Uint8Array.of(97);
    const shown = blurred(this.machine.get(probe));
    this.machine.start(this.#context(), command);
    let outcome: Outcome | undefined;
    while ((outcome = this.machine.advance(slice)) === undefined) {
      // Readers see the state before the command until it is finished.
      expect(this.machine.revision).toBe(before);
      expect(blurred(this.machine.get(probe))).toEqual(shown);
      expect(this.machine.sweep(1)).toBe(false);
    }
    expect(plain(outcome)).toEqual(this.model.apply(command, this.#nowMs));
  }

  #changes({ from, range, units: slice }: Extract<Step, { do: "changes" }>): void {
    const first = Math.max(1, this.machine.compactRevision, this.#revision(from));
    const last = this.machine.revision;
    const events: unknown[] = [];
    const previousRows: unknown[] = [];
    for (let next = first; next <= last;) {
      const batch = this.machine.changes(range, next, last, { previous: true, units: slice });
      expect(batch.next).toBeGreaterThan(next);
      events.push(...batch.events);
      previousRows.push(...batch.previousRows);
      next = batch.next;
    }
    const expected = this.model.changesOf(range, first, last);
    expect(plain(events)).toEqual(expected.map(({ event }) => event));
    expect(plain(previousRows)).toEqual(expected.map(({ previous }) => previous));
  }

  /** Writes the frozen state into the checkpoint, as one batch or not at all. */
  #write({ bytes, fails }: Extract<Step, { do: "checkpoint" }>): void {
    const frozen = this.#frozen;
    if (frozen === undefined) return;
    this.#frozen = undefined;
    const pages = new Map<number, Uint8Array>();
    for (let batch = frozen.nextPages(bytes); batch !== undefined; batch = frozen.nextPages(bytes))
      for (const page of batch) pages.set(page.number, page.bytes);
    if (!fails) {
      if (!this.#frozenDirty) this.#checkpoint.clear();
      else for (const number of frozen.removedPages) this.#checkpoint.delete(number);
      for (const [number, page] of pages) this.#checkpoint.set(number, page);
      this.#meta = frozen.meta;
      this.machine.checkpointed(frozen);
      const loaded = this.#load();
      loaded.checkInvariants();
      this.#compareEnds(loaded, this.#frozenEnds);
      if (frozen.revision === this.model.revision && loaded.compactRevision === this.model.compactRevision) {
        this.#compare(loaded);
        expect(hashOf(loaded)).toEqual(hashOf(this.machine));
      }
    }
    frozen.close();
  }

  #load(): Machine {
    const loader = Machine.loader(OPTIONS);
    for (const [number, page] of [...this.#checkpoint].reverse()) loader.page(number, page);
    return loader.finish(this.#meta!);
  }

  /** A process that ends and begins again from a checkpoint of just now. */
  #restart(): void {
    this.#frozenDirty = this.#meta !== undefined;
    this.#freeze();
    const before = hashOf(this.machine);
    this.#write({ do: "checkpoint", bytes: 1e9, fails: false });
    const { appliedIndex, clusterTimeMs, wallTimeMs } = this.machine;
    this.machine = this.#load();
    expect(hashOf(this.machine)).toEqual(before);
    expect(this.machine).toMatchObject({ appliedIndex, clusterTimeMs, wallTimeMs });
    this.#compareLeases();
    this.#compareEnds();
  }

  /** Turns shares into revisions. */
  #settle(operation: Operation): Operation {
    if (operation.type === "range") return { ...operation, revision: this.#revision(operation.revision) };
    if (operation.type !== "txn") return operation;
    const settle = (branch: readonly Operation[]): Operation[] => branch.map((inner) => this.#settle(inner));
    return { ...operation, success: settle(operation.success), failure: settle(operation.failure) };
  }

  #revision(of: number): number {
    return Math.ceil((this.model.revision * of) / 100);
  }

  #context(): { index: number; clusterTimeMs: number; wallTimeMs: number } {
    this.#index += 1;
    return { index: this.#index, clusterTimeMs: this.#nowMs, wallTimeMs: 1e12 + this.#index };
  }

  /** A few entries make the shortest lease. */
  get #nowMs(): number {
    return this.#index * 300;
  }
}

const PLAIN_RANGE: RangeOperation = {
  type: "range",
  key: Uint8Array.of(0),
  rangeEnd: Uint8Array.of(0),
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
};

/** What is left of a row's time is as of when the row is read, and a read takes its time. */
function withoutEnds(result: unknown): unknown {
  return JSON.parse(
    JSON.stringify(result, (name, value: unknown) =>
      name === "ttlMs" ? undefined : typeof value === "bigint" ? String(value) : value,
    ),
  );
}

/** Time goes on while a command is at work; only whether a row has an end stays. */
function blurred(result: unknown): unknown {
  return JSON.parse(
    JSON.stringify(plain(result), (name, value: unknown) =>
      name === "ttlMs" ? "some" : typeof value === "bigint" ? String(value) : value,
    ),
  );
}

function hashOf(machine: Machine): unknown {
  const task = machine.hash();
  for (;;) {
    const hash = task.advance(7);
    if (hash !== undefined) return hash;
  }
}

describe("machine against the model", () => {
  it("gives the same outcomes, rows, changes and checkpoints, however it is sliced", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
        const pair = new Pair();
        for (const one of steps) pair.run(one);
        pair.check();
      }),
      {
        numRuns: Number(process.env["CONCORD_MODEL_RUNS"] ?? 150),
        seed: Number(process.env["CONCORD_MODEL_SEED"] ?? 20),
      },
    );
  });
});
