import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type LocalMember, memberArguments } from "../../node/cli/local-cluster.ts";
import { ProcessCluster } from "../chaos/cluster.ts";
import { freePort } from "../support/free-port.ts";
import { etcdBinary } from "./binaries.ts";
import { type CommandResult, runCommand } from "./command.ts";

const LAUNCHER = fileURLToPath(new URL("../../node/cli/concord.js", import.meta.url));
const WAIT = { timeout: 60_000, interval: 100 };

let cluster: ProcessCluster;
let running: ChildProcess | undefined;

beforeAll(async () => {
  cluster = await ProcessCluster.start();
  await cluster.healthy();
});

afterAll(async () => {
  running?.kill("SIGKILL");
  await cluster.stop();
});

const etcdctl = async (...args: string[]): Promise<CommandResult> =>
  runCommand(etcdBinary("etcdctl"), [`--endpoints=${cluster.endpoints.join(",")}`, ...args]);

/** Until the command goes well. */
async function succeeds(...args: string[]): Promise<string> {
  return vi.waitFor(async () => {
    const { status, stdout, stderr } = await etcdctl(...args);
    expect(status, stderr).toBe(0);
    return stdout.toString();
  }, WAIT);
}

/** As `member add` says a new member is to be started; it waits until it is added. */
function startAdded(member: LocalMember): ChildProcess {
  const log = openSync(member.logFile, "a");
  const flags = [...memberArguments(member, [...cluster.members, member]), "--initial-cluster-state=existing"];
  const child = spawn(process.execPath, [LAUNCHER, ...flags], { stdio: ["ignore", log, log] });
  closeSync(log);
  return child;
}

async function url(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`;
}

test("etcdctl adds a waiting member, promotes it, moves it to another address and removes it", async () => {
  const { directory } = cluster;
  const files = { name: "n4", dataDir: `${directory}/n4`, logFile: `${directory}/n4.log` };
  const member = { ...files, clientUrl: await url(), peerUrl: await url() };
  running = startAdded(member);
  const added = await succeeds("member", "add", "n4", "--learner", `--peer-urls=${member.peerUrl}`);
  const id = /^Member +([0-9a-f]+) added as learner to cluster/.exec(added)?.[1] ?? "";
  expect(added).toContain('ETCD_INITIAL_CLUSTER_STATE="existing"');
  expect(await succeeds("member", "promote", id)).toMatch(new RegExp(`^Member +${id} promoted in cluster`));
  await vi.waitFor(async () => {
    const list = await succeeds("member", "list");
    expect(list).toContain(`${id}, started, n4, ${member.peerUrl}, ${member.clientUrl}, false`);
  }, WAIT);

  const moved = { ...member, peerUrl: await url() };
  expect(await succeeds("member", "update", id, `--peer-urls=${moved.peerUrl}`)).toMatch(/^Member +\w+ updated in/);
  expect(await succeeds("member", "list")).toContain(`${id}, started, n4, ${moved.peerUrl}`);
  const left = once(running, "exit");
  running.kill("SIGTERM");
  await left;
  running = startAdded(moved);
  await succeeds("endpoint", "health", `--endpoints=${moved.clientUrl}`);
  expect(await succeeds("member", "list")).toContain(`${id}, started, n4, ${moved.peerUrl}`);

  const gone = once(running, "exit");
  expect(await succeeds("member", "remove", id)).toMatch(new RegExp(`^Member +${id} removed from cluster`));
  expect(await gone).toEqual([0, null]);
  expect((await etcdctl("member", "list")).stdout.toString()).not.toContain("n4");
});
