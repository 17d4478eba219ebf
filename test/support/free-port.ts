import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * Below the ports that systems give to connections by themselves (from 32 768 on Linux, 49 152 elsewhere), and above
 * those that the tests of local clusters count up from: nobody takes one between the look and its use by chance.
 */
const FIRST = 13_000;
const LAST = 32_000;
const given = new Set<number>();

/** A port of loopback that nobody listens on, for a server whose address must be known before it is started. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, LAST);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
