import { ConcordError } from "../../client/errors.ts";
import { SESSION_PATH } from "../../client/wire/requests.ts";
import { operation, type OperationGroup } from "./operation.ts";

const open = operation({
  id: "openSession",
  method: "GET",
  path: SESSION_PATH,
  summary: "Opens a session of the native protocol, over WebSocket",
  description:
    "Many requests in a frame, and watches with flow control. Its messages are in `node/api/ws/PROTOCOL.md`.",
  answers: [{ status: 101, description: "The session is open", content: {} }],
  problems: ["CONCORD_UPGRADE_REQUIRED"],
  // A request that asks for a WebSocket is no request any more when it is answered: HttpDoor hands it to the session door.
  handle(exchange) {
    exchange.response.setHeader("upgrade", "websocket");
    throw new ConcordError("CONCORD_UPGRADE_REQUIRED");
  },
});

export const SESSION: OperationGroup = {
  name: "session",
  description: "The native protocol",
  operations: [open],
};
