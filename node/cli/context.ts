import { type Command, Option } from "commander";
import { ConcordError, ERROR_TABLE } from "../client/errors.ts";
import { clientTlsFromFiles, type ConnectionOptions } from "../client/http-connection.ts";

/** What a command may touch besides the network. */
export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  stdout(text: string): void;
  stderr(text: string): void;
  readStdin(): Promise<Uint8Array>;
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
  return command
    .addOption(option("--endpoints <url,...>", "client URLs of members", env["CONCORD_ENDPOINTS"] ?? ENDPOINT_DEFAULT))
    .addOption(option("--cacert <path>", "CA certificates of the servers (PEM)", env["CONCORD_CACERT"]))
    .addOption(option("--cert <path>", "client certificate (PEM)", env["CONCORD_CERT"]))
    .addOption(option("--key <path>", "private key of the client certificate (PEM)", env["CONCORD_KEY"]))
    .addOption(option("--timeout <ms>", "milliseconds a request may take", String(TIMEOUT_DEFAULT_MS)))
    .addOption(new Option("-o, --output <format>", "how to print").choices(["text", "json"]).default("text"));
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

interface Closeable {
  close(): Promise<void>;
}

/**
 * Runs `use` against the first member that can be reached. Only a request that certainly was not carried out goes on to
 * the next member.
 */
export async function atAnyEndpoint<C extends Closeable, T>(
  options: ClientOptions,
  connect: (url: string, options: ConnectionOptions) => C,
  use: (client: C) => Promise<T>,
): Promise<T> {
  const connection = connectionOptions(options);
  let last: unknown;
  for (const url of endpointsOf(options)) {
    const client = connect(url, connection);
    try {
      return await use(client);
    } catch (error) {
      if (!ConcordError.is(error) || !error.retryable || ERROR_TABLE[error.code].outcome === "unknown") throw error;
      last = error;
    } finally {
      await client.close();
    }
  }
  throw last;
}

export function wholeNumber(flag: string, text: string, minimum: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (value >= minimum) return value;
  throw new ConcordError("CONCORD_USAGE", `${flag} is "${text}", expected a whole number from ${minimum} on`);
}
