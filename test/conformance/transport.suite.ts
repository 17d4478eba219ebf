/** The contract of a transport, run by every implementation of it. */
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  type ProbeAnswer,
  type Transport,
  type TransportHandler,
  type TransportIdentity,
} from "../../node/transport/transport.ts";

/** Makes transports of one kind. */
export interface TransportKind {
  /** @param url Where to listen; undefined: at a place of its own. */
  create(identity: TransportIdentity, url?: string): Transport & { readonly urls: readonly string[] };
}

export const CLUSTER = "00000000000000aa";
export const idOf = (number: number): string => number.toString(16).padStart(16, "0");

export function identity(number: number, fields: Partial<TransportIdentity> = {}): TransportIdentity {
  return {
    groupId: 0,
    clusterId: CLUSTER,
    memberId: idOf(number),
    memberName: `m${number}`,
    token: "token",
    initialCluster: "",
    ...fields,
  };
}

/** A handler that notes what it hears. */
export class Recorder implements TransportHandler {
  readonly frames: string[] = [];
  readonly lost: string[] = [];
  readonly unreachable: string[] = [];
  readonly adoptions: string[] = [];
  readonly removedMembers = new Set<string>();
  removedTimes = 0;
  adopt: (clusterId: string) => boolean = () => false;
  answers: ProbeAnswer["members"] = [];

  onFrame(from: string, payload: Uint8Array): void {
    this.frames.push(`${from}:${Buffer.from(payload).toString()}`);
  }
  onConnectionLost(member: string): void {
    this.lost.push(member);
  }
  onUnreachable(member: string): void {
    this.unreachable.push(member);
  }
  onAdopt(clusterId: string, from: { readonly id: string; readonly name: string }): boolean {
    this.adoptions.push(`${clusterId} ${from.id} ${from.name}`);
    return this.adopt(clusterId);
  }
  onRemoved(): void {
    this.removedTimes += 1;
  }
  members(): ProbeAnswer["members"] {
    return this.answers;
  }
  isRemoved(id: string): boolean {
    return this.removedMembers.has(id);
  }
}

export interface Member {
  readonly transport: Transport;
  readonly recorder: Recorder;
  readonly urls: readonly string[];
  readonly id: string;
  readonly name: string;
}

export const text = (value: string): Uint8Array[] => [Buffer.from(value)];

export const peerOf = (member: Member) => ({ id: member.id, name: member.name, urls: member.urls });

export const probe = (from: Transport, urls: readonly string[]): Promise<ProbeAnswer> =>
  new Promise((resolve, reject) => {
    from.probe(urls, (error, answer) => {
      if (answer === undefined) reject(error ?? new Error("neither error nor answer"));
      else resolve(answer);
    });
  });

export const close = (transport: Transport): Promise<void> => new Promise((resolve) => transport.close(resolve));

export async function startMember(kind: TransportKind, given: TransportIdentity, url?: string): Promise<Member> {
  const transport = kind.create(given, url);
  const recorder = new Recorder();
  await new Promise<void>((resolve, reject) => {
    transport.start(recorder, (error) => (error === undefined ? resolve() : reject(error)));
  });
  return { transport, recorder, urls: transport.urls, id: given.memberId, name: given.memberName };
}

/** Waits until `from` has a connection to `to`: a frame goes through. */
export async function connected(from: Member, to: Member): Promise<void> {
  await vi.waitFor(() => expect(from.transport.send(to.id, text("hi"))).toBe(true), WAIT);
  await vi.waitFor(() => expect(to.recorder.frames).toContain(`${from.id}:hi`), WAIT);
}

export const WAIT = { timeout: 10_000, interval: 5 };

