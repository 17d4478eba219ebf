import { gunzip, inflate } from "node:zlib";
import { STATUS, type GrpcStatus } from "./status.ts";

const DECOMPRESS = { gzip: gunzip, deflate: inflate } as const;

/**
 * Reads a compressed message.
 *
 * @param encoding - of the header `grpc-encoding`
 * @param bytesMax - of the message, decompressed
 * @param done - told of the message, or of the status the call ends with; not before this function returns
 */
export function decompress(
  bytes: Buffer,
  encoding: string,
  bytesMax: number,
  done: (result: Buffer | GrpcStatus) => void,
): void {
  if (encoding !== "gzip" && encoding !== "deflate") {
    const status =
      encoding === "identity"
        ? { code: STATUS.internal, details: "grpc: compressed flag set with identity or empty encoding" }
        : { code: STATUS.unimplemented, details: `grpc: message encoding "${encoding}" is not supported` };
    process.nextTick(done, status);
    return;
  }
  DECOMPRESS[encoding](bytes, { maxOutputLength: bytesMax }, (error, message) => {
    if (error === null) done(message);
    else if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      done({
        code: STATUS.resourceExhausted,
        details: `grpc: received message after decompression larger than max (${bytesMax})`,
      });
    } else done({ code: STATUS.internal, details: "grpc: failed to decompress the received message" });
  });
}
