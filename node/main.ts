import { registerDev } from "./cli/commands/dev.ts";
import { registerNode } from "./cli/commands/node.ts";
import { processIo, type Registration, runProgram } from "./cli/program.ts";
import { VERSION } from "./version.ts";

/** The `concord` executable, but for `concord operator`. Returns the exit status. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return runProgram(argv, { version: VERSION, io: processIo(env), registrations: processCommands(env) });
}

/** The commands that are programs of their own. */
export function processCommands(env: NodeJS.ProcessEnv): readonly Registration[] {
  return [
    // Loaded for a member alone: every other command begins sooner without it.
    registerNode(env, async (configuration, logger) => {
      const { NodeServer } = await import("./server.ts");
      return new NodeServer(configuration, logger);
    }),
    registerDev,
    (program) => {
      program.command("operator").description("run the Kubernetes operator (see: concord operator --help)");
    },
  ];
}
