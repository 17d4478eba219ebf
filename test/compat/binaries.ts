import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const { CONCORD_ETCD_BIN = "" } = process.env;
// A member takes every variable of this prefix for a setting and refuses those that are none.
delete process.env["CONCORD_ETCD_BIN"];

/**
 * Path of a program of etcd 3.7: in `CONCORD_ETCD_BIN`, then in `PATH`.
 *
 * @throws Error when it is in neither: a comparison that did not take place must not look like one that went well.
 */
export function etcdBinary(name: "etcd" | "etcdctl" | "etcdutl"): string {
  const { PATH = "" } = process.env;
  const directories = [CONCORD_ETCD_BIN, ...PATH.split(delimiter)].filter((each) => each !== "");
  const found = directories.map((each) => join(each, name)).find(isExecutable);
  if (found === undefined) throw new Error(`${name} of etcd 3.7 is neither in CONCORD_ETCD_BIN nor in PATH`);
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
