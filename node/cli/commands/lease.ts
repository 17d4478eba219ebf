import { type Command } from "commander";
import { type LeaseClient } from "../../client/lease-client.ts";
import { type KeyName } from "../../client/rest.ts";
import {
  addClientOptions,
  atAnyEndpoint,
  type ClientOptions,
  type CommandIo,
  leaseId,
  wholeNumber,
} from "../context.ts";
import { LeaseKeeper } from "../lease-keeper.ts";
import { print, shown } from "../output.ts";

const load = async (): Promise<typeof LeaseClient> => (await import("../../client/lease-client.ts")).LeaseClient;

/** `concord lease grant`, `revoke`, `keep-alive`, `ttl`, `list`. */
export function registerLease(program: Command, io: CommandIo): void {
  const lease = program.command("lease").description("grant, renew and revoke leases");

  addClientOptions(lease.command("grant <seconds>"), io)
    .description("make a lease; its keys go when it ends")
    .option("--id <id>", "up to 16 hex digits instead of an id of the server's choice")
    .action(async (seconds: string, options: ClientOptions & { readonly id?: string }) => {
      const request = {
        ttlSeconds: wholeNumber("<seconds>", seconds, 1),
        ...(options.id === undefined ? {} : { id: leaseId("--id", options.id) }),
      };
      const granted = await atAnyEndpoint(options, load, (client) => client.grant(request));
      print(io, options.output, granted, () => `OK, lease ${granted.id} for ${granted.ttlSeconds} s\n`);
    });

  addClientOptions(lease.command("revoke <id>"), io)
    .description("end a lease, and delete its keys")
    .action(async (text: string, options: ClientOptions) => {
      const id = leaseId("<id>", text);
      const answer = await atAnyEndpoint(options, load, (client) => client.revoke(id));
      print(io, options.output, answer, () => `OK, ${answer.deleted} deleted, revision ${answer.revision}\n`);
    });

  addClientOptions(lease.command("keep-alive <id>"), io)
    .description("renew a lease again and again, until Ctrl-C")
    .option("--once", "renew it once")
    .action((text: string, options: ClientOptions & { readonly once?: boolean }) =>
      keepAlive(leaseId("<id>", text), options, io),
    );

  addClientOptions(lease.command("ttl <id>"), io)
    .description("show what is left of a lease's time")
    .option("--keys", "its keys too")
    .action(async (text: string, options: ClientOptions & { readonly keys?: boolean }) => {
      const id = leaseId("<id>", text);
      const info = await atAnyEndpoint(options, load, (client) => client.show(id, { keys: options.keys }));
      print(io, options.output, info, () => {
        const keys = (info.keys ?? []).map((key: KeyName) => `${shown(key, "key")}\n`);
        return `${info.ttlSeconds} s left of ${info.grantedTtlSeconds} s\n${keys.join("")}`;
      });
    });

  addClientOptions(lease.command("list"), io)
    .description("list the ids of all leases")
    .action(async (options: ClientOptions) => {
      const answer = await atAnyEndpoint(options, load, (client) => client.list());
      print(io, options.output, answer, () => answer.leases.map(({ id }) => `${id}\n`).join(""));
    });
}

async function keepAlive(
  id: string,
  options: ClientOptions & { readonly once?: boolean },
  io: CommandIo,
): Promise<void> {
  const keeper = new LeaseKeeper(id, (signal) =>
    atAnyEndpoint(options, load, (client) => client.keepAlive(id, { signal }), { repeatable: true }),
  );
  const say = (ttlSeconds: number): void =>
    print(io, options.output, { id, ttlSeconds }, () => `Renewed for ${ttlSeconds} s\n`);
  say(await keeper.renew());
  if (options.once === true) return;
  await keeper.keep(io.interrupted(), say);
}
