import { ByteReader, ByteWriter } from "../../node/codec/bytes.ts";
import { decodeCommand, decodeMember, encodeCommand, encodeMember } from "../../node/codec/command.ts";
import { decodeEntry, encodeEntry } from "../../node/codec/entry-header.ts";
import { readEntry, writeEntry } from "../../node/codec/entry.ts";
import { decodeHello, decodeHelloAnswer, encodeHello, encodeHelloAnswer } from "../../node/codec/handshake.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "../../node/codec/message.ts";
import { decodeOutcome, encodeOutcome } from "../../node/codec/outcome.ts";
import { decodeProposal, encodeProposal } from "../../node/codec/proposal.ts";
import { SnapshotDecoder, SnapshotEncoder } from "../../node/codec/snapshot.ts";
import { type Command } from "../../node/machine/commands.ts";
import { type Idempotency } from "../../node/machine/machine.ts";
import { FrameDecoder, frameHeader } from "../../node/transport/tcp/frame.ts";
import { bytes, Fixture, memberOf, put, range, remove, txn } from "../model/machine-fixture.ts";
import { type FuzzTarget, refusing } from "./target.ts";

// What members say to each other, and what their logs hold.

const FRAME_BYTES_MAX = 1 << 20;
const A = "00000000000000a1";
const B = "00000000000000b2";
const HASH = new Uint8Array(32).fill(7);
const IDEMPOTENCY: Idempotency = {
  key: HASH.slice(0, 16),
  request: HASH.slice(0, 8),
  ttlMs: 1000,
  budgetBytes: 1 << 20,
};

export const COMMANDS: readonly Command[] = [
  put("a", "1", { previous: true, ttlMs: 5000 }),
  put("b", "2", { lease: 7n, contentType: "text/plain" }),
  range("a", "c", { limit: 1, sortOrder: "descend", sortTarget: "mod" }),
  remove("a", "c", true),
  { type: "touch", key: bytes("a"), ttlMs: 0 },
  txn(
    [
      { key: bytes("a"), rangeEnd: bytes(""), target: "value", result: "equal", operand: bytes("1") },
      { key: bytes("a"), rangeEnd: bytes("b"), target: "lease", result: "notEqual", operand: 7n },
      { key: bytes("a"), rangeEnd: bytes(""), target: "mod", result: "greater", operand: 2 },
    ],
    [put("a", "3"), range("a"), txn([], [remove("b")])],
    [put("c", "4")],
  ),
  { type: "compact", revision: 3 },
  { type: "leaseGrant", id: 7n, ttlSeconds: 10 },
  { type: "leaseKeepAlive", ids: [7n, 8n] },
  { type: "leaseRevoke", id: 7n },
  { type: "leaseExpire", id: 7n, deadlineMs: 10_000 },
  { type: "leaseTimeToLive", id: 7n, keys: true },
  { type: "expireRows", rows: [{ key: bytes("a"), endMs: 5000 }] },
  { type: "advanceTime" },
  { type: "found", clusterId: A, clusterUid: "u", size: 1, founder: memberOf(1), awaited: [memberOf(2)] },
];

const MESSAGES: readonly PeerMessage[] = [
  {
    type: "appendRequest",
    term: 3,
    previousIndex: 4,
    previousTerm: 2,
    commit: 4,
    entries: [
      { type: "normal", index: 5, term: 3, data: bytes("data") },
      { type: "configuration", index: 6, term: 3, data: bytes(""), change: { type: "addLearner", member: B } },
    ],
  },
  { type: "appendResponse", term: 3, index: 6, refused: true, hintIndex: 4, hintTerm: 2, needSnapshot: false },
  { type: "heartbeat", term: 3, commit: 4, round: 9 },
  {
    type: "voteRequest",
    term: 4,
    preVote: true,
    lastIndex: 6,
    lastTerm: 3,
    transfer: false,
    known: { index: 1, term: 1 },
  },
  { type: "timeoutNow", term: 4 },
  { type: "forward", requestId: 1, deadlineMs: 1000, command: encodeProposal({ command: put("a", "1") }) },
  { type: "forwardReply", requestId: 1, result: { type: "outcome", outcome: encodeOutcome(outcomes()[0]) } },
  {
    type: "forwardAdmin",
    requestId: 2,
    deadlineMs: 1000,
    request: { type: "addLearner", name: "m2", peerUrls: ["http://m2:2380"] },
  },
];

function outcomes(): [ReturnType<Fixture["apply"]>, ...ReturnType<Fixture["apply"]>[]] {
  const fixture = new Fixture();
  const [first = put("a", ""), ...others] = COMMANDS;
  return [fixture.apply(first), ...others.slice(0, -1).map((command) => fixture.apply(command))];
}

