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

  test("a member gets other peer URLs, and keeps its name and client URLs", async () => {
    await etcd.call("Cluster", "MemberUpdate", { ID: 161, peerURLs: ["http://127.0.0.1:2390"] });
    const { members } = await etcd.call("Cluster", "MemberList", {});
    const member = { ID: "161", name: "a", peerURLs: ["http://127.0.0.1:2390"], clientURLs: ["http://127.0.0.1:2379"] };
    expect(members).toMatchObject([member]);
    expect(await etcd.call("Cluster", "MemberUpdate", { ID: 161, peerURLs: member.peerURLs })).toMatchObject({
      members,
    });
  });

  test.each<[string, number, readonly string[], number, string]>([
    ["without one", 161, [], 3, "etcdserver: given member URLs are invalid"],
    ["that is none", 161, ["127.0.0.1:1"], 3, "etcdserver: given member URLs are invalid"],
    ["of another member", 161, ["http://127.0.0.1:2390"], 9, "etcdserver: Peer URLs already exists"],
    [
      "before it has told its own",
      178,
      ["http://127.0.0.1:1"],
      9,
      "etcdserver: another membership change is in progress",
    ],
  ])("a member gets no peer URL %s", async (_name, ID, peerURLs, code, details) => {
    await add(["http://127.0.0.1:2390"]);
    await expect(etcd.call("Cluster", "MemberUpdate", { ID, peerURLs })).rejects.toMatchObject({ code, details });
  });

  test("answers are of no revision, as etcd's are", async () => {
    expect((await etcd.call("Cluster", "MemberList", {})).header).toMatchObject({ member_id: "161", revision: "0" });
  });

  test("a member that is not there is neither promoted, updated nor removed", async () => {
    for (const method of ["MemberPromote", "MemberUpdate", "MemberRemove"])
      for (const ID of [0, 5])
        await expect(etcd.call("Cluster", method, { ID, peerURLs: ["http://127.0.0.1:1"] })).rejects.toMatchObject({
          code: 5,
          details: "etcdserver: member not found",
        });
  });
});
