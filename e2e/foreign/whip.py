"""WHIP (RFC 9725) and WHEP as any client does it: one request begins, one ends. And what is told to the
test: lines of JSON on standard output."""

import json
import sys
import urllib.parse
import urllib.request


def begin(url, ticket, offer):
    """Posts an offer. Returns the answer, and where the session is."""
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {ticket}"}
    request = urllib.request.Request(url, offer.encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        session = urllib.parse.urljoin(url, answer.headers["Location"])
        return answer.read().decode(), session


def end(session):
    request = urllib.request.Request(session, method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()


def tell(**facts):
    print(json.dumps(facts), flush=True)


def until_told_to_end():
    """Blocks until standard input ends."""
    sys.stdin.read()
