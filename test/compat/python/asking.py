"""What the programs here ask for: a line on the standard output, answered with one on the standard input."""

import sys
import time


def ask(what: str) -> None:
    print(what, flush=True)
    if not sys.stdin.readline():
        raise SystemExit(f"nobody answered to {what}")


def ok(what: str) -> None:
    print("ok", what, flush=True)


def until(what: str, holds, seconds: float = 60) -> None:
    """Waits for a state. Errors of a cluster without a leader are waited out too."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except Exception as error:  # noqa: BLE001 - each client has errors of its own
            last = error
        time.sleep(0.05)
    raise AssertionError(f"it did not happen that {what}: {last!r}")
