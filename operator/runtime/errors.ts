/** Trying again is useless until something else changes; the queue forgets the key until then. */
export class TerminalError extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = "TerminalError";
  }
}

/** The world is not what the decision was made on. Nothing was done; look again and decide anew. */
export class StaleObservationError extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = "StaleObservationError";
  }
}

/** This process is not the leader any more and must not write. */
export class NotLeaderError extends Error {
  constructor() {
    super("Leadership of the operator was lost");
    this.name = "NotLeaderError";
  }
}
