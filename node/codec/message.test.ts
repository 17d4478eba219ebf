import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Entry, type SnapshotMeta } from "../raft/types.ts";
import { CodecError } from "./bytes.ts";
import { decodeMessage, encodeMessage, MESSAGE_VERSION, type PeerMessage } from "./message.ts";

const SEED = 20_260_101;
const number = fc.oneof(fc.nat(1000), fc.maxSafeNat());
const id = fc.bigInt(1n, (1n << 63n) - 1n).map((value) => value.toString(16).padStart(16, "0"));
const bytes = fc.uint8Array({ maxLength: 300 });
const flag = fc.boolean();
const text = fc.string({ unit: "grapheme", maxLength: 30 });
const urls = fc.array(text, { maxLength: 4 });

const known = fc.record({ index: number, term: number });

const snapshotMeta: fc.Arbitrary<SnapshotMeta> = fc
  .tuple(number, number, fc.uniqueArray(id, { maxLength: 7 }), fc.nat(7))
  .map(([index, term, ids, voters]) => ({
    index,
    term,
    configuration: { voters: ids.slice(0, voters), learners: ids.slice(voters) },
  }));

const appendRequest: fc.Arbitrary<PeerMessage> = fc
  .record({
    type: fc.constant("appendRequest" as const),
    term: number.map((term) => Math.max(term, 1)),
    previousIndex: fc.nat(1_000_000),
    previousTerm: number,
    commit: number,
    entries: fc.array(fc.tuple(bytes, fc.option(fc.tuple(fc.constantFrom("addLearner", "promote", "remove"), id))), {
      maxLength: 6,
    }),
  })
  .map((request) => ({
    ...request,
    entries: request.entries.map(([data, change], i): Entry => {
      const place = { index: request.previousIndex + 1 + i, term: Math.min(request.term, 7), data };
      if (change === null) return { type: "normal", ...place };
      return { type: "configuration", ...place, change: { type: change[0], member: change[1] } };
    }),
  }));

const member = fc.record({ id, name: text, peerUrls: urls, clientUrls: urls, learner: flag, joined: flag });
const deadlineMs = fc.nat(3_600_000);

/** One arbitrary for every type, so that a new type does not compile without one. */
const ARBITRARIES: { readonly [T in PeerMessage["type"]]: fc.Arbitrary<PeerMessage> } = {
  appendRequest,
  appendResponse: fc.record({
    type: fc.constant("appendResponse"),
    term: number,
    index: number,
    refused: flag,
    hintIndex: number,
    hintTerm: number,
    needSnapshot: flag,
  }),
  heartbeat: fc.record({ type: fc.constant("heartbeat"), term: number, commit: number, round: number }),
  heartbeatResponse: fc.record({
    type: fc.constant("heartbeatResponse"),
    term: number,
    round: number,
    needSnapshot: flag,
  }),
  voteRequest: fc.record({
    type: fc.constant("voteRequest"),
    term: number,
    preVote: flag,
    lastIndex: number,
    lastTerm: number,
    transfer: flag,
    known,
  }),
  voteResponse: fc.record({ type: fc.constant("voteResponse"), term: number, preVote: flag, granted: flag, known }),
  timeoutNow: fc.record({ type: fc.constant("timeoutNow"), term: number }),
  readIndexRequest: fc.record({ type: fc.constant("readIndexRequest"), term: number, context: number }),
  readIndexResponse: fc.record({
    type: fc.constant("readIndexResponse"),
    term: number,
    context: number,
    index: number,
  }),
  snapshotChunk: fc.record({
    type: fc.constant("snapshotChunk"),
    term: number,
    transfer: number,
    meta: snapshotMeta,
    sequence: number,
    last: flag,
    data: bytes,
  }),
  snapshotResponse: fc.record({
    type: fc.constant("snapshotResponse"),
    term: number,
    transfer: number,
    status: fc.constantFrom("next", "installed", "refused"),
    sequence: number,
  }),
  forward: fc.record({ type: fc.constant("forward"), requestId: number, deadlineMs, command: bytes }),
  forwardReply: fc.record({
    type: fc.constant("forwardReply"),
    requestId: number,
    result: fc.oneof(
      fc.record({ type: fc.constant("outcome" as const), outcome: bytes }),
      fc.record({ type: fc.constant("refused" as const), reason: fc.constantFrom("notLeader", "lastVoter") }),
      fc.constant({ type: "unknown" as const }),
    ),
  }),
  forwardAdmin: fc.record({
    type: fc.constant("forwardAdmin"),
    requestId: number,
    deadlineMs,
    request: fc.oneof(
      fc.record({ type: fc.constant("addLearner" as const), name: text, peerUrls: urls }),
      fc.record({ type: fc.constantFrom("promote", "remove"), id }),
      fc.record({ type: fc.constant("transfer" as const), to: fc.oneof(id, fc.constant("")) }),
    ),
  }),
  forwardAdminReply: fc.record({
    type: fc.constant("forwardAdminReply"),
    requestId: number,
    result: fc.oneof(
      fc.record({ type: fc.constant("ok" as const), leader: id, members: fc.array(member, { maxLength: 5 }) }),
      fc.record({ type: fc.constant("failed" as const), code: fc.constant("CONCORD_NOT_LEADER"), message: text }),
    ),
  }),
};
const anyMessage = fc.oneof(...Object.values(ARBITRARIES));

