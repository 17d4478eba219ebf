import { readFileSync } from "node:fs";

/** Version of Concord, from its package: beside the sources in a checkout, two folders up in a build. */
export const VERSION: string = versionOf(["../package.json", "../../package.json"]);

function versionOf(candidates: readonly string[]): string {
  for (const candidate of candidates) {
    try {
      const text = readFileSync(new URL(candidate, import.meta.url), "utf8");
      const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown };
      if (name === "concord-kv" && typeof version === "string") return version;
    } catch {
      // The other place has it.
    }
  }
  throw new Error("The package of Concord has no package.json");
}
