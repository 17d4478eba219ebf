import { Type } from "typebox";
import { docs, docsFile } from "./docs.ts";
import { json, operation, type OperationGroup } from "./operation.ts";

const openApi = operation({
  id: "getOpenApi",
  method: "GET",
  path: "/api/openapi.json",
  summary: "This description, OpenAPI 3.1",
  answers: [json("The document", Type.Object({ openapi: Type.String() }))],
  handle: (exchange, _input, { openApiDocument }) => exchange.send(openApiDocument()),
});

/** No permission needed, and nothing in them that depends on what is stored. */
export const DOCUMENTS: OperationGroup = {
  name: "documents",
  description: "What can be done here",
  operations: [openApi, docs, docsFile],
};
