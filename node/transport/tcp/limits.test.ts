import { expect, it } from "vitest";
import { TRANSPORT_LIMITS, transportLimits } from "./limits.ts";

it("limits have defaults", () => {
  expect(transportLimits()).toEqual(TRANSPORT_LIMITS);
  expect(transportLimits({ pendingHandshakesMax: 1 }).pendingHandshakesMax).toBe(1);
});

it.each([
  [{ sessionsMax: 0 }, "Limit sessionsMax is 0, wanted a positive integer"],
  [{ frameBytesMax: 1 }, "Limit frameBytesMax is 1, wanted 65536 to 1073741824"],
  [{ idleTimeoutMs: 3000 }, "Limit idleTimeoutMs is 3000, wanted at least twice pingIntervalMs"],
  [{ reconnectMaxMs: 49 }, "Limit reconnectMaxMs is 49, wanted at least reconnectMinMs"],
])("limits that contradict each other are refused: %j", (limits, message) => {
  expect(() => transportLimits(limits)).toThrow(message);
});