function payload(groupId: number, message: PeerMessage): Uint8Array {
  return Uint8Array.from(Buffer.concat(encodeMessage(groupId, message)));
}

describe("messages between members", () => {
  it.each(Object.entries(ARBITRARIES))("%s comes back as it was", (type, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, fc.nat(0xffff_ffff), (message, groupId) => {
        expect(message.type).toBe(type);
        expect(decodeMessage(payload(groupId, message))).toEqual({ groupId, message });
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it("refuses every payload that was cut short or is too long", () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const whole = payload(1, message);
        for (let length = 0; length < whole.length; length += 1)
          expect(() => decodeMessage(whole.subarray(0, length))).toThrow(CodecError);
        expect(() => decodeMessage(Uint8Array.of(...whole, 0))).toThrow(CodecError);
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it("answers bytes of any kind with a message or a CodecError", () => {
    fc.assert(
      fc.property(anyMessage, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1 }), (message, changes) => {
        const damaged = payload(1, message);
        for (const [at, value] of changes) damaged[at % damaged.length] = value;
        try {
          decodeMessage(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError);
        }
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  it("keeps nothing of the frame, Buffer or not", () => {
    fc.assert(
      fc.property(anyMessage, flag, (message, buffer) => {
        const frame = buffer ? Buffer.from(payload(0, message)) : payload(0, message);
        const decoded = decodeMessage(frame);
        frame.fill(0xff);
        expect(decoded.message).toEqual(message);
      }),
      { seed: SEED, numRuns: 100 },
    );
  });

  it("does not copy a piece of a snapshot", () => {
    const data = new Uint8Array(1000);
    const meta = { index: 1, term: 1, configuration: { voters: [], learners: [] } };
    const chunk = { type: "snapshotChunk", term: 1, transfer: 1, meta, sequence: 0, last: true, data } as const;
    expect(encodeMessage(0, chunk)[1]).toBe(data);
  });

  it.each([
    ["an unknown version", [MESSAGE_VERSION + 1, 0, 0, 0, 0, 7], "format version 2, wanted 1"],
    ["an unknown type", [MESSAGE_VERSION, 0, 0, 0, 0, 63], "unknown type 63"],
    ["a type beyond the table", [MESSAGE_VERSION, 0, 0, 0, 0, 255], "unknown type 255"],
    ["a flag of two", [MESSAGE_VERSION, 0, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0], "Flag is 2, wanted 0 or 1"],
  ])("names %s", (_, head, text) => {
    expect(() => decodeMessage(Uint8Array.from(head))).toThrow(text);
  });

  it("refuses entries that do not follow each other or are newer than their leader", () => {
    const entry = (index: number, term: number): Entry => ({ type: "normal", index, term, data: Uint8Array.of(1) });
    const request = (entries: Entry[]): PeerMessage => {
      return { type: "appendRequest", term: 3, previousIndex: 4, previousTerm: 2, commit: 4, entries };
    };
    expect(() => decodeMessage(payload(0, request([entry(5, 3), entry(7, 3)])))).toThrow("place of entry 6");
    expect(() => decodeMessage(payload(0, request([entry(5, 4)])))).toThrow("is of term 4");
  });

  it("cuts the text of an error that is too long for its receiver", () => {
    const result = { type: "failed", code: "CONCORD_INTERNAL", message: "é".repeat(10_000) } as const;
    const { message } = decodeMessage(payload(0, { type: "forwardAdminReply", requestId: 1, result }));
    expect(message).toMatchObject({ result: { message: "é".repeat(1365) } });
  });
});
