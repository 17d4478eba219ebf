import { ConcordError } from "../../../node/client/errors.ts";
import { SessionTester } from "../../support/session-tester.ts";
import { type Door } from "./door.ts";
import { openServer } from "./member.ts";

/** The frames of the session protocol themselves. */
export async function sessionDoor(): Promise<Door> {
  const server = await openServer();
  const session = await SessionTester.connect(server.url);
  return {
    name: "session",
    lacks: {},
    async carryOut(request, settings = {}) {
      const answer = await session.request(request, settings);
      if (answer.type === "answer") return answer;
      const { code, message, revision, compactRevision } = answer;
      throw new ConcordError(code, message, { details: { revision, compactRevision } });
    },
    async watch(request) {
      const id = session.id();
      session.send({ type: "watch", id, watch: { ...request, fragment: false } });
      await session.take(id, "watching");
      return {
        async next() {
          const message = await session.take(id, "changes", "ended");
          if (message.type === "changes") return message.changes;
          if (message.reason !== "compacted") return undefined;
          throw new ConcordError("CONCORD_COMPACTED", undefined, {
            details: { compactRevision: message.nextRevision },
          });
        },
        cancel: () => session.send({ type: "cancel", id }),
      };
    },
    async close() {
      await session.close();
      await server.close();
    },
  };
}
