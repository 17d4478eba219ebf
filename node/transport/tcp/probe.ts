import { type Hello } from "../../codec/handshake.ts";
import { type ProbeAnswer } from "../transport.ts";
import { type Answered, CertificateError, dial, type DialContext } from "./dial.ts";

/**
 * Asks who listens at one of the URLs: they are tried in turn, and the first answer counts.
 *
 * @param done Called once, never from within this call. An error when nobody answered; a certificate that does not fit
 * is an answer, namely a refusal.
 * @returns Ends the attempt with an error.
 */
export function probe(
  context: DialContext,
  urls: readonly string[],
  hello: Hello,
  done: (error: Error | undefined, answer: ProbeAnswer | undefined) => void,
): () => void {
  let cancelDial: (() => void) | undefined;
  let finished = false;
  const settle = (error: Error | undefined, answer?: ProbeAnswer): void => {
    if (finished) return;
    finished = true;
    done(error, answer);
  };
  const next = (at: number, failure: Error): void => {
    const url = urls[at];
    if (finished) return;
    if (url === undefined) {
      settle(failure);
      return;
    }
    cancelDial = dial(context, url, hello, (error, answered) => {
      cancelDial = undefined;
      if (answered !== undefined) settle(undefined, readAnswer(answered));
      else if (error instanceof CertificateError) settle(undefined, refusal(error.message));
      else next(at + 1, error ?? failure);
    });
  };
  process.nextTick(next, 0, new Error("There is no URL to probe"));
  return () => {
    cancelDial?.();
    process.nextTick(settle, new Error("The probe was ended"));
  };
}

function readAnswer({ connection, answer, certificateName }: Answered): ProbeAnswer {
  connection.becomeSession({ onFrame: () => undefined, onEnd: () => undefined });
  connection.destroy("the probe is answered");
  if (answer.type === "refused") return refusal(answer.reason);
  if (answer.type !== "probed") return refusal(`the peer answered a probe with "${answer.type}"`);
  const { reply } = answer;
  if (certificateName === undefined || certificateName === reply.memberName) return reply;
  return refusal(
    `certificate mismatch: the certificate is of member "${certificateName}", the handshake of "${reply.memberName}"`,
  );
}

function refusal(reason: string): ProbeAnswer {
  return { state: "refused", memberId: "", memberName: "", clusterId: "", formerId: "", members: [], reason };
}
