import { processIo, runProgram } from "../../node/cli/program.ts";

export interface CommandOptions {
  readonly endpoints?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly stdin?: Uint8Array | undefined;
  readonly interrupted?: AbortSignal | undefined;
  readonly onOut?: ((text: string) => void) | undefined;
}

export interface CommandResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line as the executable does, in this process. */
export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { endpoints, env = {}, stdin = new Uint8Array(0), interrupted = new AbortController().signal } = options;
  let out = "";
  let err = "";
  const status = await runProgram(argv, {
    version: "1.2.3",
    registrations: [],
    io: {
      ...processIo({ ...(endpoints === undefined ? {} : { CONCORD_ENDPOINTS: endpoints }), ...env }),
      stdout(text) {
        out += text;
        options.onOut?.(text);
      },
      stderr: (text) => void (err += text),
      progress: () => undefined,
      readStdin: () => Promise.resolve(stdin),
      interrupted: () => interrupted,
    },
  });
  return { status, out, err };
}
