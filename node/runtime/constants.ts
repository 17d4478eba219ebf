/** One group for now; every frame, record and file carries it (D19). */
export const GROUP_ID = 0;
/** Length of a tick, ms. Time-outs of the core are counted in it. */
export const TICK_MS = 10;
