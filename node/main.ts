import { registerDev } from "./cli/commands/dev.ts";
import { registerNode } from "./cli/commands/node.ts";
import { processIo, runProgram } from "./cli/program.ts";
import { NodeServer } from "./server.ts";
import { VERSION } from "./version.ts";

/** The `concord` executable, but for `concord operator`. Returns the exit status. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return runProgram(argv, {
    version: VERSION,
    io: processIo(env),
    registrations: [
      registerNode(env, (configuration, logger) => new NodeServer(configuration, logger)),
      registerDev,
      (program) => {
        program.command("operator").description("run the Kubernetes operator (see: concord operator --help)");
      },
    ],
  });
}
