import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

export interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Runs a program; its standard output. @throws Error with the output of a program that failed */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const child = execute(program, [...args], { maxBuffer: OUTPUT_BYTES_MAX, timeout: options.timeoutMs ?? 120_000 });
  child.child.stdin?.end(options.input ?? "");
  try {
    return (await child).stdout;
  } catch (cause) {
    const { stdout = "", stderr = "" } = cause as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(" ")} failed: ${stdout}${stderr}`, { cause });
  }
}

export function kubectl(...args: string[]): Promise<string> {
  return run("kubectl", args);
}

export async function apply(...objects: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
  await run("kubectl", ["apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "-f", "-"], { input });
}

/** A Kubernetes object as these tests read it. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation?: number;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly uid: string }[];
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/** @returns undefined when there is none */
export async function get<T extends KubeObject = KubeObject>(
  namespace: string,
  kind: string,
  name: string,
): Promise<T | undefined> {
  const text = await kubectl("-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found");
  return text.trim() === "" ? undefined : (JSON.parse(text) as T);
}

export async function list<T extends KubeObject = KubeObject>(
  namespace: string,
  kind: string,
  selector = "",
): Promise<readonly T[]> {
  const filter = selector === "" ? [] : ["-l", selector];
  const text = await kubectl("-n", namespace, "get", kind, ...filter, "-o", "json");
  return (JSON.parse(text) as { items: T[] }).items;
}

/** Asks again until the answer is not undefined or false. @throws Error that names what was waited for */
export async function until<T>(
  what: string,
  timeoutMs: number,
  ask: () => Promise<T | undefined | false>,
  everyMs = 500,
): Promise<T> {
  const deadlineMs = Date.now() + timeoutMs;
  let problem: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    if (Date.now() > deadlineMs) throw new Error(`Waited ${timeoutMs} ms in vain for: ${what}`, { cause: problem });
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
