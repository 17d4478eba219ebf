import { lookup, type LookupAddress, Resolver } from "node:dns";
import { readFile } from "node:fs";
import { isIP } from "node:net";

/**
 * Resolves names of peers, always anew. DNS goes through c-ares, which waits on sockets: `getaddrinfo` occupies a thread
 * of the pool that also syncs the log, for as long as a name server is silent. c-ares' queries know neither /etc/hosts
 * nor the search list, so both are applied here; names like `c-m1-0.c-peers.ns.svc` depend on the search list.
 */
export class NameResolver {
  readonly #files: { readonly hosts: string; readonly resolv: string };
  readonly #servers: readonly string[] | undefined;
  #lookupRuns = false;

  /**
   * @param options.files Other places of /etc/hosts and /etc/resolv.conf.
   * @param options.servers Name servers to ask instead of the system's.
   */
  constructor(
    options: {
      readonly files?: { readonly hosts: string; readonly resolv: string };
      readonly servers?: readonly string[];
    } = {},
  ) {
    this.#files = options.files ?? { hosts: "/etc/hosts", resolv: "/etc/resolv.conf" };
    this.#servers = options.servers;
  }

  /** Addresses of a host, at least one, in the order in which they should be tried. */
  resolve(host: string, done: (error: Error | undefined, addresses: readonly LookupAddress[]) => void): void {
    const family = isIP(host.split("%", 1)[0] ?? "");
    if (family !== 0) {
      done(undefined, [{ address: host, family }]);
      return;
    }
    if (/^(.+\.)?localhost\.?$/i.test(host)) {
      done(undefined, LOOPBACK);
      return;
    }
    readText(this.#files.hosts, (hosts) => {
      const listed = hostsAddresses(hosts, host);
      if (listed.length > 0) {
        done(undefined, listed);
        return;
      }
      readText(this.#files.resolv, (resolv) => {
        const candidates = candidateNames(host, parseResolvConf(resolv));
        this.#query(candidates, (error, addresses) => {
          if (addresses.length > 0) {
            done(undefined, addresses);
            return;
          }
          this.#lastResort(host, error, done);
        });
      });
    });
  }

  /** Where the SRV records of a name point (RFC 2782), at least one, in the order of their names. */
  resolveService(name: string, done: (error: Error | undefined, targets: readonly ServiceTarget[]) => void): void {
    readText(this.#files.resolv, (resolv) => {
      const resolver = this.#resolver();
      const candidates = candidateNames(name, parseResolvConf(resolv));
      const next = (at: number, error: DnsError): void => {
        const candidate = candidates[at];
        if (candidate === undefined) {
          done(error, []);
          return;
        }
        resolver.resolveSrv(candidate, (failure: DnsError | null, records) => {
          if (failure === null && records.length > 0) done(undefined, targetsOf(records));
          else if (failure === null || NAME_UNKNOWN.has(failure.code ?? "")) next(at + 1, failure ?? error);
          else done(failure, []);
        });
      };
      next(0, new Error(`There is no service ${name}`));
    });
  }

  #resolver(): Resolver {
    const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
    if (this.#servers !== undefined) resolver.setServers(this.#servers);
    return resolver;
  }

  /** Asks for one candidate after the other. The first one with an address is the name that was meant. */
  #query(candidates: readonly string[], done: (error: DnsError, addresses: readonly LookupAddress[]) => void): void {
    const resolver = this.#resolver();
    const next = (at: number, error: DnsError): void => {
      const name = candidates[at];
      if (name === undefined) {
        done(error, []);
        return;
      }
      queryBoth(resolver, name, (failure, addresses) => {
        if (addresses.length > 0) done(failure, addresses);
        // A silent server is silent for the other candidates too, and a wrong candidate must not win by it.
        else if (failure.code !== undefined && NAME_UNKNOWN.has(failure.code)) next(at + 1, failure);
        else done(failure, []);
      });
    };
    next(0, new Error("No candidate names"));
  }

  /**
   * Names that DNS does not know may come from elsewhere (mDNS, NIS), which only `getaddrinfo` asks. Not when the
   * servers are silent, and one at a time: see above.
   */
  #lastResort(
    host: string,
    error: DnsError,
    done: (error: Error | undefined, addresses: readonly LookupAddress[]) => void,
  ): void {
    if (this.#lookupRuns || error.code === undefined || !NAME_UNKNOWN.has(error.code)) {
      done(error, []);
      return;
    }
    this.#lookupRuns = true;
    lookup(host, { all: true }, (failure, addresses) => {
      this.#lookupRuns = false;
      if (failure === null && addresses.length > 0) done(undefined, addresses);
      else done(failure ?? error, []);
    });
  }
}

