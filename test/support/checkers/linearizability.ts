/**
 * A search for an order, after Wing and Gong (1993) with the memory of Lowe (2017): it knows nothing of revisions, so it
 * judges the store and the revision-based checker alike. Exponential at worst, and meant for samples of a history.
 */
export interface RegisterCall {
  readonly startedAt: number;
  /** Infinity: nobody knows whether or when it happened. */
  readonly endedAt: number;
  readonly operation:
    | { readonly type: "write"; readonly value: string | undefined }
    /** What was read. */
    | { readonly type: "read"; readonly value: string | undefined };
}

/** Steps of a search, after which it gives up. */
const STEPS_MAX = 200_000;

/** Whether one register that begins without a value can have answered so. `gaveUp`: the search became too long. */
export function isLinearizable(calls: readonly RegisterCall[]): boolean | "gaveUp" {
  const sorted = [...calls].sort((a, b) => a.startedAt - b.startedAt);
  const seen = new Set<string>();
  const done = new Array<boolean>(sorted.length).fill(false);
  let steps = 0;
  const search = (value: string | undefined): boolean => {
    steps += 1;
    if (steps > STEPS_MAX) throw new SearchTooLong();
    // A call may be next when none of the others that are left ended before it began.
    let firstEnd = Infinity;
    let open = false;
    for (const [at, call] of sorted.entries()) {
      if (done[at] === true) continue;
      firstEnd = Math.min(firstEnd, call.endedAt);
      open ||= call.endedAt !== Infinity;
    }
    if (!open) return true;
    const state = `${done.map((each) => (each ? 1 : 0)).join("")}/${String(value)}`;
    if (seen.has(state)) return false;
    seen.add(state);
    for (const [at, call] of sorted.entries()) {
      if (call.startedAt > firstEnd) break;
      if (done[at] === true) continue;
      const { operation } = call;
      if (operation.type === "read" && operation.value !== value) continue;
      done[at] = true;
      if (search(operation.type === "write" ? operation.value : value)) return true;
      done[at] = false;
    }
    return false;
  };
  try {
    return search(undefined);
  } catch (error) {
    if (error instanceof SearchTooLong) return "gaveUp";
    throw error;
  }
}

class SearchTooLong extends Error {}
