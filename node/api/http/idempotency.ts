import { Type } from "typebox";
import { ConcordError } from "../../client/errors.ts";
import { Written } from "../../client/rest.ts";
import { IDEMPOTENCY_KEY_BYTES_MAX } from "../../service/idempotency.ts";
import { json, operation, type OperationGroup, PROBLEMS_OF_CLUSTER } from "./operation.ts";

const show = operation({
  id: "getIdempotencyKey",
  method: "GET",
  path: "/api/v1/idempotency/{key}",
  summary: "What became of the write with an idempotency key, for whoever lost its answer",
  description:
    "404: not applied so far, or forgotten. A write that is still on its way may be applied after that; send it again " +
    "with its key instead, which settles it.",
  parameters: {
    key: {
      description: "The key, percent-encoded",
      schema: Type.String({ minLength: 1, maxLength: IDEMPOTENCY_KEY_BYTES_MAX }),
      slashes: true,
    },
  },
  answers: [json("The revision it was applied at", Written, ["Concord-Revision"])],
  problems: ["CONCORD_NOT_FOUND", ...PROBLEMS_OF_CLUSTER],
  async handle(exchange, { path }) {
    const revision = await exchange.services.kv.writeRevision(exchange.principal(), path.key);
    if (revision === undefined)
      throw new ConcordError("CONCORD_NOT_FOUND", "No write with this idempotency key was applied, or it is forgotten");
    exchange.send({ revision } satisfies Written, { "concord-revision": String(revision) });
  },
});

export const IDEMPOTENCY: OperationGroup = {
  name: "idempotency",
  description: "Writes that may be tried again",
  operations: [show],
};
