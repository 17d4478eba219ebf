import { expect, test, vi } from "vitest";
import { parseFlags } from "./options.ts";

function refused(argv: string[], env: NodeJS.ProcessEnv = {}): string {
  const written: string[] = [];
  const spy = vi.spyOn(process.stderr, "write").mockImplementation((text) => written.push(String(text)) > 0);
  try {
    expect(parseFlags(argv, env)).toEqual({ type: "exit", code: 64 });
  } finally {
    spy.mockRestore();
  }
  return written.join("");
}

test("without flags it watches all namespaces and elects a leader", () => {
  expect(parseFlags([], {})).toEqual({
    type: "run",
    flags: {
      leaderElection: true,
      leaderElectionName: "concord-operator",
      metricsAddress: ":9568",
      clusterDomain: "cluster.local",
      concurrency: 4,
      kubeQps: 20,
      kubeBurst: 30,
      logLevel: "info",
    },
  });
});

test("a flag wins over its environment variable", () => {
  const env = { CONCORD_OPERATOR_IMAGE: "from/env:1", CONCORD_OPERATOR_WATCH_NAMESPACES: "a, b,a" };
  expect(parseFlags(["--image", "from/flag:2"], env)).toMatchObject({
    flags: { image: "from/flag:2", watchNamespaces: ["a", "b"] },
  });
});

test("leader election is a switch that can be turned off", () => {
  expect(parseFlags(["--leader-election"], {})).toMatchObject({ flags: { leaderElection: true } });
  expect(parseFlags(["--leader-election=false"], {})).toMatchObject({ flags: { leaderElection: false } });
});

test.each([
  [["--kube-qps", "many"], "--kube-qps"],
  [["--watch-namespaces", "Not_a_name"], '"Not_a_name" is not the name of a namespace'],
  [["--metrics-address", "9568"], "host:port"],
  [["--leader-election", "maybe"], '"true" or "false"'],
  [["--unknown"], "--unknown"],
  [["surplus"], "too many arguments"],
])("%j is refused in one sentence that names it", (argv, part) => {
  expect(refused(argv)).toContain(part);
});

test("an environment variable is refused by its name", () => {
  expect(refused([], { CONCORD_OPERATOR_CONCURRENCY: "0" })).toContain('CONCORD_OPERATOR_CONCURRENCY="0"');
});
