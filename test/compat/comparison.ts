import { expect } from "vitest";
import { type EtcdServices, loadEtcdServices } from "../../node/api/etcd/definition.ts";
import { type LocalMember } from "../../node/cli/local-cluster.ts";
import { EtcdClient } from "../chaos/etcd-client.ts";
import { type Subject } from "../bench/subjects.ts";
import { etcdBinary } from "./binaries.ts";
import { type CommandOptions, type CommandResult, runCommand } from "./command.ts";
import { normal, type Normal } from "./normal.ts";

/**
 * One command line of etcdctl. `{rev}` stands for the revision that the script began at, `{rev+2}` for a later one,
 * `{lease1}` for the first lease that the script was granted, `{n2}` for the id of a member, `{n2.client}` and `{n2.peer}`
 * for its URLs, `{endpoints}` for all client URLs.
 */
export interface Step {
  readonly line: string;
  readonly stdin?: string;
  readonly until?: RegExp;
  /** Written to the command's standard input once its output has `to`. */
  readonly reply?: NonNullable<CommandOptions["reply"]>;
  /** Run while the command runs. */
  readonly meanwhile?: readonly string[];
  /** Its lines come in no order. */
  readonly sorted?: boolean;
  /** The method whose answer `-w protobuf` prints. */
  readonly prints?: readonly [keyof EtcdServices, string];
  /** Concord says something else on purpose. */
  readonly differs?: { readonly because: string; readonly says: RegExp };
}

const TIMEOUT_MS = 10_000;
const services = loadEtcdServices();

/** A cluster under the same commands as another one. */
export class Side {
  readonly subject: Subject;
  readonly names = new Map<string, string>();
  readonly #values = new Map<string, string>();
  #revision = 0;
  #leases = 0;

  constructor(subject: Subject) {
    this.subject = subject;
  }

  get #first(): LocalMember {
    const [first] = this.subject.members;
    if (first === undefined) throw new Error("A cluster without members");
    return first;
  }

  /** Empties the cluster and learns its ids. */
  async learn(): Promise<void> {
    const { members } = this.subject;
    for (const { name, clientUrl, peerUrl } of members) {
      const { memberId } = await this.#status(clientUrl);
      const hex = BigInt(memberId).toString(16);
      for (const [found, plain] of [
        [memberId, `<${name}>`],
        [hex, `<${name}>`],
        [new URL(clientUrl).host, `<${name} client>`],
        [new URL(peerUrl).host, `<${name} peer>`],
      ] as const)
        this.names.set(found, plain);
      this.#values.set(name, hex).set(`${name}.client`, clientUrl).set(`${name}.peer`, peerUrl);
    }
    await this.etcdctl("del '' --from-key");
    this.#values.set("endpoints", members.map(({ clientUrl }) => clientUrl).join(","));
  }

  /** Begins a script at a revision, with the first member as the leader. */
  async begin(revision: number): Promise<void> {
    if ((await this.subject.leader()) !== new URL(this.#first.clientUrl).host) {
      await this.etcdctl("move-leader {n1} --endpoints={endpoints}");
    }
    this.#revision = revision;
    this.#leases = 0;
  }

  /** Writes what does not stay until the store is at this revision. */
  async advanceTo(revision: number): Promise<void> {
    const client = new EtcdClient(this.#first.clientUrl);
    while (Number(await client.put("!", "", TIMEOUT_MS)) < revision - 1);
    client.close();
    await this.etcdctl("del !");
  }

  async revision(): Promise<number> {
    const client = new EtcdClient(this.#first.clientUrl);
    const revision = Number(await client.put("!", "", TIMEOUT_MS));
    client.close();
    return revision;
  }

  async run(step: Step): Promise<Normal> {
    const others = async (): Promise<void> => {
      for (const line of step.meanwhile ?? []) await this.etcdctl(line);
    };
    const [result] = await Promise.all([this.etcdctl(step.line, step), others()]);
    const granted = /^lease ([0-9a-f]+) granted/.exec(result.stdout.toString())?.[1];
    if (granted !== undefined && step.line.startsWith("lease grant")) this.#granted(granted);
    const { prints } = step;
    return normal(result, this.names, {
      json: / (-w|--write-out)[ =]json/.test(step.line),
      sorted: step.sorted === true,
      decode: prints === undefined ? undefined : (bytes) => services[prints[0]][prints[1]]!.responseDeserialize(bytes),
    });
  }

  async etcdctl(line: string, options: CommandOptions = {}): Promise<CommandResult> {
    const endpoints = line.includes("--endpoints") ? [] : [`--endpoints=${this.#first.clientUrl}`];
    const args = [...words(this.#fill(line)), ...endpoints];
    const separator = args.indexOf("--");
    if (separator >= 0) args.splice(separator, 0, ...args.splice(args.length - endpoints.length));
    const stdin = options.stdin === undefined ? {} : { stdin: this.#fill(options.stdin) };
    return runCommand(etcdBinary("etcdctl"), args, { ...options, ...stdin });
  }

  #granted(id: string): void {
    this.#leases += 1;
    const name = `<lease${this.#leases}>`;
    this.#values.set(`lease${this.#leases}`, id);
    this.names.set(id, name).set(BigInt(`0x${id}`).toString(), name);
  }

  #fill(text: string): string {
    return text.replace(/\{(\w+(?:\.\w+)?)(?:\+(\d+))?\}/g, (all, name: string, more = "0") =>
      name === "rev" ? String(this.#revision + Number(more)) : (this.#values.get(name) ?? all),
    );
  }

  async #status(clientUrl: string) {
    const client = new EtcdClient(clientUrl);
    const status = await client.status(TIMEOUT_MS);
    client.close();
    return status;
  }
}

/** Runs a script against both and compares what every command says. @returns one line for each command */
export async function compare(etcd: Side, concord: Side, script: readonly (Step | string)[]): Promise<Compared[]> {
  const revision = Math.max(await etcd.revision(), await concord.revision()) + 2;
  await Promise.all([etcd.advanceTo(revision), concord.advanceTo(revision)]);
  await Promise.all([etcd.begin(revision), concord.begin(revision)]);
  const compared: Compared[] = [];
  const failures: string[] = [];
  for (const each of script) {
    const step: Step = typeof each === "string" ? { line: each } : each;
    const [wanted, got] = await Promise.all([etcd.run(step), concord.run(step)]);
    compared.push({ line: step.line, differs: step.differs?.because });
    try {
      if (step.differs === undefined) {
        expect(got, step.line).toEqual(wanted);
      } else {
        expect(got, step.line).not.toEqual(wanted);
        expect([...got.stdout, got.stderr].join("\n"), step.line).toMatch(step.differs.says);
      }
    } catch (error) {
      failures.push(`${(error as Error).message}\nconcord ${JSON.stringify(got)}\netcd    ${JSON.stringify(wanted)}`);
    }
  }
  expect(failures.join("\n\n")).toBe("");
  return compared;
}

export interface Compared {
  readonly line: string;
  /** Why Concord is allowed to say something else. */
  readonly differs: string | undefined;
}

/** Words of a command line; quotes keep blanks together. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, plain]) => double ?? single ?? plain ?? "",
  );
}
