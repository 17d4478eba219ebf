import { ConcordError } from "../../client/errors.ts";

/** Port of peers where a URL names none. */
export const DEFAULT_PEER_PORT = 2380;

/** Where a peer listens, or where this member does. */
export interface PeerAddress {
  /** `https`: TLS. */
  readonly secure: boolean;
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Reads a peer URL as etcd writes them: `http://host:2380` or `https://[::1]:2380`, nothing behind the port.
 *
 * @throws ConcordError `CONCORD_CONFIGURATION_INVALID` for anything else.
 */
export function parsePeerUrl(text: string): PeerAddress {
  // The WHATWG parser drops a port that is its scheme's default one; here 80 and 443 are ports like any other.
  const match = /^(https?):\/\/(\[[0-9A-Fa-f:.]+(?:%[^\]/]+)?\]|[^\s:/?#@[\]]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const [, scheme, host = "", digits] = match ?? [];
  const port = digits === undefined ? DEFAULT_PEER_PORT : Number(digits);
  if (match === null || port > 65_535)
    throw new ConcordError(
      "CONCORD_CONFIGURATION_INVALID",
      `"${text}" is not a peer URL, wanted "http://host:port" or "https://host:port"`,
    );
  return { secure: scheme === "https", host: host.replace(/^\[|\]$/g, ""), port };
}

/** The URL of an address. */
export function formatPeerUrl(address: PeerAddress): string {
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${address.secure ? "https" : "http"}://${host}:${address.port}`;
}
