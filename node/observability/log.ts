import { destination, pino } from "pino";
import { currentRequest } from "./channels.ts";
import { type ApiRequest } from "./events.ts";

/** Where a node writes what happened. Messages are constants, so that they can be searched for; data goes into fields. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** etcd knows three above `error`; nothing that a node says is worse than that, so they are silence. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "dpanic" | "panic" | "fatal";

export interface JsonLoggerOptions {
  readonly level: LogLevel;
  /** Fields of every line: the member's name, for instance. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Takes the lines. @default standard error, written synchronously so that the last line of a process is not lost */
  readonly stream?: { write(line: string): void };
}

/**
 * One JSON object a line: `time` (RFC 3339), `level`, `message`, fields. Errors under `error` keep their stack and cause. What
 * is said on behalf of a traced request has its `trace_id` and `span_id`.
 */
export function jsonLogger(options: JsonLoggerOptions): Logger {
  const inner = pino(
    {
      level: options.level === "dpanic" || options.level === "panic" ? "fatal" : options.level,
      messageKey: "message",
      errorKey: "error",
      base: { ...options.fields },
      mixin: () => traceFields(currentRequest.getStore()),
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.stream ?? destination({ fd: 2, sync: true }),
  );
  return {
    debug: (message, fields) => inner.debug(fields ?? {}, message),
    info: (message, fields) => inner.info(fields ?? {}, message),
    warn: (message, fields) => inner.warn(fields ?? {}, message),
    error: (message, fields) => inner.error(fields ?? {}, message),
  };
}

/** The fields of a line about a request: none when it is not traced. */
export function traceFields(request: ApiRequest | undefined): {
  readonly trace_id?: string;
  readonly span_id?: string;
} {
  const trace = request?.trace;
  return trace === undefined ? {} : { trace_id: trace.traceId, span_id: trace.spanId };
}

/** For embedding and tests: says nothing. */
export const SILENT_LOGGER: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