export function transportSuite(title: string, kind: TransportKind): void {
  describe(title, () => {
    const open: Transport[] = [];
    const start = async (given: TransportIdentity, url?: string): Promise<Member> => {
      const member = await startMember(kind, given, url);
      open.push(member.transport);
      return member;
    };
    afterEach(async () => {
      await Promise.all(open.splice(0).map(close));
    });

    /** Several handshakes later a session that was refused would long have been made. */
    const expectNoSession = async (from: Member, to: Member): Promise<void> => {
      for (let round = 0; round < 5; round += 1) {
        await probe(from.transport, to.urls);
        expect(from.transport.send(to.id, text("secret"))).toBe(false);
      }
      expect(to.recorder.frames).toEqual([]);
    };

    describe("frames", () => {
      it("arrive in order, in both directions, as they were when they were sent", async () => {
        const [a, b] = [await start(identity(1)), await start(identity(2))];
        a.transport.setPeers([peerOf(a), peerOf(b)]);
        b.transport.setPeers([peerOf(a), peerOf(b)]);
        await connected(a, b);
        await connected(b, a);
        a.recorder.frames.length = b.recorder.frames.length = 0;
        const wanted = Array.from({ length: 500 }, (_, index) => `frame ${index}`);
        for (const frame of wanted) expect(a.transport.send(b.id, text(frame))).toBe(true);
        expect(b.transport.send(a.id, [Buffer.from("two "), new Uint8Array(), Buffer.from("chunks")])).toBe(true);
        expect(b.transport.send(a.id, [])).toBe(true);
        await vi.waitFor(() => expect(b.recorder.frames).toHaveLength(500), WAIT);
        await vi.waitFor(() => expect(a.recorder.frames).toEqual([`${b.id}:two chunks`, `${b.id}:`]), WAIT);
        expect(b.recorder.frames).toEqual(wanted.map((frame) => `${a.id}:${frame}`));
      });

      it("of several megabytes arrive whole", async () => {
        const [a, b] = [await start(identity(1)), await start(identity(2))];
        a.transport.setPeers([peerOf(b)]);
        await connected(a, b);
        const large = "0123456789abcdef".repeat(1 << 18);
        expect(a.transport.send(b.id, text(large))).toBe(true);
        await vi.waitFor(() => expect(b.recorder.frames).toHaveLength(2), WAIT);
        expect(b.recorder.frames[1] === `${a.id}:${large}`).toBe(true);
      });

      it("to a member that cannot be reached are dropped, and the handler is told once for many", async () => {
        const a = await start(identity(1));
        a.transport.setPeers([{ id: idOf(2), name: "m2", urls: [] }]);
        for (let count = 0; count < 10; count += 1) expect(a.transport.send(idOf(2), text("x"))).toBe(false);
        expect(a.transport.send(idOf(9), text("x"))).toBe(false);
        expect(a.recorder.unreachable).toEqual([]);
        await vi.waitFor(() => expect(a.recorder.unreachable).toEqual([idOf(2), idOf(9)]), WAIT);
      });
    });

    describe("sessions", () => {
      it.each([
        ["of another cluster", { clusterId: "00000000000000bb" }],
        ["of another name", { memberName: "somebody" }],
        ["of another id (its data was lost)", { memberId: idOf(7) }],
      ])("are not made with a member %s", async (_, fields) => {
        const [a, b] = [await start(identity(1)), await start(identity(2, fields))];
        a.transport.setPeers([{ id: idOf(2), name: "m2", urls: b.urls }]);
        await expectNoSession(a, { ...b, id: idOf(2) });
        expect(b.recorder.adoptions).toEqual([]);
      });

      it("end with one notice when the other side closes, and come back when it does", async () => {
        const [a, b] = [await start(identity(1)), await start(identity(2))];
        a.transport.setPeers([peerOf(b)]);
        b.transport.setPeers([peerOf(a)]);
        await connected(a, b);
        await connected(b, a);
        await close(b.transport);
        await vi.waitFor(() => expect(a.recorder.lost).toEqual([b.id]), WAIT);
        expect(b.recorder.lost).toEqual([]);
        expect(a.transport.send(b.id, text("x"))).toBe(false);
        const again = await start(identity(2), b.urls[0]);
        await connected(a, again);
        expect(a.recorder.lost).toEqual([b.id]);
      });

      it("survive that the peers are set again", async () => {
        const [a, b] = [await start(identity(1)), await start(identity(2))];
        a.transport.setPeers([peerOf(b)]);
        await connected(a, b);
        a.transport.setPeers([peerOf(b), { id: idOf(3), name: "m3", urls: [] }]);
        expect(a.transport.send(b.id, text("still"))).toBe(true);
        a.transport.setPeers([]);
        expect(a.transport.send(b.id, text("not"))).toBe(false);
        await vi.waitFor(() => expect(b.recorder.frames).toContain(`${a.id}:still`), WAIT);
      });

      it("are refused to a removed member, which is told so", async () => {
        const [a, b] = [await start(identity(1)), await start(identity(2))];
        a.transport.setPeers([peerOf(b)]);
        b.transport.setPeers([peerOf(a)]);
        await connected(a, b);
        await connected(b, a);
        a.recorder.removedMembers.add(b.id);
        a.transport.setPeers([]);
        await vi.waitFor(() => expect(b.recorder.removedTimes).toBeGreaterThan(0), WAIT);
        expect(a.recorder.removedTimes).toBe(0);
        expect(b.transport.send(a.id, text("x"))).toBe(false);
      });
    });

    describe("a waiting member", () => {
      const waiting = (fields: Partial<TransportIdentity> = {}) => identity(2, { clusterId: "", ...fields });

      it("is adopted by the first member that it takes, and hears it from then on", async () => {
        const [a, b] = [await start(identity(1)), await start(waiting())];
        b.recorder.adopt = (clusterId) => {
          b.transport.setIdentity(waiting({ clusterId }));
          return true;
        };
        a.transport.setPeers([peerOf(b)]);
        await connected(a, b);
        expect(b.recorder.adoptions).toEqual([`${CLUSTER} ${a.id} m1`]);
        expect(await probe(a.transport, b.urls)).toMatchObject({ state: "member", clusterId: CLUSTER });
        // It knows no peers yet, and answers all the same.
        expect(b.transport.send(a.id, text("thanks"))).toBe(true);
        await vi.waitFor(() => expect(a.recorder.frames).toEqual([`${b.id}:thanks`]), WAIT);
      });

      it("may decline", async () => {
        const [a, b] = [await start(identity(1)), await start(waiting())];
        a.transport.setPeers([peerOf(b)]);
        await vi.waitFor(() => expect(b.recorder.adoptions).toContain(`${CLUSTER} ${a.id} m1`), WAIT);
        await expectNoSession(a, b);
      });

      it.each([
        ["with another token", { token: "another" }, {}],
        ["that wants another member", {}, { id: idOf(8) }],
        ["that waits itself", { clusterId: "" }, {}],
      ])("is not even asked by a member %s", async (_, fields, peer) => {
        const [a, b] = [await start(identity(1, fields)), await start(waiting())];
        a.transport.setPeers([{ ...peerOf(b), ...peer }]);
        await expectNoSession(a, { ...b, ...peer });
        expect(b.recorder.adoptions).toEqual([]);
      });
    });

    describe("probes", () => {
      const list = (value: string) => ({ clusterId: "", initialCluster: value });

      it("tell an empty member from one that belongs to a cluster", async () => {
        const [a, b, c] = [
          await start(identity(1, list("l"))),
          await start(identity(2, list("l"))),
          await start(identity(3)),
        ];
        c.recorder.answers = [{ id: idOf(1), name: "m1", joined: false }];
        expect(await probe(a.transport, b.urls)).toEqual({
          state: "empty",
          memberId: b.id,
          memberName: "m2",
          clusterId: "",
          formerId: "",
          members: [],
          reason: "",
        });
        expect(await probe(a.transport, c.urls)).toEqual({
          state: "member",
          memberId: c.id,
          memberName: "m3",
          clusterId: CLUSTER,
          formerId: "",
          members: [{ id: idOf(1), name: "m1", joined: false }],
          reason: "",
        });
        expect(b.recorder.adoptions).toEqual([]);
      });

      it.each([
        ["another token", { ...list("l"), token: "another" }, "cluster token mismatch"],
        ["another founding list", list("other"), "initial cluster mismatch: the founding lists differ"],
      ])("are refused to a member with %s", async (_, fields, reason) => {
        const [a, b] = [await start(identity(1, fields)), await start(identity(2, list("l")))];
        expect(await probe(a.transport, b.urls)).toMatchObject({ state: "refused", reason, memberId: b.id });
      });

      it("of a founded cluster do not compare founding lists", async () => {
        const [a, b] = [await start(identity(1, list("l"))), await start(identity(2, { initialCluster: "other" }))];
        expect(await probe(a.transport, b.urls)).toMatchObject({ state: "member" });
      });

      it("try the URLs in turn, and fail when nobody answers", async () => {
        const [a, b, gone] = [await start(identity(1)), await start(identity(2)), await start(identity(3))];
        await close(gone.transport);
        expect(await probe(a.transport, [...gone.urls, ...b.urls])).toMatchObject({ memberId: b.id });
        await expect(probe(a.transport, gone.urls)).rejects.toThrow(Error);
        await expect(probe(a.transport, [])).rejects.toThrow(Error);
      });
    });

    it("keeps its group and its member id", async () => {
      const a = await start(identity(1));
      expect(() => a.transport.setIdentity(identity(2))).toThrow("keeps its group and its member id");
      expect(() => a.transport.setIdentity(identity(1, { groupId: 1 }))).toThrow("keeps its group and its member id");
    });

    it("does not start where another one listens", async () => {
      const a = await start(identity(1));
      await expect(start(identity(2), a.urls[0])).rejects.toThrow(Error);
    });

    it("says nothing after it was closed", async () => {
      const [a, b] = [await start(identity(1)), await start(identity(2))];
      a.transport.setPeers([peerOf(b)]);
      await connected(a, b);
      a.recorder.unreachable.length = 0;
      await close(a.transport);
      await close(b.transport);
      expect(a.transport.send(b.id, text("x"))).toBe(false);
      await expect(probe(a.transport, b.urls)).rejects.toThrow(Error);
      expect(a.recorder.lost).toEqual([]);
      expect(a.recorder.unreachable).toEqual([]);
    });
  });
}
