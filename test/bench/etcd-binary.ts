import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** The etcd to measure beside: as given, of `CONCORD_ETCD_BIN`, or the one on the PATH. Undefined: none, or "none" was given. */
export function etcdBinary(given: string | undefined): string | undefined {
  if (given === "none") return undefined;
  return given ?? process.env["CONCORD_ETCD_BIN"] ?? onPath("etcd");
}

function onPath(program: string): string | undefined {
  const directories = (process.env["PATH"] ?? "").split(delimiter).filter((directory) => directory !== "");
  return directories.map((directory) => join(directory, program)).find((path) => existsSync(path));
}
