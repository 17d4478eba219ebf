import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { etcdClient, type EtcdTestClient, openDoors, type OpenDoors } from "../support/open-doors.ts";

let doors: OpenDoors;
let etcd: EtcdTestClient;

beforeEach(async () => {
  doors = await openDoors();
  etcd = etcdClient(`127.0.0.1:${doors.port}`);
});

afterEach(async () => {
  etcd.close();
  await doors.close();
});

const add = (peerURLs: readonly string[], isLearner = true) =>
  etcd.call("Cluster", "MemberAdd", { peerURLs, isLearner });

describe("Cluster", () => {
  test("a learner is added, promoted and removed", async () => {
    const added = await add(["http://127.0.0.1:2390"]);
    const member = { ID: "178", name: "", peerURLs: ["http://127.0.0.1:2390"], isLearner: true };
    expect(added).toMatchObject({ member, members: [{ ID: "161" }, member] });
    const promoted = await etcd.call("Cluster", "MemberPromote", { ID: 178 });
    expect(promoted.members).toMatchObject([{ ID: "161" }, { ID: "178", isLearner: false }]);
    const removed = await etcd.call("Cluster", "MemberRemove", { ID: 178 });
    expect(removed.members).toMatchObject([{ ID: "161" }]);
  });

  test.each<[string, readonly string[], boolean, number, string]>([
    ["no URL", [], true, 3, "etcdserver: given member URLs are invalid"],
    ["a URL with a path", ["http://127.0.0.1:1/x"], true, 3, "etcdserver: given member URLs are invalid"],
    ["a URL without a scheme", ["127.0.0.1:1"], true, 3, "etcdserver: given member URLs are invalid"],
    ["a URL of a member", ["http://127.0.0.1:2380"], true, 9, "etcdserver: Peer URLs already exists"],
    [
      "a voter",
      ["http://127.0.0.1:1"],
      false,
      3,
      "etcdserver: a member is added as a learner (--learner) and promoted when it is in sync with the leader",
    ],
  ])("%s is not added", async (_name, urls, isLearner, code, details) => {
    await expect(add(urls, isLearner)).rejects.toMatchObject({ code, details });
    expect((await etcd.call("Cluster", "MemberList", {})).members).toHaveLength(1);
  });

  test("a member that is not there is neither promoted nor removed", async () => {
    for (const method of ["MemberPromote", "MemberRemove"])
      for (const ID of [0, 5])
        await expect(etcd.call("Cluster", method, { ID })).rejects.toMatchObject({
          code: 5,
          details: "etcdserver: member not found",
        });
  });
});
