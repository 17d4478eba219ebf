import { CHANNELS } from "./channels.ts";
import { type NodeHandle } from "./events.ts";
import { listen } from "./listen.ts";
import { type Logger, traceFields } from "./log.ts";

/**
 * Warns of requests that took longer than `slowMs`; streams last as long as they like. @returns What ends it.
 */
export function logSlowRequests(node: NodeHandle, logger: Logger, slowMs: number): () => void {
  return listen(CHANNELS.finished, node, ({ request, status, durationMs }) => {
    if (durationMs < slowMs || request.kind !== "unary") return;
    const { door, operation } = request;
    logger.warn("A request took long", { door, operation, status, durationMs, ...traceFields(request) });
  });
}
