import { type ChildProcess } from "node:child_process";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { type Command } from "commander";
import { ConcordError } from "../../client/errors.ts";
import { type LocalMember, localMembers, requireFreePorts, startMember } from "../local-cluster.ts";

const READY_TIMEOUT_MS = 60_000;
const LOOK_PERIOD_MS = 100;
/** After that a member that does not end is killed. */
const STOP_TIMEOUT_MS = 10_000;

/** `concord dev`: a cluster of processes on this machine, with its data on disk. */
export function registerDev(program: Command, setStatus: (status: number) => void): void {
  program
    .command("dev")
    .description("run a three-member cluster on this machine, data on disk, until Ctrl-C")
    .option("--directory <path>", "directory of the members' data and logs", ".concord")
    .option("--members <number>", "how many members", "3")
    .option("--port <port>", "client port of the first member; the others follow in steps of 10000", "2379")
    .action(async (options: { directory: string; members: string; port: string }) => {
      setStatus(await runDev(options));
    });
}

async function runDev(options: { directory: string; members: string; port: string }): Promise<number> {
  const directory = resolve(options.directory);
  const members = localMembers({ directory, members: Number(options.members), port: Number(options.port) });
  await requireFreePorts(members);
  mkdirSync(directory, { recursive: true });
  const processes = members.map((member) => startMember(member, members));
  const ended = Promise.all(processes.map(async (child) => exitOf(child)));
  const stop = (): void => {
    for (const child of processes) child.kill("SIGTERM");
    setTimeout(() => {
      for (const child of processes) child.kill("SIGKILL");
    }, STOP_TIMEOUT_MS).unref();
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  const failed = watchForFailure(members, processes, stop);
  await Promise.race([ready(members), ended]);
  if (failed.member === undefined && processes.some((child) => child.exitCode === null)) announce(members, directory);
  await ended;
  if (failed.member === undefined) return 0;
  process.stderr.write(`Member ${failed.member.name} ended; its log is ${failed.member.logFile}\n`);
  return 1;
}

function watchForFailure(
  members: readonly LocalMember[],
  processes: readonly ChildProcess[],
  stop: () => void,
): { member: LocalMember | undefined } {
  const failed: { member: LocalMember | undefined } = { member: undefined };
  for (const [position, child] of processes.entries()) {
    child.once("exit", (code) => {
      if (code === 0 || failed.member !== undefined || child.killed) return;
      failed.member = members[position];
      stop();
    });
  }
  return failed;
}

async function exitOf(child: ChildProcess): Promise<void> {
  await new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
}

async function ready(members: readonly LocalMember[]): Promise<void> {
  // Loaded here: the command line is the same for a member, which never needs it.
  const { request } = await import("undici");
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (const { name, clientUrl, logFile } of members) {
    for (;;) {
      const answered = await request(`${clientUrl}/readyz`).then(
        async ({ statusCode, body }) => {
          await body.dump();
          return statusCode === 200;
        },
        () => false,
      );
      if (answered) break;
      if (Date.now() > deadline)
        throw new ConcordError("CONCORD_TIMEOUT", `Member ${name} is not ready; its log is ${logFile}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_PERIOD_MS));
    }
  }
}

function announce(members: readonly LocalMember[], directory: string): void {
  const endpoints = members.map(({ clientUrl }) => clientUrl).join(",");
  const first = members[0]?.clientUrl ?? "";
  process.stdout.write(
    [
      `A cluster of ${members.length} is ready. Data and logs: ${directory}`,
      "",
      `  endpoints   ${endpoints}`,
      "",
      "Try it in another terminal:",
      "",
      `  npx concord put greeting "Hello, Concord" --endpoints ${endpoints}`,
      `  npx concord get greeting --endpoints ${endpoints}`,
      `  etcdctl --endpoints ${endpoints} get greeting`,
      `  curl ${first}/api/v1/kv/greeting`,
      "",
      "Ctrl-C stops it.",
      "",
    ].join("\n"),
  );
}
