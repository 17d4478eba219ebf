import { describe, expect, it } from "vitest";
import { FRAME_HEADER_BYTES, FrameDecoder, frameHeader } from "./frame.ts";

const GROUP = 3;

function encode(kind: "message" | "ping", ...chunks: Uint8Array[]): Buffer {
  return Buffer.concat([frameHeader(kind, GROUP, chunks), ...chunks]);
}

function decoder(bytesMax = 1024) {
  const frames: string[] = [];
  return {
    frames,
    decoder: new FrameDecoder(GROUP, bytesMax, (kind, payload) =>
      frames.push(`${kind} ${Buffer.from(payload).toString()}`),
    ),
  };
}

describe("frames", () => {
  it("read back at every cut", () => {
    const bytes = Buffer.concat([
      encode("message", Buffer.from("one")),
      encode("ping"),
      encode("message", Buffer.from("t"), Buffer.from("wo")),
    ]);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const reading = decoder();
      reading.decoder.push(bytes.subarray(0, cut));
      reading.decoder.push(bytes.subarray(cut));
      expect(reading.frames).toEqual(["message one", "ping ", "message two"]);
    }
  });

  it("that lie in one piece are not copied", () => {
    const bytes = encode("message", Buffer.from("abc"));
    let seen: Uint8Array | undefined;
    new FrameDecoder(GROUP, 1024, (_, payload) => (seen = payload)).push(bytes);
    expect(seen?.buffer).toBe(bytes.buffer);
    expect(seen?.byteOffset).toBe(bytes.byteOffset + FRAME_HEADER_BYTES);
  });

  it("up to the limit are taken; the limit may be raised between two", () => {
    const reading = decoder(3);
    reading.decoder.push(encode("message", Buffer.from("abc")));
    reading.decoder.bytesMax = 4;
    reading.decoder.push(encode("message", Buffer.from("abcd")));
    expect(reading.frames).toEqual(["message abc", "message abcd"]);
    expect(() => reading.decoder.push(encode("message", Buffer.from("abcde")))).toThrow(
      "Frame of 5 bytes, at most 4 are allowed",
    );
  });

  it.each([
    [4, 9, "Frame has format version 9, wanted 1"],
    [5, 5, "Frame has the unknown kind 5"],
    [6, 1, "Frame has the unknown kind 0"],
    [8, 4, "Frame is of group 4, wanted 3"],
    [3, 1, "Frame of 16777219 bytes, at most 1024 are allowed"],
    [12, 0, /Frame has checksum \d+, its header says \d+/],
    [16, 0, /Frame has checksum \d+, its header says \d+/],
  ])("with byte %i set to %i are refused", (at, value, message) => {
    const bytes = encode("message", Buffer.from("abc"));
    bytes[at] = value;
    expect(() => decoder().decoder.push(bytes)).toThrow(message);
  });
});
