#!/usr/bin/env node
// The one executable. Concord wants Node.js 24; started on an older one, it hands over to the Node.js 24 that
// `npm install` put beside it. A checkout runs its sources as they are, an installed package its build.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { fileURLToPath } from "node:url";

const NODE_MAJOR = 24;
const file = (path) => fileURLToPath(new URL(path, import.meta.url));

if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR) await handOver();
else await run();

async function run() {
  nodeModule.enableCompileCache();
  const sources = existsSync(file("../main.ts"));
  const program = process.argv[2] === "operator" ? "operator/main" : "node/main";
  const entry = sources
    ? new URL(`../../${program}.ts`, import.meta.url)
    : new URL(`../../dist/${program}.js`, import.meta.url);
  const { main } = await import(entry.href);
  process.exitCode = await main(process.argv.slice(2), process.env);
}

async function handOver() {
  const node = ["../../node_modules/node/bin/node", "../../../node/bin/node"]
    .map(file)
    .find((path) => existsSync(path));
  if (node === undefined) {
    process.stderr.write(`Concord needs Node.js ${NODE_MAJOR} or newer, this is ${process.version}\n`);
    process.exitCode = 69;
    return;
  }
  const child = spawn(node, ["--max-semi-space-size=16", file("./concord.js"), ...process.argv.slice(2)], {
    stdio: "inherit",
    env: { UV_THREADPOOL_SIZE: "16", ...process.env },
  });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  // A terminal sends SIGINT to both processes; what is passed on twice does no harm.
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  const [code, signal] = await new Promise((resolve) => child.on("exit", (...ended) => resolve(ended)));
  process.exitCode = code ?? 128 + (signal === "SIGKILL" ? 9 : 15);
}