const QUERY_TIMEOUT_MS = 1000;
const QUERY_TRIES = 2;
const LOOPBACK: readonly LookupAddress[] = [
  { address: "127.0.0.1", family: 4 },
  { address: "::1", family: 6 },
];
const NAME_UNKNOWN: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA"]);

/** Where one member of a service listens. */
export interface ServiceTarget {
  readonly host: string;
  readonly port: number;
}

function targetsOf(records: readonly { readonly name: string; readonly port: number }[]): readonly ServiceTarget[] {
  const targets = records.map(({ name, port }) => ({ host: name.replace(/\.$/, ""), port }));
  return targets.sort((left, right) => (left.host < right.host ? -1 : 1));
}

type DnsError = Error & { readonly code?: string | undefined };

/** What of /etc/resolv.conf decides which names are asked for (resolv.conf(5)). */
export interface ResolvConf {
  readonly search: readonly string[];
  /** Names with so many dots are tried as they are before the search list. */
  readonly dots: number;
}

export function parseResolvConf(text: string): ResolvConf {
  let search: readonly string[] = [];
  let dots = 1;
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    // The last of several lines counts.
    if (keyword === "search" || keyword === "domain") search = values;
    if (keyword === "options")
      for (const value of values) {
        const match = /^ndots:(\d+)$/.exec(value);
        if (match !== null) dots = Math.min(Number(match[1]), 15);
      }
  }
  return { search, dots };
}

/** The absolute names that `host` may stand for, in order. */
export function candidateNames(host: string, configuration: ResolvConf): readonly string[] {
  if (host.endsWith(".")) return [host.slice(0, -1)];
  const searched = configuration.search.map((domain) => `${host}.${domain.replace(/\.$/, "")}`.replace(/\.$/, ""));
  const isLong = host.split(".").length - 1 >= configuration.dots;
  return [...new Set(isLong ? [host, ...searched] : [...searched, host])];
}

/** Addresses that a hosts file gives a name, in the order of its lines. */
export function hostsAddresses(text: string, host: string): readonly LookupAddress[] {
  const wanted = host.toLowerCase().replace(/\.$/, "");
  const found: LookupAddress[] = [];
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*$/, "").trim().split(/\s+/);
    if (isIP(address) !== 0 && names.some((name) => name.toLowerCase() === wanted))
      found.push({ address, family: isIP(address) });
  }
  return found;
}

function queryBoth(
  resolver: Resolver,
  name: string,
  done: (error: DnsError, addresses: readonly LookupAddress[]) => void,
): void {
  const addresses: LookupAddress[][] = [[], []];
  let waiting = 2;
  let failure: DnsError = new Error("No address");
  const take =
    (family: 4 | 6) =>
    (error: DnsError | null, found: readonly string[] | undefined): void => {
      // A failure that is not "no such name" is the more telling one.
      if (error !== null && (failure.code === undefined || NAME_UNKNOWN.has(failure.code))) failure = error;
      addresses[family === 4 ? 0 : 1] = (found ?? []).map((address) => ({ address, family }));
      waiting -= 1;
      if (waiting === 0) done(failure, addresses.flat());
    };
  resolver.resolve4(name, take(4));
  resolver.resolve6(name, take(6));
}

/** The text of a file, or nothing where it cannot be read: a system without the file has no such names. */
function readText(path: string, done: (text: string) => void): void {
  readFile(path, "utf8", (error, text) => done(error === null ? text : ""));
}
