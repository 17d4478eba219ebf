import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { type Command } from "commander";
import { ConcordError } from "../../client/errors.ts";
import { type LeaseClient } from "../../client/lease-client.ts";
import { type AcquiredLock, LOCK_WAIT_MAX_MS } from "../../client/rest.ts";
import {
  addClientOptions,
  atAnyEndpoint,
  type ClientOptions,
  type CommandIo,
  optionalNumber,
  wholeNumber,
} from "../context.ts";
import { LeaseKeeper } from "../lease-keeper.ts";
import { print } from "../output.ts";

interface LockFlags extends ClientOptions {
  readonly ttl: string;
  readonly wait?: string;
}

const EXIT_COMMAND_NOT_FOUND = 127;
const EXIT_SIGNALLED = 128;
/** After that a command that was told to end, because the lock is lost, is killed. */
const STOP_TIMEOUT_MS = 5_000;
const load = async (): Promise<typeof LeaseClient> => (await import("../../client/lease-client.ts")).LeaseClient;

/** `concord lock`. */
export function registerLock(program: Command, io: CommandIo, setStatus: (status: number) => void): void {
  addClientOptions(program.command("lock <name> [command...]"), io)
    .description("hold a lock while a command runs (behind --), or until Ctrl-C; excludes etcdctl lock too")
    .option("--ttl <seconds>", "how long the lock outlives a holder that is killed", "30")
    .option("--wait <seconds>", "give up after; 0 takes it only if it is free; without it: wait for ever")
    .action(async (name: string, command: readonly string[], options: LockFlags) => {
      setStatus(await lock(name, command, options, io));
    });
}

/** @returns The exit status: that of the command. */
async function lock(name: string, command: readonly string[], options: LockFlags, io: CommandIo): Promise<number> {
  const ttlSeconds = wholeNumber("--ttl", options.ttl, 1);
  const waitSeconds = optionalNumber("--wait", options.wait, 0);
  const interrupted = io.interrupted();
  const { id } = await atAnyEndpoint(options, load, (client) => client.grant({ ttlSeconds }));
  const keeper = new LeaseKeeper(id, (signal) =>
    atAnyEndpoint(options, load, (client) => client.keepAlive(id, { signal }), { repeatable: true }),
  );
  const over = new AbortController();
  try {
    await keeper.renew();
    // Rejects when the lease is lost; it is kept while waiting for the lock, and while holding it.
    const kept = keeper.keep(over.signal);
    // Whoever races it hears of a failure; nobody else has to.
    kept.catch(() => undefined);
    const held = await Promise.race([
      acquire(name, id, waitSeconds, options, interrupted),
      kept.then(() => Promise.reject(new ConcordError("CONCORD_CANCELLED"))),
    ]);
    if (command.length === 0) {
      print(io, options.output, held, () => `Holding ${name}, fencing token ${held.fencingToken}\n`);
      await Promise.race([aborted(interrupted), kept]);
      return 0;
    }
    return await run(command, held, kept, interrupted, io);
  } finally {
    over.abort();
    // When this fails, the lock ends with its lease.
    await atAnyEndpoint(options, load, (client) => client.revoke(id), { repeatable: true }).catch(() => undefined);
  }
}

/** Asks again and again, a minute at a time, so that a server or a connection that is lost costs no more than that. */
async function acquire(
  name: string,
  leaseId: string,
  waitSeconds: number | undefined,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<AcquiredLock> {
  const answerMs = wholeNumber("--timeout", options.timeout, 1);
  const deadline = waitSeconds === undefined ? Infinity : performance.now() + waitSeconds * 1000;
  for (;;) {
    const waitMs = Math.max(0, Math.ceil(Math.min(LOCK_WAIT_MAX_MS, deadline - performance.now())));
    const call = { signal, timeoutMs: waitMs + answerMs };
    try {
      const attempt = (client: LeaseClient) => tryAcquire(client, name, { leaseId, waitMs }, call);
      const lock = await atAnyEndpoint(options, load, attempt, { repeatable: true });
      if (lock !== undefined) return lock;
    } catch (error) {
      throw signal.aborted ? new ConcordError("CONCORD_CANCELLED", "Interrupted before the lock was free") : error;
    }
    if (performance.now() >= deadline) throw new ConcordError("CONCORD_LOCK_HELD");
  }
}

/** Undefined: somebody else holds it. That is an answer, and no reason to ask the next member. */
async function tryAcquire(
  client: LeaseClient,
  ...request: Parameters<LeaseClient["acquire"]>
): Promise<AcquiredLock | undefined> {
  try {
    return await client.acquire(...request);
  } catch (error) {
    if (ConcordError.is(error) && error.code === "CONCORD_LOCK_HELD") return undefined;
    throw error;
  }
}

/** Signals go to the command, and the lock is kept until it has ended. A command whose lock is lost is told to end. */
async function run(
  command: readonly string[],
  lock: AcquiredLock,
  kept: Promise<void>,
  interrupted: AbortSignal,
  io: CommandIo,
): Promise<number> {
  const [file = "", ...parameters] = command;
  const child = spawn(file, parameters, {
    stdio: "inherit",
    env: {
      ...io.env,
      CONCORD_LOCK_KEY: lock.keyText ?? lock.name,
      CONCORD_LEASE_ID: lock.leaseId,
      CONCORD_FENCING_TOKEN: String(lock.fencingToken),
    },
  });
  const ended = statusOf(child);
  const stop = (): void => {
    const { reason } = interrupted as { readonly reason: unknown };
    child.kill(reason === "SIGINT" ? reason : "SIGTERM");
  };
  interrupted.addEventListener("abort", stop, { once: true });
  const lost: Error[] = [];
  kept.catch((error: unknown) => {
    lost.push(error instanceof Error ? error : new Error(String(error)));
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS).unref();
  });
  if (interrupted.aborted) stop();
  const status = await ended;
  interrupted.removeEventListener("abort", stop);
  const [reason] = lost;
  if (reason !== undefined) throw reason;
  return status;
}

async function statusOf(child: ChildProcess): Promise<number> {
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    return code ?? EXIT_SIGNALLED + (signal === null ? 0 : constants.signals[signal]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return EXIT_COMMAND_NOT_FOUND;
    throw new ConcordError("CONCORD_FILE_FAILED", `The command cannot be started: ${String(error)}`, { cause: error });
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}
