import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Border, type Load, type LoadResult, runLoad } from "./load.ts";

type Report = Border | { readonly type: "result"; readonly result: LoadResult };

/** Runs a load in a process of its own, so that neither side's work waits for the other's. */
export async function generate(
  load: Load,
  onBorder: (border: Border, generatorPid: number) => void = () => undefined,
): Promise<LoadResult> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(load)], { execArgv: [] });
  return new Promise<LoadResult>((resolve, reject) => {
    let result: LoadResult | undefined;
    child.on("message", (report: Report) => {
      if (report.type === "result") result = report.result;
      else onBorder(report, child.pid ?? 0);
    });
    child.once("error", reject);
    child.once("exit", (code) => {
      if (result === undefined) reject(new Error(`The load generator ended with status ${code} and no result`));
      else resolve(result);
    });
  });
}

if (import.meta.main) {
  const report = (message: Report): void => void process.send?.(message);
  const load = JSON.parse(process.argv[2] ?? "") as Load;
  report({ type: "result", result: await runLoad(load, report) });
  process.disconnect();
}
