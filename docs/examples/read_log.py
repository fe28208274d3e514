#!/usr/bin/env python3
"""Reads Roundtable's log with the official Python client of KurrentDB, and decodes the envelope.

    pip install kurrentdbclient
    python3 read_log.py "kurrentdb://127.0.0.1:2113?tls=false" [--follow]

Prints one line of JSON for each event: what happened, where and when, by whom, and what it follows from.
What is about a person is sealed with a key that is not in the log: `{"$sealed": {"subject", "data"}}` says
whose it is and nothing more. docs/audit.md describes the envelope.
"""

import json
import sys

from kurrentdbclient import KurrentDBClient


def parsed(octets):
    try:
        return json.loads(octets)
    except ValueError:
        return None


def sealed_for(value):
    """Of whom there is personal data in a value."""
    if isinstance(value, dict):
        if value.keys() == {"$sealed"}:
            return {value["$sealed"]["subject"]}
        return set().union(*map(sealed_for, value.values()))
    if isinstance(value, list):
        return set().union(*map(sealed_for, value))
    return set()


def decoded(event):
    metadata, data = parsed(event.metadata), parsed(event.data)
    line = {
        "position": str(event.commit_position),
        "recorded_at": event.recorded_at.isoformat(),
        "stream": event.stream_name,
        "revision": event.stream_position,
        "id": str(event.id),
        "type": event.type,
        "data": data,
    }
    if isinstance(metadata, dict) and "schema_version" in metadata:
        line |= {
            "schema_version": metadata["schema_version"],
            "actor": metadata["actor"],
            "correlation": metadata["$correlationId"],
            "causation": metadata["$causationId"],
            "idempotency_key": metadata["key"],
            "sealed_for": sorted(sealed_for(data)),
        }
    return line


def main():
    client = KurrentDBClient(uri=sys.argv[1])
    # Without the streams of the store itself, whose names begin with `$`.
    events = client.subscribe_to_all() if "--follow" in sys.argv else client.read_all()
    for event in events:
        if not event.stream_name.startswith("$"):
            print(json.dumps(decoded(event)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main()