function snapshotStream(): Uint8Array {
  const fixture = new Fixture();
  for (const command of COMMANDS.slice(0, 2)) fixture.apply(command);
  const configuration = { voters: [A], learners: [B] };
  const header = { groupId: 0, clusterId: A, snapshot: { index: 3, term: 1, configuration }, machine: bytes("meta") };
  const encoder = new SnapshotEncoder(header);
  return Buffer.concat([...encoder.push([{ number: 1, bytes: bytes("page") }]), ...encoder.finish()]);
}

const entrySeeds = MESSAGES.flatMap((message) =>
  message.type === "appendRequest"
    ? message.entries.map((entry) => {
        const writer = new ByteWriter();
        writeEntry(writer, entry);
        return writer.finish();
      })
    : [],
);

const frames: FuzzTarget = {
  name: "frames and messages of members",
  seeds: MESSAGES.map((message) => Buffer.concat(encodeMessage(0, message))),
  run: (input) => {
    refusing(() => decodeMessage(input));
    const payloads: Uint8Array[] = [];
    const decoder = new FrameDecoder(0, FRAME_BYTES_MAX, (_, payload) => payloads.push(payload));
    refusing(() => decoder.push(input));
    // Whole frames, so that checksums hold nothing up.
    const whole = new FrameDecoder(0, FRAME_BYTES_MAX, (_, payload) => payloads.push(payload));
    whole.push(Buffer.concat([frameHeader("message", 0, [input]), input]));
    for (const payload of payloads) refusing(() => decodeMessage(payload));
  },
};

/** A command that is understood, written again and read again, is the same. */
function again(command: Command): void {
  const encoded = encodeCommand(command);
  if (!Buffer.from(encoded).equals(encodeCommand(decodeCommand(encoded))))
    throw new Error("A command is another one when it is read again");
}

export const CODEC_TARGETS: readonly FuzzTarget[] = [
  frames,
  {
    name: "commands and what they do",
    seeds: COMMANDS.map(encodeCommand),
    run: (input) => {
      const command = refusing(() => decodeCommand(input));
      if (command === undefined) return;
      again(command);
      const fixture = new Fixture();
      for (const before of COMMANDS.slice(0, 2)) fixture.apply(before);
      if (fixture.machine.check(command) !== undefined) return;
      fixture.apply(command);
      fixture.machine.checkInvariants();
    },
  },
  {
    name: "proposals and entries",
    seeds: [
      ...COMMANDS.map((command) => encodeProposal({ command, idempotency: IDEMPOTENCY })),
      ...COMMANDS.map((command) =>
        encodeEntry(
          { groupId: 0, machineVersion: 1, clusterTimeMs: 5, wallTimeMs: 6, idempotency: IDEMPOTENCY },
          command,
        ),
      ),
      ...entrySeeds,
    ],
    run: (input) => {
      refusing(() => decodeProposal(input));
      refusing(() => decodeEntry(input));
      refusing(() => readEntry(new ByteReader(input)));
    },
  },
  {
    name: "outcomes and members",
    seeds: [...outcomes().map(encodeOutcome), encodeMember(memberOf(1))],
    run: (input) => {
      refusing(() => decodeOutcome(input));
      refusing(() => decodeMember(input));
    },
  },
  {
    name: "handshakes",
    seeds: [
      encodeHello({
        protocolVersion: 2,
        minimumVersion: 1,
        groupId: 0,
        clusterId: A,
        from: { id: A, name: "m1" },
        to: { id: B, name: "m2" },
        kind: "session",
        tokenHash: HASH,
        foundingListHash: HASH,
      }),
      encodeHelloAnswer({
        type: "accepted",
        protocolVersion: 1,
        clusterId: A,
        member: { id: A, name: "m1" },
        adopted: true,
      }),
      encodeHelloAnswer({ type: "refused", reason: "no" }),
      encodeHelloAnswer({
        type: "probed",
        reply: {
          state: "member",
          memberId: A,
          memberName: "m1",
          clusterId: A,
          formerId: "",
          members: [{ id: A, name: "m1", joined: true }],
          reason: "",
        },
      }),
    ],
    run: (input) => {
      refusing(() => decodeHello(input));
      refusing(() => decodeHelloAnswer(input));
    },
  },
  {
    name: "snapshots",
    seeds: [snapshotStream()],
    run: (input) => {
      const decoder = new SnapshotDecoder();
      const middle = Math.floor(input.length / 2);
      refusing(() => [...decoder.push(input.subarray(0, middle)), ...decoder.push(input.subarray(middle))]);
      refusing(() => decoder.finish());
    },
  },
];
