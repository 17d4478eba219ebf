import { issueCertificate, type KeyPair } from "../../node/client/pki.ts";
import { type Authority, type IssueLeavesAction } from "../plan/actions.ts";

const DAY_SECONDS = 86_400;

/** An authority as its Secret holds it: the pair that signs, and everything its holders have to trust. */
export interface AuthorityMaterial {
  readonly pair: KeyPair;
  readonly trust: string;
}

/**
 * Issues every leaf of one Secret with a fresh key.
 *
 * @returns the values of the Secret as text, by key
 * @throws ConcordError `CONCORD_INVALID_ARGUMENT` for a malformed name or an authority that has ended
 */
export async function issueLeaves(
  action: Pick<IssueLeavesAction, "leaves" | "trust">,
  authorities: Readonly<Record<Authority, AuthorityMaterial>>,
  nowMs: number = Date.now(),
): Promise<Readonly<Record<string, string>>> {
  const data: Record<string, string> = {};
  for (const leaf of action.leaves) {
    const pair = await issueCertificate(authorities[leaf.authority].pair, {
      commonName: leaf.commonName,
      days: leaf.durationSeconds / DAY_SECONDS,
      now: new Date(nowMs),
      dnsNames: leaf.dnsNames,
      ipAddresses: leaf.ipAddresses,
      uris: leaf.uris,
      usages: leaf.usages,
    });
    data[leaf.certificateKey] = pair.certificate;
    data[leaf.privateKeyKey] = pair.privateKey;
  }
  for (const { key, authority } of action.trust) data[key] = authorities[authority].trust;
  return data;
}
