import { History, type HistoryRow, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX } from "../../client/rest.ts";
import { type KeyValue } from "../../machine/commands.ts";
import { json, operation, type OperationGroup, PROBLEMS_OF_READS, READ_HEADERS } from "./operation.ts";
import { KEY_PARAMETER, READ_QUERY, readMode, wholeNumber } from "./parameters.ts";
import { keyJson, pathKey, rowJson } from "./row.ts";

const show = operation({
  id: "getHistory",
  method: "GET",
  path: "/api/v1/history/{key}",
  summary: "What became of one key since the last compaction, newest first",
  description:
    "`from` and `to` are mod revisions, both included; one that is compacted is refused, and left out they take in all " +
    "there is. The row as it was at the compaction is the oldest. A key that never was has no items.",
  parameters: { key: KEY_PARAMETER },
  query: {
    from: wholeNumber("Oldest mod revision that is wanted; 0: all there is"),
    to: wholeNumber("Newest mod revision that is wanted; 0: all there is"),
    limit: wholeNumber(`Most items; ${LIST_LIMIT_DEFAULT} when absent`, { minimum: 1, maximum: LIST_LIMIT_MAX }),
    ...READ_QUERY,
  },
  answers: [json("The history", History, READ_HEADERS)],
  problems: ["CONCORD_KEY_EMPTY", ...PROBLEMS_OF_READS],
  async handle(exchange, { path, query }) {
    const wanted = {
      type: "history",
      key: pathKey(path.key),
      fromRevision: query.from ?? 0,
      toRevision: query.to ?? 0,
      limit: query.limit ?? LIST_LIMIT_DEFAULT,
    } as const;
    const { level, options } = readMode(query);
    const { revision, reply } = exchange.read(
      await exchange.services.kv.history(exchange.principal(), wanted, level, options),
    );
    const oldest = reply.rows.at(-1);
    exchange.send({
      items: reply.rows.map(historyJson),
      revision,
      ...(reply.more && oldest !== undefined ? { next: oldest.modRevision - 1 } : {}),
    } satisfies History);
  },
});

export const HISTORY: OperationGroup = {
  name: "history",
  description: "What a key was before",
  operations: [show],
};

function historyJson(row: KeyValue): HistoryRow {
  if (row.version === 0) return { type: "delete", ...keyJson(row.key), modRevision: row.modRevision };
  return { type: "put", ...rowJson(row, false) };
}
