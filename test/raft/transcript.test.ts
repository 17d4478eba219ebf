import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { replay } from "./transcript.ts";

const FOLDER = new URL(".", import.meta.url);
const UPDATE = process.env["UPDATE_TRANSCRIPTS"] === "1";

describe("transcripts: command in, exact log out", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".txt"));
  test.each(files)("%s", (name) => {
    const file = new URL(name, FOLDER);
    const wanted = readFileSync(file, "utf8");
    const found = replay(wanted);
    if (UPDATE) writeFileSync(file, found);
    else expect(found).toBe(wanted);
  });
});
