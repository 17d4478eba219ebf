import { type X509Certificate } from "node:crypto";
import { type SecureContextOptions } from "node:tls";

/** What a certificate says of its owner: fine (and perhaps whose it is), or why not. */
export type CertificateVerdict =
  | {
      readonly ok: true;
      /** The member named in it; undefined where certificates name no members (plain etcd-style peer certificates). */
      readonly memberName: string | undefined;
    }
  | { readonly ok: false; readonly reason: string };

/** Own certificate and judgement of others', as the transport needs them. Both may change while it runs. */
export interface PeerCredentials {
  /**
   * The present certificate, key and trusted authorities. Asked for every connection; the same object until they change.
   */
  material(): SecureContextOptions;
  /**
   * Judges a peer's certificate whose chain has been verified.
   *
   * @param role What the peer is on this connection.
   * @param host The host that was dialled; only for a `server`.
   */
  judgePeer(certificate: X509Certificate, role: "client" | "server", host: string): CertificateVerdict;
}
