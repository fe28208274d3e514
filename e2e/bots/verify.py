"""Verifies deliveries with the reference implementation of Standard Webhooks.

Reads one JSON object for each line, {"secret", "headers", "body"}, and prints for each what the
implementation says: "good", or the name of its refusal.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    delivery = json.loads(line)
    try:
        Webhook(delivery["secret"]).verify(delivery["body"], delivery["headers"])
        print("good", flush=True)
    except WebhookVerificationError as error:
        print(f"bad: {error}", flush=True)
