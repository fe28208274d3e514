"""A receiver of webhooks, with nothing but the standard library: prints each event once.

    WEBHOOK_SECRET=whsec_... python webhook_receiver.py 8099

It believes nothing that is not signed (Standard Webhooks), nothing that is older than five minutes,
and knows by `webhook-id` what it has seen already.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time

SECRET = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
TOLERANCE = 5 * 60
MOST = 1024 * 1024
seen = set()  # A real receiver keeps this where it keeps what it does with events.


def is_signed(headers, body):
    """Whether a delivery is from who knows the secret, and of this moment."""
    sent, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(time.time() - int(at)) > TOLERANCE:
        return False
    signed = hmac.new(SECRET, f"{sent}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(signed).decode()
    # While a secret is rotated there are two signatures.
    signatures = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in signatures)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length", "0"))
        if length > MOST:
            return self.answer(413)
        body = self.rfile.read(length)
        if not is_signed(self.headers, body):
            return self.answer(401)
        sent = self.headers["webhook-id"]
        if sent not in seen:
            event = json.loads(body)
            print(json.dumps({"type": event["type"], "position": event["position"]}), flush=True)
            seen.add(sent)
        # Only what was dealt with is acknowledged: everything else comes again.
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8099
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()
