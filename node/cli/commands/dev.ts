import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { type Command } from "commander";
import { ConcordError } from "../../client/errors.ts";
import { type LocalMember, localMembers, requireFreePorts } from "../local-cluster.ts";
import { LocalSupervisor } from "../local-supervisor.ts";

const READY_TIMEOUT_MS = 60_000;
const LOOK_PERIOD_MS = 100;

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
  const supervisor = new LocalSupervisor(members, (line) => process.stdout.write(`${line}\n`));
  const stop = (): void => supervisor.stop();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  supervisor.start();
  const begun = await Promise.race([ready(members).then(() => true), supervisor.ended.then(() => false)]);
  if (begun) {
    supervisor.begin();
    announce(members, directory);
  }
  await supervisor.ended;
  const { failed } = supervisor;
  if (failed === undefined) return 0;
  process.stderr.write(`Member ${failed.name} ended; its log is ${failed.logFile}\n`);
  return 1;
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
