import { once } from "node:events";
import { WebSocket } from "ws";
import { decodeServerMessages } from "../../node/client/wire/answers.ts";
import { encodeClientMessages, SESSION_PATH, SUBPROTOCOL } from "../../node/client/wire/requests.ts";
import { type ServerMessage } from "../../node/client/wire/types.ts";
import { prefixEnd } from "./etcd-client.ts";
import { type WatchDoor, type WatchMessage } from "./watch-doors.ts";
import { WATCHED_PREFIX } from "./watch-history.ts";

const WATCH = 1;
/** How often progress is asked for, in messages. */
const PROGRESS_EVERY = 200;

/** A watch in a session over WebSocket. Asks for progress on the way, which must never promise too much. */
export class SessionDoor implements WatchDoor {
  readonly name = "WebSocket session";
  readonly #endpoints: readonly string[];

  constructor(endpoints: readonly string[]) {
    this.#endpoints = endpoints;
  }

  async *open(from: number, attempt: number): AsyncIterable<WatchMessage> {
    const endpoint = this.#endpoints[attempt % this.#endpoints.length] ?? "";
    const socket = new WebSocket(endpoint.replace(/^http/, "ws") + SESSION_PATH, SUBPROTOCOL, {
      perMessageDeflate: false,
    });
    const frames = framesOf(socket);
    try {
      await once(socket, "open");
      const range = { key: Buffer.from(WATCHED_PREFIX), rangeEnd: prefixEnd(WATCHED_PREFIX), startRevision: from };
      const watch = { ...range, previous: false, filterPut: false, filterDelete: false, fragment: false };
      socket.send(
        encodeClientMessages([
          { type: "hello", id: 0, version: 1 },
          { type: "watch", id: WATCH, watch },
        ]),
      );
      let messages = 0;
      for await (const frame of frames)
        for (const message of decodeServerMessages(frame)) {
          messages += 1;
          if (messages % PROGRESS_EVERY === 0) socket.send(encodeClientMessages([{ type: "progress", id: WATCH }]));
          const told = messageOf(message);
          if (told !== undefined) yield told;
        }
    } finally {
      socket.terminate();
    }
  }
}

function messageOf(message: ServerMessage): WatchMessage | undefined {
  switch (message.type) {
    case "changes": {
      const events = message.changes.map(({ type, row }) => ({
        revision: row.modRevision,
        key: Buffer.from(row.key).toString(),
        value: type === "delete" ? undefined : Buffer.from(row.value).toString(),
      }));
      return { type: "changes", events };
    }
    case "progress":
      return { type: "progress", revision: message.revision };
    case "ended":
      if (message.reason === "compacted") return { type: "compacted" };
      throw new Error(`The watch ended: ${message.reason}`);
    case "error":
      throw new Error(`The session ended: ${message.code}`);
    default:
      return undefined;
  }
}

/** Frames as they are taken: while none is, the socket is not read. */
async function* framesOf(socket: WebSocket): AsyncGenerator<Uint8Array> {
  const waiting: Uint8Array[] = [];
  let wake: () => void = () => undefined;
  socket.on("message", (data) => {
    waiting.push(new Uint8Array(data as Buffer));
    socket.pause();
    wake();
  });
  socket.on("error", () => undefined);
  socket.on("close", () => wake());
  for (;;) {
    const frame = waiting.shift();
    if (frame !== undefined) yield frame;
    else if (socket.readyState === WebSocket.CLOSED) return;
    else {
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      if (socket.isPaused) socket.resume();
      await woken;
    }
  }
}
