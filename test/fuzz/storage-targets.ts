import { ByteReader, ByteWriter } from "../../node/codec/bytes.ts";
import { metaValue, pageKey, pageValue, readMetaRow, readPageRow } from "../../node/storage/level/rows.ts";
import { NO_CHECKPOINT } from "../../node/storage/log-state.ts";
import { encodeSegmentHeader, GROUPS_OFFSET, SECTOR_BYTES, segmentName } from "../../node/storage/wal/format.ts";
import { decodeGroupHeader, decodePayload, GroupEncoder } from "../../node/storage/wal/group.ts";
import { type LogRecord, readRecords, writeRecord } from "../../node/storage/wal/record.ts";
import { scanSegment } from "../../node/storage/wal/scan.ts";
import { Fixture, load, pagesOf } from "../model/machine-fixture.ts";
import { COMMANDS } from "./codec-targets.ts";
import { type FuzzTarget, refusing } from "./target.ts";

// What stands on a disk that may have changed it.

const GENERATION = 5;
const IDENTITY = { groupId: 0, clusterId: "00000000000000c1", memberId: "00000000000000a1", memberName: "alpha" };
const RECORDS: readonly LogRecord[] = [
  {
    type: "start",
    previous: { generation: 0, offset: 0 },
    facts: {
      identity: IDENTITY,
      hardState: { term: 1, vote: IDENTITY.memberId, commit: 0 },
      checkpoint: NO_CHECKPOINT,
      lastIndex: 0,
    },
  },
  { type: "hardState", hardState: { term: 2, vote: "", commit: 1 } },
  { type: "entries", entries: [{ type: "normal", index: 1, term: 1, data: new Uint8Array(40).fill(7) }] },
  { type: "seal", next: 6, started: false },
];

function segment(): Uint8Array {
  const bytes = new Uint8Array(GROUPS_OFFSET + 4 * SECTOR_BYTES);
  bytes.set(encodeSegmentHeader({ generation: GENERATION, bytes: bytes.length, identity: IDENTITY }));
  const encoder = new GroupEncoder();
  let offset = GROUPS_OFFSET;
  let previousCrc = 0;
  for (const [at, records] of [RECORDS.slice(0, 1), RECORDS.slice(1, 3)].entries()) {
    const place = { groupId: 0, generation: GENERATION, offset, previousCrc };
    const group = encoder.encode(place, at === 0 ? "start" : "data", 1, records);
    bytes.set(group.bytes, offset);
    offset += group.bytes.length;
    previousCrc = group.crc;
  }
  return bytes;
}

/** A state with every kind of page. */
const { pages, meta } = ((): { pages: ReturnType<typeof pagesOf>; meta: Uint8Array } => {
  const fixture = new Fixture();
  for (const command of COMMANDS.slice(0, -1)) fixture.apply(command);
  const frozen = fixture.machine.freeze({ onlyDirty: false });
  try {
    return { pages: pagesOf(frozen), meta: frozen.meta };
  } finally {
    frozen.close();
  }
})();

const SNAPSHOT = { index: 3, term: 1, configuration: { voters: [IDENTITY.memberId], learners: [] } };

export const STORAGE_TARGETS: readonly FuzzTarget[] = [
  {
    name: "records and segments of the log",
    seeds: [
      segment(),
      ...RECORDS.map((record) => {
        const writer = new ByteWriter();
        writeRecord(writer, record);
        return writer.finish();
      }),
    ],
    run: (input) => {
      refusing(() => readRecords(new ByteReader(input)));
      scanSegment(segmentName(GENERATION), GENERATION, input, { groupId: 0 });
      // A payload that its checksums do not keep from being read.
      const place = { groupId: 0, generation: GENERATION, offset: 0 };
      const group = Buffer.alloc(Math.ceil((input.length + 512) / SECTOR_BYTES) * SECTOR_BYTES);
      const { bytes } = new GroupEncoder().encode({ ...place, previousCrc: 0 }, "data", 1, []);
      const header = decodeGroupHeader(Buffer.concat([bytes, group]), place);
      if (typeof header === "string") throw new Error(header);
      group.set(bytes);
      group.set(input, 64);
      decodePayload(group, 0, { ...header, length: input.length, escaped: (input[0] ?? 0) % 4, end: group.length });
    },
  },
  {
    name: "pages of a state",
    // The first byte says which page it takes the place of.
    seeds: [
      ...pages.map(({ bytes }, at) => Buffer.concat([Buffer.of(at), bytes])),
      Buffer.concat([Buffer.of(255), meta]),
    ],
    run: (input) => {
      const [which = 0] = input;
      const bytes = input.subarray(1);
      if (which >= pages.length) refusing(() => load(pages, bytes));
      else {
        const others = pages.map((page, at) => (at === which ? { ...page, bytes } : page));
        refusing(() => load(others, meta));
      }
    },
  },
  {
    name: "rows of a checkpoint",
    seeds: [
      Buffer.concat([pageKey(3, 1), pageValue(0, pageKey(3, 1), Buffer.from("page")).value]),
      metaValue(0, {
        generation: 1,
        pageCount: 1,
        pageBytes: 4,
        hash: 1n,
        meta: { snapshot: SNAPSHOT, machine: meta },
      }),
    ],
    run: (input) => {
      const keyBytes = pageKey(1, 1).length;
      refusing(() => readPageRow(0, input.subarray(0, keyBytes), input.subarray(keyBytes)));
      refusing(() => readMetaRow(0, input));
    },
  },
];
