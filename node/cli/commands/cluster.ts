import { type Command } from "commander";
import { type AdminClient } from "../../client/admin-client.ts";
import { type MemberStatus } from "../../client/admin.ts";
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

/** `concord status`, `members`, `transfer`: they use the admin door. */
export function registerCluster(program: Command, io: CommandIo, setStatus: (status: number) => void): void {
  addClientOptions(program.command("status"), io)
    .description("show what every endpoint says of itself; fails when one does not answer or is not running")
    .action(async (options: ClientOptions) => {
      const answers = await allStatuses(options);
      print(io, options.output, answers, () => statusTable(answers));
      if (answers.some((answer) => answer.status?.state !== "running")) setStatus(1);
    });

  addClientOptions(program.command("members"), io)
    .description("list the members of the cluster")
    .action(async (options: ClientOptions) => {
      const status = await atAnyEndpoint(options, load, (admin) => admin.status());
      const { members, leaderId } = status;
      print(io, options.output, { members, leaderId }, () => memberTable(status));
    });

  addClientOptions(program.command("transfer [member]"), io)
    .description("hand leadership to a member (its id or name), or to the one that is furthest")
    .action(async (member: string | undefined, options: ClientOptions) => {
      const answer = await atAnyEndpoint(options, load, async (admin) =>
        admin.transfer(member === undefined ? "" : memberId(await admin.status(), member)),
      );
      print(io, options.output, answer, () => `Leader is ${answer.leaderId}\n`);
    });
}

interface EndpointAnswer {
  readonly endpoint: string;
  readonly status?: MemberStatus;
  readonly error?: { readonly code: string; readonly message: string };
}

async function allStatuses(options: ClientOptions): Promise<readonly EndpointAnswer[]> {
  const connection = connectionOptions(options);
  const Client = await load();
  return Promise.all(
    endpointsOf(options).map(async (endpoint): Promise<EndpointAnswer> => {
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
