import { type ConfigurationChange, type MemberId, type Message } from "../../node/raft/types.ts";
import { describeEntry, describeMessage, describeReady, describeRole, describeStatus } from "./describe.ts";
import { type Disk, diskOf, encode, Member, type MemberOptions, waitingDisk } from "./member.ts";

interface Envelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly message: Message;
}

/** One command of a transcript: its words, and its `key=value` parts. */
interface Command {
  readonly name: string;
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

const STABILIZE_ROUNDS_MAX = 100;

/** Runs the commands of one transcript on a small cluster. `README.md` beside this file lists them. */
export class Transcript {
  readonly #members = new Map<MemberId, Member>();
  readonly #random = new Map<MemberId, number>();
  #options: MemberOptions = { electionTimeoutTicks: 3, heartbeatTicks: 1 };
  #network: Envelope[] = [];
  #lines: string[] = [];
  #quiet = false;

  /** @returns the exact log of the command */
  run(line: string): string {
    this.#lines = [];
    const command = parseCommand(line);
    this.#execute(command);
    return this.#lines.length === 0 ? "ok" : this.#lines.join("\n");
  }

  // A flat list of commands reads best in one place; each one is a line or two.
  #execute(command: Command): void {
    const { name, words, options } = command;
    const first = words[0] ?? "";
    switch (name) {
      case "options":
        this.#setOptions(options);
        return;
      case "add-nodes":
        this.#addNodes(words, options);
        return;
      case "quiet":
        this.#quiet = first === "on";
        return;
      case "campaign":
        this.#step(first, (member) => member.core.step({ type: "campaign" }));
        return;
      case "propose":
        this.#propose(first, words.slice(1), Number(options.get("size") ?? 0));
        return;
      case "change":
        this.#change(first, words[1] as ConfigurationChange["type"], words[2] ?? "");
        return;
      case "process-ready":
        for (const id of words) this.#processReady(id);
        return;
      case "take-ready":
        this.#takeReady(first);
        return;
      case "persist":
        this.#persist(first, Number(options.get("count") ?? 1));
        return;
      case "deliver":
        for (const id of words) this.#deliver(id, options);
        return;
      case "tick":
        this.#tick(first, Number(words[1] ?? 1));
        return;
      case "stabilize":
        this.#stabilize(words);
        return;
      default:
        this.#executeMore(command);
    }
  }

