import { Machine, type MachineOptions } from "../machine/machine.ts";
import { applyChange } from "../raft/membership.ts";
import { type MemberId, type SnapshotMeta } from "../raft/types.ts";
import { type RecoveredLog } from "../storage/log-store.ts";
import { type CheckpointSlot } from "./checkpoint-slots.ts";

/** Nobody else can have the state. What was committed behind the checkpoint counts: a cluster grows from its founder. */
export function isOnlyVoter(member: MemberId, { checkpoint, entries, hardState }: RecoveredLog): boolean {
  let { configuration } = checkpoint.meta;
  for (const entry of entries) {
    if (entry.type !== "configuration" || entry.index <= checkpoint.meta.index || entry.index > hardState.commit)
      continue;
    configuration = applyChange(configuration, entry.change);
  }
  return configuration.voters.length === 1 && configuration.voters[0] === member;
}

/**
 * Reads a checkpoint into a machine; without one, `reason` says what is wrong with it. What the log names must be there: a
 * checkpoint may be newer than the log says, never older.
 */
export function loadMachine(
  slot: CheckpointSlot,
  options: MachineOptions,
  indexMin: number,
  done: (machine: Machine | undefined, snapshot: SnapshotMeta, reason: string) => void,
): void {
  const loader = Machine.loader(options);
  const nothing: SnapshotMeta = { index: 0, term: 0, configuration: { voters: [], learners: [] } };
  // Only the result says whether pages were whole, so one that cannot be read is not an answer yet.
  let unreadable: string | undefined;
  slot.store.load(
    (pages) => {
      try {
        if (unreadable === undefined) for (const { number, bytes } of pages) loader.page(number, bytes);
      } catch (error) {
        unreadable = String(error);
      }
    },
    (loaded) => {
      if (loaded.type !== "loaded") {
        done(undefined, nothing, loaded.type === "empty" ? "it is empty" : loaded.reason);
        return;
      }
      const { snapshot, machine } = loaded.meta;
      if (snapshot.index < indexMin) unreadable ??= `it ends at entry ${snapshot.index}, wanted ${indexMin} at least`;
      let read: Machine | undefined;
      try {
        if (unreadable === undefined) read = loader.finish(machine);
      } catch (error) {
        unreadable = String(error);
      }
      done(read, snapshot, unreadable ?? "");
    },
  );
}
