import { type CoreOptions } from "./config.ts";
import {
  type ConfigurationChange,
  type Index,
  type Input,
  type ProposeResult,
  type Ready,
  type Status,
  type Term,
} from "./types.ts";

/** The Raft core of one member. See `types.ts` for the contract. */
export declare class RaftCore {
  constructor(options: CoreOptions);
  step(input: Input): void;
  /** Appends normal entries at the leader. Takes all or none. */
  propose(data: readonly Uint8Array[]): ProposeResult;
  /** Appends a configuration entry at the leader. `data` is kept with it (names and URLs of the member). */
  proposeChange(change: ConfigurationChange, data: Uint8Array): ProposeResult;
  hasReady(): boolean;
  /** Takes everything that has to be done. Each effect is handed out once. */
  ready(): Ready;
  status(): Status;
  /** Drops entries up to `index` from memory, when a checkpoint holds them. Returns the new first index. */
  compact(index: Index): Index;
  /** Term of the entry at `index`, or undefined when it is not in the log. */
  termAt(index: Index): Term | undefined;
  /** Throws InvariantError when an invariant of the core does not hold. Used after every step in tests. */
  checkInvariants(): void;
}
