import { type Command } from "commander";
import { type AdminClient } from "../../client/admin-client.ts";
import { type HashAnswer } from "../../client/admin.ts";
import { ConcordError } from "../../client/errors.ts";
import {
  addClientOptions,
  atAnyEndpoint,
  type ClientOptions,
  type CommandIo,
  connectionOptions,
  wholeNumber,
} from "../context.ts";
import { print, table } from "../output.ts";

const load = async (): Promise<typeof AdminClient> => (await import("../../client/admin-client.ts")).AdminClient;
/** Members compact one after the other; a comparison that met one in between is made again. */
const HASH_ROUNDS = 5;
const NOT_EQUAL = 1;

/** `concord compact`, `hash`. */
export function registerMaintenance(program: Command, io: CommandIo, setStatus: (status: number) => void): void {
  addClientOptions(program.command("compact <revision>"), io)
    .description("discard the history before a revision")
    .action(async (text: string, options: ClientOptions) => {
      const revision = wholeNumber("<revision>", text, 1);
      const answer = await atAnyEndpoint(options, load, (admin) => admin.compact(revision));
      print(io, options.output, answer, () => `OK, compacted at revision ${answer.compactRevision}\n`);
    });

  addClientOptions(program.command("hash"), io)
    .description("compare the data of all members, at one revision; fails when they differ or one does not answer")
    .action(async (options: ClientOptions) => {
      const compared = await compare(options);
      print(io, options.output, compared, () => comparedText(compared));
      if (!compared.equal) setStatus(NOT_EQUAL);
    });
}

interface MemberHash {
  readonly name: string;
  readonly endpoint: string;
  readonly answer?: HashAnswer;
  readonly error?: string;
}

interface Compared {
  readonly equal: boolean;
  readonly revision: number;
  readonly members: readonly MemberHash[];
}

/** Asks every member of the cluster, wherever it was found, for the hash of a revision that all of them have. */
async function compare(options: ClientOptions): Promise<Compared> {
  const { members } = await atAnyEndpoint(options, load, (admin) => admin.status());
  const known = members.map(({ name, clientUrls }) => ({ name, endpoint: clientUrls[0] ?? "" }));
  for (let round = 1; ; round += 1) {
    const statuses = await Promise.all(known.map((member) => ask(options, member, (admin) => admin.status())));
    const revision = Math.min(...statuses.flatMap(({ answer }) => (answer === undefined ? [] : [answer.revision])));
    const hashes = await Promise.all(known.map((member) => ask(options, member, (admin) => admin.hash({ revision }))));
    const answers = hashes.flatMap(({ answer }) => (answer === undefined ? [] : [answer]));
    const compacted = new Set(answers.map(({ compactRevision }) => compactRevision));
    const whole = answers.length === hashes.length;
    if (whole && compacted.size > 1 && round < HASH_ROUNDS) continue;
    const equal = whole && compacted.size === 1 && new Set(answers.map(({ hash }) => hash)).size === 1;
    return { equal, revision, members: hashes };
  }
}

async function ask<T>(
  options: ClientOptions,
  member: { readonly name: string; readonly endpoint: string },
  use: (admin: AdminClient) => Promise<T>,
): Promise<{ readonly name: string; readonly endpoint: string; readonly answer?: T; readonly error?: string }> {
  const Client = await load();
  try {
    if (member.endpoint === "") throw new ConcordError("CONCORD_UNREACHABLE", "It has not told its client URL yet");
    await using admin = new Client(member.endpoint, connectionOptions(options));
    return { ...member, answer: await use(admin) };
  } catch (error) {
    if (!ConcordError.is(error)) throw error;
    return { ...member, error: error.message };
  }
}

function comparedText({ equal, revision, members }: Compared): string {
  const rows = members.map(({ name, endpoint, answer, error }) => [
    name,
    endpoint,
    answer === undefined ? "-" : String(answer.compactRevision),
    answer?.hash ?? "-",
    error ?? "",
  ]);
  const differ = members.some(({ answer }) => answer === undefined)
    ? "Not every member answered"
    : "The members differ";
  const verdict = equal ? `All ${members.length} members are equal` : differ;
  return `${table([["NAME", "ENDPOINT", "COMPACTED", "HASH", "NOTE"], ...rows])}${verdict} at revision ${revision}\n`;
}
