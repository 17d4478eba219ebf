import { type Command } from "commander";
import { type AdminClient } from "../../client/admin-client.ts";
import { type MembersAnswer, type MemberStatus } from "../../client/admin.ts";
import { ConcordError } from "../../client/errors.ts";
import {
  addClientOptions,
  atAnyEndpoint,
  connectionOptions,
  endpointsOf,
  type ClientOptions,
  type CommandIo,
} from "../context.ts";
import { print, table } from "../output.ts";

const load = async (): Promise<typeof AdminClient> => (await import("../../client/admin-client.ts")).AdminClient;

/** `concord status`, and `members list`, `add`, `promote`, `remove`, `transfer-leadership`: they use the admin door. */
export function registerCluster(program: Command, io: CommandIo, setStatus: (status: number) => void): void {
  addClientOptions(program.command("status"), io)
    .description("show what every endpoint says of itself; fails when one does not answer or is not running")
    .option("--cluster", "ask every member of the cluster instead, wherever it was found")
    .action(async (options: ClientOptions & { readonly cluster?: boolean }) => {
      const answers = await allStatuses(options, options.cluster === true ? await clientUrls(options) : undefined);
      print(io, options.output, answers, () => statusTable(answers));
      if (answers.some((answer) => answer.status?.state !== "running")) setStatus(1);
    });

  const members = program.command("members").description("list and change the members of the cluster");

  addClientOptions(members.command("list", { isDefault: true }), io)
    .description("list the members of the cluster")
    .action(async (options: ClientOptions) => {
      const status = await atAnyEndpoint(options, load, (admin) => admin.status());
      print(io, options.output, { members: status.members, leaderId: status.leaderId }, () => memberTable(status));
    });

  addClientOptions(members.command("add <name> <peer-urls>"), io)
    .description("add a member that waits at its peer URLs (url,...) as a learner; promote it when it has caught up")
    .action(async (name: string, peerUrls: string, options: ClientOptions) => {
      const request = { name, peerUrls: peerUrls.split(",") };
      await change(options, io, `${name} is added as a learner`, (admin) => admin.addLearner(request));
    });

  addClientOptions(members.command("promote <member>"), io)
    .description("give a learner (its id or name) a vote")
    .action((member: string, options: ClientOptions) =>
      change(options, io, `${member} has a vote`, async (admin) =>
        admin.promote(memberId(await admin.status(), member)),
      ),
    );

  addClientOptions(members.command("remove <member>"), io)
    .description("take a member (its id or name) out of the cluster")
    .action((member: string, options: ClientOptions) =>
      change(options, io, `${member} is removed`, async (admin) =>
        admin.remove(memberId(await admin.status(), member)),
      ),
    );

  addClientOptions(members.command("transfer-leadership [member]"), io)
    .description("hand leadership to a member (its id or name), or to the one that is furthest")
    .action(async (member: string | undefined, options: ClientOptions) => {
      const answer = await atAnyEndpoint(options, load, async (admin) =>
        admin.transfer(member === undefined ? "" : memberId(await admin.status(), member)),
      );
      print(io, options.output, answer, () => `OK, leader is ${answer.leaderId}\n`);
    });
}

async function change(
  options: ClientOptions,
  io: CommandIo,
  done: string,
  use: (admin: AdminClient) => Promise<MembersAnswer>,
): Promise<void> {
  const answer = await atAnyEndpoint(options, load, use);
  print(io, options.output, answer, () => `OK, ${done}; ${answer.members.length} members\n`);
}

/** The first client URL of every member that has told one. */
async function clientUrls(options: ClientOptions): Promise<readonly string[]> {
  const { members } = await atAnyEndpoint(options, load, (admin) => admin.status());
  return members.flatMap((member) => member.clientUrls.slice(0, 1));
}

interface EndpointAnswer {
  readonly endpoint: string;
  readonly status?: MemberStatus;
  readonly error?: { readonly code: string; readonly message: string };
}

async function allStatuses(
  options: ClientOptions,
  endpoints: readonly string[] = endpointsOf(options),
): Promise<readonly EndpointAnswer[]> {
  const connection = connectionOptions(options);
  const Client = await load();
  return Promise.all(
    endpoints.map(async (endpoint): Promise<EndpointAnswer> => {
      const admin = new Client(endpoint, connection);
      try {
        return { endpoint, status: await admin.status() };
      } catch (error) {
        if (!ConcordError.is(error)) throw error;
        return { endpoint, error: { code: error.code, message: error.message } };
      } finally {
        await admin.close();
      }
    }),
  );
}

function statusTable(answers: readonly EndpointAnswer[]): string {
  const head = ["ENDPOINT", "NAME", "STATE", "ROLE", "TERM", "APPLIED", "REVISION", "BYTES", "VERSION", "NOTE"];
  const rows = answers.map(({ endpoint, status, error }) =>
    status === undefined
      ? [endpoint, "-", "-", "-", "-", "-", "-", "-", "-", error?.message ?? ""]
      : [
          endpoint,
          status.name,
          status.state,
          status.role,
          String(status.term),
          `${status.appliedIndex}/${status.commitIndex}`,
          String(status.revision),
          String(status.databaseBytes),
          status.version,
          [status.leaderId === "" ? "no leader" : "", ...status.alarms].filter((note) => note !== "").join(", "),
        ],
  );
  return table([head, ...rows]);
}

function memberTable({ members, leaderId }: MemberStatus): string {
  const rows = members.map((member) => [
    member.id,
    member.name,
    member.id === leaderId ? "leader" : member.learner ? "learner" : "follower",
    member.peerUrls.join(","),
    member.clientUrls.join(","),
  ]);
  return table([["ID", "NAME", "ROLE", "PEER URLS", "CLIENT URLS"], ...rows]);
}

function memberId({ members }: MemberStatus, wanted: string): string {
  const found = members.find((member) => member.id === wanted || member.name === wanted);
  if (found !== undefined) return found.id;
  throw new ConcordError("CONCORD_MEMBER_NOT_FOUND", `"${wanted}" is neither the id nor the name of a member`);
}
