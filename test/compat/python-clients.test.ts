import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { runWithKills } from "./kills.ts";

// Clients of the JSON gateway, from an environment that is made once for each list of requirements.

const SOURCES = fileURLToPath(new URL("./python", import.meta.url));
const REQUIREMENTS = join(SOURCES, "requirements.txt");
const digest = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex").slice(0, 16);
const ENVIRONMENT = fileURLToPath(
  new URL(`../../node_modules/.cache/concord-compat/python-${digest}`, import.meta.url),
);
const PYTHON = join(ENVIRONMENT, "bin", "python");
const COMPLETE = join(ENVIRONMENT, "complete");

beforeAll(() => {
  if (existsSync(COMPLETE)) return;
  rmSync(ENVIRONMENT, { recursive: true, force: true });
  execFileSync("python3", ["-m", "venv", ENVIRONMENT], { stdio: "inherit" });
  execFileSync(PYTHON, ["-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], { stdio: "inherit" });
  writeFileSync(COMPLETE, "");
}, 300_000);

test.each([
  ["etcd3gw, OpenStack's client", "gateway_client.py", 4],
  ["Patroni's DCS class", "patroni_dcs.py", 6],
])("%s works through a kill of the leader", async (_name, program, checks) => {
  const { output, status } = await runWithKills(PYTHON, (endpoints) => [join(SOURCES, program), ...endpoints]);
  console.log(output.join("\n"));
  expect(output.filter((line) => line.startsWith("ok"))).toHaveLength(checks);
  expect(status).toBe(0);
});
