import { secretData } from "../observe/facts.ts";
import { type SecretObject } from "../observe/shapes.ts";
import { type Authority } from "../plan/actions.ts";
import { clientAuthoritySecretName, peerAuthoritySecretName } from "../resources/names.ts";
import { StaleObservationError, TerminalError } from "../runtime/errors.ts";
import { controllerOf, type KubernetesObject } from "../runtime/kubernetes-object.ts";
import { type AuthorityMaterial } from "../tls/leaves.ts";
import { type ActionContext } from "./context.ts";

/**
 * Writes a Secret on the condition that it is as the decision saw it: absent, or at one version. The next observation
 * uses the answer.
 *
 * @param resourceVersion that of the decision; undefined: it must not exist
 * @throws StaleObservationError when the condition does not hold; the next observation then sees why
 */
export async function writeSecret(
  context: ActionContext,
  secret: KubernetesObject,
  data: Readonly<Record<string, string>>,
  resourceVersion: string | undefined,
): Promise<void> {
  const { name } = secret.metadata;
  if (resourceVersion === undefined) {
    const holder = await context.secrets.read(context.cluster.namespace, name, context.signal);
    if (holder !== undefined) {
      if (controllerOf(holder)?.uid !== context.cluster.uid) {
        throw new TerminalError(`Secret ${name} exists and does not belong to this ConcordCluster`);
      }
      throw new StaleObservationError(`Secret ${name} exists already`);
    }
  }
  const object = {
    ...secret,
    metadata: { ...secret.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")])),
  };
  try {
    context.secrets.put(await context.client.apply<SecretObject>(object, { signal: context.signal }));
  } catch (error) {
    // Whatever happened, what is remembered of this Secret may be wrong now.
    context.secrets.forget(context.cluster.namespace, name);
    throw error;
  }
}

/**
 * Reads an authority past the cache.
 *
 * @throws StaleObservationError when it is absent or incomplete
 */
export async function readAuthority(context: ActionContext, authority: Authority): Promise<AuthorityMaterial> {
  const name =
    authority === "client" ? clientAuthoritySecretName(context.cluster) : peerAuthoritySecretName(context.cluster);
  const secret = await context.secrets.read(context.cluster.namespace, name, context.signal);
  const data = secret === undefined ? new Map<string, string>() : secretData(secret);
  const [certificate, privateKey] = [data.get("tls.crt"), data.get("tls.key")];
  if (certificate === undefined || privateKey === undefined) {
    throw new StaleObservationError(`Secret ${name} does not hold an authority`);
  }
  return { pair: { certificate, privateKey }, trust: data.get("ca.crt") ?? certificate };
}
