import { type History, type HistoryRow, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX } from "../../client/rest.ts";
import { type KeyValue } from "../../machine/commands.ts";
import { type Exchange } from "./exchange.ts";
import { READ_PARAMETERS, readMode, wholeNumber } from "./parameters.ts";
import { keyJson, pathKey, rowJson } from "./row.ts";

const PREFIX = "/api/v1/history";

/**
 * What became of one key since the last compaction, newest first.
 *
 *     GET /api/v1/history/{key}?from=&to=&limit=&<read>  -> History
 *
 * `from` and `to` are mod revisions, both included; one that is compacted is refused with 410, and left out they take in
 * all there is. The row as it was at the compaction is the oldest. A key that never was has no items.
 */
export async function handleHistory(exchange: Exchange): Promise<void> {
  exchange.allowMethods("GET", "HEAD");
  const key = pathKey(exchange, PREFIX);
  const query = exchange.query("from", "to", "limit", ...READ_PARAMETERS);
  const operation = {
    type: "history",
    key,
    fromRevision: wholeNumber("from", query.from, 0),
    toRevision: wholeNumber("to", query.to, 0),
    limit: query.limit === undefined ? LIST_LIMIT_DEFAULT : wholeNumber("limit", query.limit, 1, LIST_LIMIT_MAX),
  } as const;
  const { level, options } = readMode(query);
  const { revision, reply } = exchange.read(
    await exchange.services.kv.history(exchange.principal(), operation, level, options),
  );
  const oldest = reply.rows.at(-1);
  const history: History = {
    items: reply.rows.map(historyJson),
    revision,
    ...(reply.more && oldest !== undefined ? { next: oldest.modRevision - 1 } : {}),
  };
  exchange.send(history);
}

export function isHistoryPath(path: string): boolean {
  return path.startsWith(`${PREFIX}/`);
}

function historyJson(row: KeyValue): HistoryRow {
  if (row.version === 0) return { type: "delete", ...keyJson(row.key), modRevision: row.modRevision };
  return { type: "put", ...rowJson(row, false) };
}
