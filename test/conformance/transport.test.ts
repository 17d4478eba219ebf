import { MemoryHub, MemoryTransport } from "../../node/transport/memory/transport.ts";
import { TcpTransport } from "../../node/transport/tcp/transport.ts";
import { transportSuite } from "./transport.suite.ts";

const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined };

let places = 0;
const hub = new MemoryHub();
transportSuite("memory transport", {
  create(identity, url) {
    places += 1;
    return new MemoryTransport(hub, [url ?? `memory:${places}`], identity);
  },
});

transportSuite("TCP transport", {
  create: (identity, url) => new TcpTransport({ listenUrls: [url ?? "http://127.0.0.1:0"], identity, logger: quiet }),
});
