import { type Step } from "../comparison.ts";

/** Members, endpoints and maintenance. */
export const ENDPOINTS: readonly (Step | string)[] = [
  { line: "endpoint health --endpoints={endpoints}", sorted: true },
  { line: "endpoint health --cluster", sorted: true },
  "endpoint health -w json",
  "endpoint health -w table",
  "endpoint health -w fields",
  { line: "endpoint health --endpoints={n1.client},http://127.0.0.1:1 --command-timeout=1s", sorted: true },
  { line: "endpoint status --endpoints={endpoints} -w json" },
  "endpoint status --cluster -w json",
  "endpoint status -w fields",
  "endpoint status",
  "endpoint status -w table",
  "endpoint hashkv",
  "endpoint hashkv --endpoints={endpoints} -w json",
  "endpoint hashkv --rev={rev} -w fields",
  "endpoint hashkv --rev={rev+1000}",
  "endpoint hashkv --rev=1",
  "endpoint nonsense",
];

export const MAINTENANCE: readonly (Step | string)[] = [
  "alarm list",
  "alarm list -w json",
  "alarm disarm",
  "alarm disarm -w json",
  "defrag",
  { line: "defrag --cluster", sorted: true },
  "defrag --endpoints=http://127.0.0.1:1 --command-timeout=1s",
  "version",
  "downgrade validate 3.5",
  "downgrade validate 9.9.9",
  "downgrade validate nonsense",
  "downgrade cancel",
  "downgrade enable 9.9",
];

export const MEMBERS: readonly (Step | string)[] = [
  { line: "member list", sorted: true },
  { line: "member list -w table", sorted: true },
  "member list -w json",
  "member list -w json --consistency=s",
  "member list --consistency=x",
  "member update {n1} --peer-urls=nonsense",
  "member update xyz --peer-urls=http://127.0.0.1:1",
  "member update {n1}",
  "member add n4 --peer-urls={n1.peer} --learner",
  "member add n4 --peer-urls=nonsense --learner",
  "member add n4 --peer-urls=http://127.0.0.1:1/path --learner",
  "member add n4 --learner",
  "member add",
  "member promote {n1}",
  "member promote 1234",
  "member promote xyz",
  "member remove 1234",
  "member remove xyz",
  "member remove",
];

export const LEADERSHIP: readonly (Step | string)[] = [
  "move-leader {n2} --endpoints={endpoints}",
  "move-leader {n2} --endpoints={endpoints}",
  "move-leader {n1} --endpoints={n2.client}",
  "move-leader {n1} --endpoints={n2.client}",
  "move-leader 1234 --endpoints={endpoints}",
  "move-leader xyz --endpoints={endpoints}",
  "move-leader",
];
