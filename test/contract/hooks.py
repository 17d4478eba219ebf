"""What no description can say, for the contract test."""

from requests.adapters import HTTPAdapter
import schemathesis

send = HTTPAdapter.send


def send_and_end_streams(self, request, **options):
    """A stream of events has no end of its own: its first message is taken for the answer."""
    response = send(self, request, **options)
    if response.headers.get("content-type") == "text/event-stream":
        lines = []
        for line in response.iter_lines():
            lines.append(line)
            if line == b"":
                break
        response.close()
        response._content = b"\n".join([*lines, b""])
        response._content_consumed = True
    return response


HTTPAdapter.send = send_and_end_streams


@schemathesis.hook
def map_body(context, body):
    """Members to add are looked for on this machine alone, where none waits; and no lock is waited for long."""
    operation = context.operation.definition.raw.get("operationId")
    if operation == "acquireLock" and isinstance(body, dict) and isinstance(body.get("waitMs"), int):
        body = {**body, "waitMs": min(body["waitMs"], 100)}
    if operation == "addMember" and isinstance(body, dict):
        if isinstance(body.get("peerUrls"), list) and all(isinstance(url, str) for url in body["peerUrls"]):
            body = {**body, "peerUrls": ["http://127.0.0.1:1" for _ in body["peerUrls"]]}
    return body


@schemathesis.hook
def map_headers(context, headers):
    """A revocation under a key that was used before is answered again, and takes no lease away that was granted anew."""
    if context.operation.definition.raw.get("operationId") == "revokeLease" and headers:
        return {name: value for name, value in headers.items() if name.lower() != "idempotency-key"}
    return headers
