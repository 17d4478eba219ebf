import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { freePort } from "../support/free-port.ts";

/**
 * Holds a member to its own OpenAPI document: schemathesis reads it from a member that runs alone, sends what it describes
 * and what it forbids to every operation, and judges every answer. `npm run contract`.
 */
const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const VENV = join(ROOT, "node_modules/.cache/contract");
const SECONDS = "100";
const START_TIMEOUT_MS = 60_000;

process.exitCode = await main();

async function main(): Promise<number> {
  install();
  const directory = mkdtempSync(join(tmpdir(), "concord-contract-"));
  const url = `http://127.0.0.1:${await freePort()}`;
  const member = startMember(url, directory, `http://127.0.0.1:${await freePort()}`);
  try {
    await ready(url, member);
    const program = join(VENV, "bin/schemathesis");
    const options = ["--config-file", join(HERE, "schemathesis.toml"), "run", `${url}/api/openapi.json`];
    const checks = ["--checks", "all", "--max-time", SECONDS, "--no-color"];
    const env = { ...process.env, PYTHONPATH: HERE, SCHEMATHESIS_HOOKS: "hooks", PYTHONDONTWRITEBYTECODE: "1" };
    const { status } = spawnSync(program, [...options, ...checks], { stdio: "inherit", cwd: directory, env });
    // Whatever was asked of it, it is there, and leads itself.
    await ready(url, member);
    return status ?? 1;
  } finally {
    const ended = once(member, "exit");
    member.kill("SIGTERM");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The versions of requirements.txt, in an environment of their own. */
function install(): void {
  const wanted = readFileSync(join(HERE, "requirements.txt"), "utf8");
  const mark = join(VENV, "requirements.txt");
  if (existsSync(mark) && readFileSync(mark, "utf8") === wanted) return;
  run("python3", ["-m", "venv", "--clear", VENV]);
  run(join(VENV, "bin/pip"), [
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "-r",
    join(HERE, "requirements.txt"),
  ]);
  writeFileSync(mark, wanted);
}

function run(command: string, parameters: readonly string[]): void {
  const { status, error } = spawnSync(command, parameters, { stdio: "inherit" });
  if (status !== 0) throw new Error(`${command} ended with ${status ?? error?.message ?? "a signal"}`);
}

function startMember(clientUrl: string, directory: string, peerUrl: string): ChildProcess {
  const flags = {
    name: "contract",
    "data-dir": join(directory, "data"),
    "listen-client-urls": clientUrl,
    "advertise-client-urls": clientUrl,
    "listen-peer-urls": peerUrl,
    "initial-advertise-peer-urls": peerUrl,
    "initial-cluster": `contract=${peerUrl}`,
    "log-level": "warn",
  };
  const parameters = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  return spawn(process.execPath, [join(ROOT, "node/cli/concord.js"), "node", ...parameters], { stdio: "inherit" });
}

async function ready(url: string, member: ChildProcess): Promise<void> {
  const startedAt = Date.now();
  while (Date.now() - startedAt < START_TIMEOUT_MS) {
    if (member.exitCode !== null) throw new Error(`The member ended with ${member.exitCode}`);
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(100);
  }
  throw new Error("The member is not ready");
}