  #executeMore({ name, words, options }: Command): void {
    const first = words[0] ?? "";
    const second = words[1] ?? "";
    switch (name) {
      case "set-random":
        this.#random.set(first, Number(second));
        return;
      case "checkpoint":
        this.#member(first).checkpoint(words[1] === undefined ? undefined : Number(second));
        return;
      case "restart":
        this.#step(first, (member) => member.restart());
        return;
      case "snapshots":
        this.#member(first).servesSnapshots = second === "on";
        return;
      case "chunk-texts":
        this.#member(first).chunkTexts = Number(second);
        return;
      case "transfer-leadership":
        this.#step(first, (member) => member.core.step({ type: "transferLeadership", to: second }));
        return;
      case "connection-lost": {
        const delayTicks = Number(options.get("delay") ?? 0);
        this.#step(first, (member) => member.core.step({ type: "connectionLost", member: second, delayTicks }));
        return;
      }
      case "unreachable":
        this.#step(first, (member) => member.core.step({ type: "unreachable", member: second }));
        return;
      case "send": {
        this.#sendByHand(words);
        return;
      }
      case "read-index":
        this.#step(first, (member) => member.core.step({ type: "readIndex", context: Number(second) }));
        return;
      case "status":
        for (const id of words) this.#lines.push(...describeStatus(this.#member(id).core));
        return;
      case "state":
        for (const { id, core, texts } of this.#members.values()) {
          const { commit, lastIndex } = core.status();
          this.#lines.push(
            `${id} ${describeRole(core)} commit ${commit} last ${lastIndex} machine [${texts.join(" ")}]`,
          );
        }
        return;
      case "disk":
        for (const id of words) this.#lines.push(...describeDisk(this.#member(id).disk));
        return;
      case "network":
        for (const { from, to, message } of this.#network) this.#lines.push(describeMessage(from, to, message));
        return;
      default:
        throw new Error(`Command is "${name}", wanted one of those in README.md`);
    }
  }

  #member(id: MemberId): Member {
    const member = this.#members.get(id);
    if (member === undefined)
      throw new Error(`Member is "${id}", wanted one of ${[...this.#members.keys()].join(" ")}`);
    return member;
  }

  #setOptions(options: ReadonlyMap<string, string>): void {
    const entries = [...options].map(([key, value]) => [key, value === "true" ? true : Number(value)]);
    this.#options = { ...this.#options, ...(Object.fromEntries(entries) as MemberOptions) };
  }

  /** `add-nodes 1 2 3 voters=1,2,3 learners=4 index=2`, or `add-nodes 4 waiting`. `log=1,1,2`: terms of entries on the disk. */
  #addNodes(words: readonly string[], options: ReadonlyMap<string, string>): void {
    const ids = words.filter((word) => word !== "waiting");
    const members = (key: string): string[] => options.get(key)?.split(",") ?? [];
    const configuration = { voters: options.has("voters") ? members("voters") : ids, learners: members("learners") };
    for (const id of ids) {
      const disk = words.includes("waiting") ? waitingDisk() : diskOf(configuration, Number(options.get("index") ?? 0));
      const terms = members("log").map(Number);
      disk.entries = terms.map((term, i) => ({ type: "normal", index: i + 1, term, data: encode(`${term}`) }));
      const term = Number(options.get("term") ?? terms.at(-1) ?? disk.hardState.term);
      disk.hardState = { term, vote: "", commit: 0 };
      this.#members.set(id, new Member(id, disk, () => this.#random.get(id) ?? 0, this.#options));
    }
  }

  /** Does something to a member and reports a change of role. */
  #step(id: MemberId, action: (member: Member) => void): void {
    const member = this.#member(id);
    const before = describeRole(member.core);
    action(member);
    member.core.checkInvariants();
    const after = describeRole(member.core);
    if (after !== before) this.#lines.push(`${id} becomes ${after}`);
  }

  #propose(id: MemberId, texts: readonly string[], size: number): void {
    const data = size > 0 ? texts.map((text) => text.padEnd(size, ".")) : texts;
    const result = this.#member(id).core.propose(data.map(encode));
    if (!result.ok) this.#lines.push(`refused: ${result.reason}`);
  }

  #change(id: MemberId, type: ConfigurationChange["type"], member: MemberId): void {
    const result = this.#member(id).core.proposeChange({ type, member }, encode(member));
    if (!result.ok) this.#lines.push(`refused: ${result.reason}`);
  }

  #takeReady(id: MemberId): void {
    const member = this.#member(id);
    const before = describeRole(member.core);
    const lines = describeReady(id, member.takeReady());
    this.#report(`${id} ready`, lines);
    const after = describeRole(member.core);
    if (after !== before) this.#lines.push(`${id} becomes ${after}`);
    this.#collect(member);
  }

  #persist(id: MemberId, count: number): void {
    for (let i = 0; i < count; i += 1) this.#step(id, (member) => member.persistNext());
    this.#collect(this.#member(id));
  }

  #processReady(id: MemberId): void {
    this.#takeReady(id);
    const member = this.#member(id);
    while (member.pendingGroups > 0) this.#persist(id, 1);
  }

  #collect(member: Member): void {
    for (const { to, message } of member.outbox.splice(0)) this.#network.push({ from: member.id, to, message });
  }

  /** `deliver 2 from=1 type=appendRequest count=1 drop=true copy=true reverse=true` */
  #deliver(id: MemberId, options: ReadonlyMap<string, string>): void {
    const matches = ({ from, to, message }: Envelope): boolean =>
      to === id && from === (options.get("from") ?? from) && message.type === (options.get("type") ?? message.type);
    const all = this.#network.filter(matches);
    if (options.has("reverse")) all.reverse();
    const chosen = all.slice(0, Number(options.get("count") ?? all.length));
    if (!options.has("copy")) this.#network = this.#network.filter((envelope) => !chosen.includes(envelope));
    for (const { from, to, message } of chosen) {
      const dropped = options.has("drop");
      this.#report(`${describeMessage(from, to, message)}${dropped ? " dropped" : ""}`, []);
      if (!dropped) this.#step(to, (member) => member.core.step({ type: "message", from, message }));
    }
  }

  /** `send 1 2 heartbeat {"term":1,...}`: a message nobody wrote. Delivered at once. */
  #sendByHand([from = "", to = "", type = "", ...json]: readonly string[]): void {
    const fields = JSON.parse(json.join(" "), (key, value: unknown) =>
      key === "data" && typeof value === "string" ? encode(value) : value,
    ) as object;
    const message = { type, ...fields } as Message;
    this.#report(describeMessage(from, to, message), []);
    this.#step(to, (member) => member.core.step({ type: "message", from, message }));
  }

  #tick(id: MemberId, count: number): void {
    for (let i = 0; i < count; i += 1) this.#step(id, (member) => member.core.step({ type: "tick" }));
  }

  /** Processes and delivers among the named members (all, without a name) until nothing moves. */
  #stabilize(words: readonly MemberId[]): void {
    const ids = words.length === 0 ? [...this.#members.keys()] : words;
    for (let round = 0; round < STABILIZE_ROUNDS_MAX; round += 1) {
      const busy = ids.filter((id) => this.#member(id).core.hasReady() || this.#member(id).pendingGroups > 0);
      for (const id of busy) this.#processReady(id);
      const receivers = ids.filter((id) => this.#network.some(({ from, to }) => to === id && ids.includes(from)));
      for (const id of receivers) {
        for (const from of ids) this.#deliver(id, new Map([["from", from]]));
      }
      if (busy.length === 0 && receivers.length === 0) return;
    }
    throw new Error("The cluster does not come to rest");
  }

  #report(head: string, lines: readonly string[]): void {
    if (!this.#quiet) this.#lines.push(head, ...lines.map((line) => `  ${line}`));
  }
}

function describeDisk(disk: Disk): string[] {
  const { hardState, checkpoint, entries } = disk;
  return [
    `term ${hardState.term} vote ${hardState.vote || "-"} commit ${hardState.commit} checkpoint ${checkpoint.meta.term}/${checkpoint.meta.index}`,
    ...entries.map(describeEntry),
  ];
}

function parseCommand(line: string): Command {
  const [name = "", ...parts] = line.split(" ").filter((part) => part !== "");
  const words: string[] = [];
  const options = new Map<string, string>();
  for (const part of parts) {
    const at = part.indexOf("=");
    if (at > 0) options.set(part.slice(0, at), part.slice(at + 1));
    else words.push(part);
  }
  return { name, words, options };
}

/** Runs a whole file and returns it with the logs it should have. */
export function replay(text: string): string {
  const transcript = new Transcript();
  const blocks = text.trimEnd().split(/\n{2,}/);
  const replayed = blocks.map((block) => {
    const lines = block.split("\n");
    const end = lines.indexOf("----");
    const input = end < 0 ? lines : lines.slice(0, end);
    const commands = input.filter((line) => line !== "" && !line.startsWith("#"));
    if (commands.length === 0) return block;
    const log = commands
      .map((line) => transcript.run(line))
      .filter((part, _, all) => part !== "ok" || all.length === 1);
    return [...input, "----", ...(log.length === 0 ? ["ok"] : log)].join("\n");
  });
  return `${replayed.join("\n\n")}\n`;
}
