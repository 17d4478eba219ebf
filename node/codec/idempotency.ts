import { type Idempotency } from "../machine/machine-types.ts";
import { KEY_DIGEST_BYTES, REQUEST_DIGEST_BYTES } from "../machine/write-records.ts";
import { type ByteReader, type ByteWriter, CodecError } from "./bytes.ts";

/** A key of a client's own choice. Sessions will be another kind. */
const KIND_KEY = 2;

/** Kind │ key digest │ request digest │ u53 time to live, ms │ u53 budget, bytes */
export function writeIdempotency(writer: ByteWriter, { key, request, ttlMs, budgetBytes }: Idempotency): void {
  if (key.length !== KEY_DIGEST_BYTES || request.length !== REQUEST_DIGEST_BYTES)
    throw new CodecError(
      `Digests of ${key.length} and ${request.length} bytes, wanted ${KEY_DIGEST_BYTES} and ${REQUEST_DIGEST_BYTES}`,
    );
  writer.u8(KIND_KEY).raw(key).raw(request).u53(ttlMs).u53(budgetBytes);
}

/** Digests are views into the reader's bytes. @throws CodecError */
export function readIdempotency(reader: ByteReader): Idempotency {
  const kind = reader.u8();
  if (kind !== KIND_KEY) throw new CodecError(`Idempotency has kind ${kind}, this member knows ${KIND_KEY}`);
  const key = reader.raw(KEY_DIGEST_BYTES);
  const request = reader.raw(REQUEST_DIGEST_BYTES);
  return { key, request, ttlMs: reader.u53(), budgetBytes: reader.u53() };
}
