import { spawn } from "node:child_process";
import { once } from "node:events";

/** How a program is run. */
export interface CommandOptions {
  readonly stdin?: string;
  /**
   * Ends the program, as control-C does, as soon as its output has this; what comes behind it is left out, as it depends on
   * the moment. Without it the program ends by itself.
   */
  readonly until?: RegExp;
  /** Written to the standard input once the output has `to`. */
  readonly reply?: { readonly to: RegExp; readonly text: string };
  /** Ends the program, as control-C does. */
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  readonly stdout: Buffer;
  readonly stderr: string;
  /** `null` for a program that was ended. */
  readonly status: number | null;
}

const TIMEOUT_MS = 60_000;

/** Runs a program to its end. @throws Error when it takes longer than a minute. */
export async function runCommand(
  path: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"] });
  options.signal?.addEventListener("abort", () => child.kill("SIGINT"));
  const stdout: Buffer[] = [];
  const seen: { until?: string } = {};
  let stderr = "";
  let { reply } = options;
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  child.stdout.on("data", (chunk: Buffer) => {
    stdout.push(chunk);
    const text = Buffer.concat(stdout).toString();
    if (reply?.to.test(text) === true) {
      child.stdin.write(reply.text);
      reply = undefined;
    }
    const match = options.until?.exec(text);
    if (seen.until !== undefined || match === undefined || match === null) return;
    seen.until = text.slice(0, match.index + match[0].length);
    child.kill("SIGINT");
  });
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  // A program may end without having read what is written to it.
  child.stdin.on("error", () => undefined);
  // An interactive program ends with its input, so the input stays open while something is awaited from it.
  if (options.until === undefined) child.stdin.end(options.stdin ?? "");
  else child.stdin.write(options.stdin ?? "");
  const [status, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  const output = seen.until === undefined ? Buffer.concat(stdout) : Buffer.from(seen.until);
  const result = { stdout: output, stderr, status: seen.until === undefined ? status : null };
  if (signal === "SIGKILL" || (options.until !== undefined && seen.until === undefined)) {
    throw new Error(`${path} ${args.join(" ")} did not do what was awaited: ${result.stdout.toString()}${stderr}`);
  }
  return result;
}
