import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { fileURLToPath } from "node:url";
import { kubectl, run, until } from "./kubectl.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const RELEASE = "concord-operator";
export const OPERATOR_NAMESPACE = "concord-system";

/** The image under test, as `repository:tag`. */
export function imageUnderTest(): string {
  const image = process.env["CONCORD_IMAGE"];
  if (image === undefined || image === "") throw new Error("Set CONCORD_IMAGE to the image to test, as repository:tag");
  return image;
}

export interface InstalledOperator {
  uninstall(): Promise<void>;
}

/**
 * Installs the operator with its chart. CONCORD_E2E_OPERATOR=process runs it from the sources here instead, against the
 * same KUBECONFIG: quicker while developing, where pods are reachable from this machine.
 */
export async function installOperator(): Promise<InstalledOperator> {
  return process.env["CONCORD_E2E_OPERATOR"] === "process" ? runHere() : helmInstall();
}

async function helmInstall(): Promise<InstalledOperator> {
  const image = imageUnderTest();
  const colon = image.lastIndexOf(":");
  await run(
    "helm",
    [
      ...["upgrade", "--install", RELEASE, `${root}charts/concord-operator`],
      ...["--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--take-ownership", "--wait", "--timeout", "120s"],
      ...["--set", `image.repository=${image.slice(0, colon)}`, "--set-string", `image.tag=${image.slice(colon + 1)}`],
      ...["--set", "image.pullPolicy=IfNotPresent"],
    ],
    { timeoutMs: 150_000 },
  );
  return {
    uninstall: async () => {
      await run("helm", ["uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait"]);
    },
  };
}

async function runHere(): Promise<InstalledOperator> {
  await kubectl("apply", "--server-side", "--force-conflicts", "-f", `${root}crds`);
  const log = createWriteStream(process.env["CONCORD_E2E_OPERATOR_LOG"] ?? "/dev/null");
  let child: ChildProcess;
  let stopping = false;
  // As a Deployment does: an operator that lost its lease ends and comes again.
  const start = (): void => {
    child = spawn(
      process.execPath,
      [
        `${root}operator/main.ts`,
        ...["--image", imageUnderTest(), "--metrics-address", "127.0.0.1:0", "--log-level", "debug"],
        ...["--leader-election-namespace", "default"],
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    child.stdout?.pipe(log, { end: false });
    child.once("exit", () => {
      if (!stopping) setTimeout(start, 1000);
    });
  };
  start();
  await until("the operator's lease", 30_000, async () => {
    const holder = await kubectl("-n", "default", "get", "lease", RELEASE, "-o", "jsonpath={.spec.holderIdentity}");
    return holder !== "";
  });
  return {
    uninstall: async () => {
      stopping = true;
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
      log.end();
    },
  };
}
