import { expect, test } from "vitest";
import { CodecError } from "./bytes.ts";
import { decodeProposal, encodeProposal } from "./proposal.ts";
import { decodeTrace, encodeTrace } from "./trace.ts";

const TRACE = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "00f067aa0ba902b7" };

test("a trace context is 24 bytes, and the same again", () => {
  const bytes = encodeTrace(TRACE);
  expect(bytes).toHaveLength(24);
  expect(decodeTrace(bytes)).toEqual(TRACE);
  for (const wrong of [
    { ...TRACE, spanId: "x" },
    { traceId: TRACE.spanId, spanId: TRACE.traceId },
  ])
    expect(() => encodeTrace(wrong)).toThrow(CodecError);
});

test("it goes with a write that is handed on", () => {
  const command = { type: "compact", revision: 7 } as const;
  expect(decodeProposal(encodeProposal({ command, trace: TRACE }))).toEqual({ command, trace: TRACE });
  expect(decodeProposal(encodeProposal({ command }))).toEqual({ command });
});
