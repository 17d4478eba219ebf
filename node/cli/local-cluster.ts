import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConcordError } from "../client/errors.ts";

export interface LocalMember {
  readonly name: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
}

/** Distance between the ports of two members: 2379, 12379, 22379, … */
const PORT_STEP = 10_000;
const MEMBERS_MAX = 6;

/** Where the members of a local cluster listen and keep their data. */
export function localMembers(options: {
  readonly directory: string;
  readonly members: number;
  readonly port: number;
}): LocalMember[] {
  const { directory, members, port } = options;
  if (!Number.isInteger(members) || members < 1 || members > MEMBERS_MAX)
    throw new ConcordError(
      "CONCORD_USAGE",
      `--members is ${members}, expected a whole number from 1 to ${MEMBERS_MAX}`,
    );
  if (!Number.isInteger(port) || port < 1 || port + 1 + (members - 1) * PORT_STEP > 65_535)
    throw new ConcordError(
      "CONCORD_USAGE",
      `--port is ${port}, expected a port that leaves room for ${members} members`,
    );
  return Array.from({ length: members }, (_, position) => {
    const name = `n${position + 1}`;
    const client = port + position * PORT_STEP;
    return {
      name,
      dataDir: join(directory, name),
      logFile: join(directory, `${name}.log`),
      clientUrl: `http://127.0.0.1:${client}`,
      peerUrl: `http://127.0.0.1:${client + 1}`,
    };
  });
}

/** The arguments with which etcd's flags start one of the members. */
export function memberArguments(member: LocalMember, all: readonly LocalMember[]): string[] {
  return [
    "node",
    `--name=${member.name}`,
    `--data-dir=${member.dataDir}`,
    `--listen-client-urls=${member.clientUrl}`,
    `--advertise-client-urls=${member.clientUrl}`,
    `--listen-peer-urls=${member.peerUrl}`,
    `--initial-advertise-peer-urls=${member.peerUrl}`,
    `--initial-cluster=${all.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",")}`,
    "--initial-cluster-token=concord-local",
  ];
}

/** Starts one member as a process of its own; its output goes to its log file. */
export function startMember(member: LocalMember, all: readonly LocalMember[]): ChildProcess {
  mkdirSync(member.dataDir, { recursive: true, mode: 0o700 });
  const log = openSync(member.logFile, "a");
  const launcher = fileURLToPath(new URL("./concord.js", import.meta.url));
  const child = spawn(process.execPath, ["--max-semi-space-size=16", launcher, ...memberArguments(member, all)], {
    stdio: ["ignore", log, log],
    env: { UV_THREADPOOL_SIZE: "16", ...process.env },
  });
  closeSync(log);
  return child;
}

/** Rejects when somebody else listens on one of the ports already. */
export async function requireFreePorts(members: readonly LocalMember[]): Promise<void> {
  for (const url of members.flatMap(({ clientUrl, peerUrl }) => [clientUrl, peerUrl])) {
    const { hostname, port } = new URL(url);
    await new Promise<void>((resolve, reject) => {
      const server = createServer();
      server.once("error", () =>
        reject(new ConcordError("CONCORD_USAGE", `Port ${port} is taken; choose another one with --port`)),
      );
      server.listen(Number(port), hostname, () => server.close(() => resolve()));
    });
  }
}
