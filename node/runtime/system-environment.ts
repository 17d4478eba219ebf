import { randomBytes, randomInt } from "node:crypto";
import { performance } from "node:perf_hooks";
import { currentRequest } from "../observability/channels.ts";
import { type Environment } from "./environment.ts";

/** The world as it is: the process's monotonic clock, its timers and the system's randomness. */
export const systemEnvironment: Environment = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  random: (bound) => (bound <= 1 ? 0 : randomInt(bound)),
  randomId() {
    for (;;) {
      const value = randomBytes(8).readBigUInt64BE() & 0x7fff_ffff_ffff_ffffn;
      if (value !== 0n) return value.toString(16).padStart(16, "0");
    }
  },
  timer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  defer(callback) {
    // A turn is nobody's: it does the work of all requests that came.
    currentRequest.exit(setImmediate, callback);
  },
};
