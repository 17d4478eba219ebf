import { type Command, Option } from "commander";
import { ConcordError } from "../client/errors.ts";
import { addOutputOption } from "./output.ts";
import { clientTlsFromFiles, type ConnectionOptions } from "../client/http-connection.ts";

/** What a command may touch besides the network. */
export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  stdout(text: string): void;
  stderr(text: string): void;
  /** Shows how far something has come in place of what was shown before, to a person who looks on; empty: nothing more. */
  progress(text: string): void;
  /** Everything on standard input. Rejects with `CONCORD_USAGE` when that is more than a command takes. */
  readStdin(): Promise<Uint8Array>;
  /** Aborted when somebody asks this process to end; asking for it takes the signals over from Node.js. */
  interrupted(): AbortSignal;
}

export type OutputFormat = "text" | "json";

/** Options that every command against a running cluster has. */
export interface ClientOptions {
  readonly endpoints: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly timeout: string;
  readonly output: OutputFormat;
}

const ENDPOINT_DEFAULT = "http://127.0.0.1:2379";
const TIMEOUT_DEFAULT_MS = 5000;

/** The flags of etcdctl where it has them; `CONCORD_ENDPOINTS`, `CONCORD_CACERT`, `CONCORD_CERT`, `CONCORD_KEY` set them too. */
export function addClientOptions(command: Command, io: CommandIo): Command {
  const { env } = io;
  const option = (flags: string, description: string, fallback: string | undefined): Option => {
    const made = new Option(flags, description);
    return fallback === undefined ? made : made.default(fallback);
  };
  command
    .addOption(option("--endpoints <url,...>", "client URLs of members", env["CONCORD_ENDPOINTS"] ?? ENDPOINT_DEFAULT))
    .addOption(option("--cacert <path>", "CA certificates of the servers (PEM)", env["CONCORD_CACERT"]))
    .addOption(option("--cert <path>", "client certificate (PEM)", env["CONCORD_CERT"]))
    .addOption(option("--key <path>", "private key of the client certificate (PEM)", env["CONCORD_KEY"]))
    .addOption(option("--timeout <ms>", "milliseconds a request may take", String(TIMEOUT_DEFAULT_MS)));
  return addOutputOption(command);
}

/** @throws ConcordError `CONCORD_USAGE` */
export function connectionOptions(options: ClientOptions): ConnectionOptions {
  if ((options.cert === undefined) !== (options.key === undefined)) {
    throw new ConcordError("CONCORD_USAGE", "--cert and --key are given together or not at all");
  }
  const tls = clientTlsFromFiles({ ca: options.cacert, cert: options.cert, key: options.key });
  return { tls, timeoutMs: wholeNumber("--timeout", options.timeout, 1) };
}

export function endpointsOf(options: ClientOptions): readonly string[] {
  const endpoints = options.endpoints
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
  if (endpoints.length > 0) return endpoints;
  throw new ConcordError(
    "CONCORD_USAGE",
    `--endpoints is "${options.endpoints}", expected URLs like ${ENDPOINT_DEFAULT}`,
  );
}

interface Client {
  close(): Promise<void>;
}

type ClientClass<C extends Client> = new (url: string, options: ConnectionOptions) => C;

export interface EndpointChoice {
  /** The request may be sent again although it may have been carried out. @default false */
  readonly repeatable?: boolean;
}

/**
 * Runs `use` against the first member that can be reached. Only a request that certainly was not carried out, or that
 * may be repeated, goes on to the next member.
 *
 * @param load - the class of the client, which is loaded when a command needs it
 */
export async function atAnyEndpoint<C extends Client, T>(
  options: ClientOptions,
  load: () => Promise<ClientClass<C>>,
  use: (client: C) => Promise<T>,
  { repeatable = false }: EndpointChoice = {},
): Promise<T> {
  const connection = connectionOptions(options);
  const endpoints = endpointsOf(options);
  const Client = await load();
  let last: unknown;
  for (const url of endpoints) {
    const client = new Client(url, connection);
    try {
      return await use(client);
    } catch (error) {
      if (!ConcordError.is(error) || !(error.outcome === "unknown" ? repeatable : error.retryable)) throw error;
      last = error;
    } finally {
      await client.close();
    }
  }
  throw last;
}

/** A whole number that a flag or an argument has to be. */
export function wholeNumber(flag: string, text: string, minimum: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= minimum) return value;
  throw new ConcordError("CONCORD_USAGE", `${flag} is "${text}", expected a whole number from ${minimum} on`);
}

export function optionalNumber(flag: string, text: string | undefined, minimum: number): number | undefined {
  return text === undefined ? undefined : wholeNumber(flag, text, minimum);
}

/** As `etcdctl` and this print it; leading zeros may be missing. */
export function leaseId(flag: string, text: string): string {
  if (/^[0-9a-f]{1,16}$/.test(text)) return text.padStart(16, "0");
  throw new ConcordError("CONCORD_USAGE", `${flag} is "${text}", expected a lease id of up to 16 hex digits`);
}

/** What a command reads: a file, or standard input when none is named. */
export async function readInput(io: CommandIo, file: string | undefined): Promise<Uint8Array> {
  if (file === undefined || file === "-") return io.readStdin();
  const { readFile } = await import("node:fs/promises");
  try {
    return await readFile(file);
  } catch (cause) {
    throw new ConcordError("CONCORD_FILE_FAILED", `Cannot read the file "${file}"`, { cause });
  }
}
