import { CODEC_TARGETS } from "./codec-targets.ts";
import { DOOR_TARGETS } from "./door-targets.ts";
import { STORAGE_TARGETS } from "./storage-targets.ts";
import { type FuzzTarget } from "./target.ts";

/** Every decoder of bytes that come from outside this process. */
export const TARGETS: readonly FuzzTarget[] = [...CODEC_TARGETS, ...STORAGE_TARGETS, ...DOOR_TARGETS];
