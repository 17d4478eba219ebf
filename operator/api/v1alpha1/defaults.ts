import { REPLICAS_DEFAULT, type ConcordClusterSpec } from "./cluster.ts";

const DAY_SECONDS = 86_400;

/** A spec with every choice made. Never written back; what of it matters to people is in `status` or in the children. */
export interface EffectiveSpec {
  readonly replicas: number;
  /** As a container wants it. */
  readonly image: string;
  readonly storage: {
    readonly size: string;
    readonly storageClassName: string | undefined;
    readonly whenDeleted: "Retain" | "Delete";
    readonly whenScaled: "Retain" | "Delete";
  };
  readonly tls: { readonly client: CertificateTimes; readonly peer: CertificateTimes };
  readonly extraSubjectAltNames: readonly string[];
  readonly podDisruptionBudget: boolean;
  readonly memberReplacement: { readonly enabled: boolean; readonly restartThreshold: number };
  readonly progressDeadlineMs: number;
}

export interface CertificateTimes {
  readonly durationSeconds: number;
  readonly renewBeforeSeconds: number;
  readonly caDurationSeconds: number;
}

export const RESOURCES_DEFAULT = { requests: { cpu: "100m", memory: "256Mi" } } as const;

/**
 * @param spec as the user wrote it
 * @param image what the members should run when `spec.image` says nothing or only a part: the image they run already, or
 * the operator's own for a new cluster
 */
export function effectiveSpec(spec: ConcordClusterSpec, image: string): EffectiveSpec {
  const retention = spec.storage?.retentionPolicy;
  const replacement = spec.recovery?.memberReplacement;
  return {
    replicas: spec.replicas ?? REPLICAS_DEFAULT,
    image: effectiveImage(spec.image, image),
    storage: {
      size: spec.storage?.size ?? "1Gi",
      storageClassName: spec.storage?.storageClassName,
      whenDeleted: retention?.whenDeleted ?? "Retain",
      whenScaled: retention?.whenScaled ?? "Delete",
    },
    tls: { client: certificateTimes(spec.tls?.client), peer: certificateTimes(spec.tls?.peer) },
    extraSubjectAltNames: spec.tls?.client?.extraSubjectAltNames ?? [],
    podDisruptionBudget: spec.podDisruptionBudget?.enabled ?? true,
    memberReplacement: {
      enabled: replacement?.enabled ?? true,
      restartThreshold: replacement?.restartThreshold ?? 5,
    },
    progressDeadlineMs: (spec.progressDeadlineSeconds ?? 600) * 1000,
  };
}

function certificateTimes(side: NonNullable<ConcordClusterSpec["tls"]>["peer"]): CertificateTimes {
  const durationSeconds = side?.durationSeconds ?? 90 * DAY_SECONDS;
  return {
    durationSeconds,
    renewBeforeSeconds: side?.renewBeforeSeconds ?? Math.floor(durationSeconds / 3),
    caDurationSeconds: side?.caDurationSeconds ?? 3650 * DAY_SECONDS,
  };
}

/** Parts that the user did not give come from `base`. A digest belongs to one tag, so a new tag drops it. */
export function effectiveImage(image: ConcordClusterSpec["image"], base: string): string {
  const given = parseImage(base);
  const repository = image?.repository ?? given.repository;
  if (image?.digest !== undefined) return `${repository}${suffix(":", image.tag)}@${image.digest}`;
  if (image?.tag !== undefined) return `${repository}:${image.tag}`;
  return `${repository}${suffix(":", given.tag)}${image?.repository === undefined ? suffix("@", given.digest) : ""}`;
}

const suffix = (mark: string, value: string | undefined): string => (value === undefined ? "" : `${mark}${value}`);

function parseImage(image: string): { repository: string; tag: string | undefined; digest: string | undefined } {
  const [name = "", digest] = image.split("@");
  // A colon before the last slash is the port of the registry.
  const colon = name.indexOf(":", name.lastIndexOf("/") + 1);
  return colon < 0
    ? { repository: name, tag: undefined, digest }
    : { repository: name.slice(0, colon), tag: name.slice(colon + 1), digest };
}
