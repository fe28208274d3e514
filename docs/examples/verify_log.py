#!/usr/bin/env python3
"""Verifies an export of Roundtable's log, from docs/audit.md alone: an independent second opinion.

    roundtable audit export log.jsonl && roundtable audit key > audit.pem
    python3 verify_log.py log.jsonl audit.pem            # or 64 hexadecimal digits instead of a file

Needs nothing but Python 3.9. Prints one line of JSON for each fault and one in the end, and exits with
0 only if there is no fault. It keeps one record for each event in memory, which makes it short.
"""

import base64
import hashlib
import json
import re
import sys
import uuid

STREAM = "notary-checkpoints"
HEADER = '{"format":"roundtable-log/1"}'
FIELDS = ["number", "events", "total", "first", "last", "root", "chain", "witnesses", "previous",
          "time", "key"]


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- Ed25519 (RFC 8032, section 5.1), verification only -------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def decode_point(octets):
    """A point of the curve in extended coordinates, or None."""
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def add(one, other):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


BASE = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def is_signed(key, message, signature):
    if len(signature) != 64:
        return False
    public, commitment = decode_point(key), decode_point(signature[:32])
    response = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or response >= ORDER:
        return False
    challenge = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(challenge, "little") % ORDER
    x1, y1, z1, _ = multiply(response, BASE)
    x2, y2, z2, _ = add(commitment, multiply(challenge, public))
    return (x1 * z2 - x2 * z1) % P == 0 and (y1 * z2 - y2 * z1) % P == 0


# --- Events ---------------------------------------------------------------------------------------

def position(text):
    """`"5"` or `"5/4"` as a pair, which compares as positions do."""
    if not re.fullmatch(r"\d{1,20}(/\d{1,20})?", text, re.ASCII):
        raise ValueError("no position")
    commit, _, prepare = text.partition("/")
    return int(commit), int(prepare or commit)


def shown(place):
    return str(place[0]) if place[0] == place[1] else f"{place[0]}/{place[1]}"


def once(pairs):
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is there twice")
    return fields


def octets(line, name):
    if name in line:
        return line.pop(name).encode()
    return base64.b64decode(line.pop(name + "_base64"), validate=True)


class Event:
    def __init__(self, text):
        line = json.loads(text, object_pairs_hook=once)
        self.position = position(line.pop("position"))
        self.stream, self.revision = line.pop("stream"), line.pop("revision")
        self.id, self.type = uuid.UUID(line.pop("id")), line.pop("type")
        self.content_type, self.created = line.pop("content_type"), int(line.pop("created"))
        self.data, self.metadata = octets(line, "data"), octets(line, "metadata")
        if line or type(self.revision) is not int:
            raise ValueError("no event")
        fields = [self.stream.encode(), self.revision.to_bytes(8, "big"), self.id.bytes,
                  self.type.encode(), self.content_type.encode(),
                  self.created.to_bytes(8, "big", signed=True), self.data, self.metadata]
        framed = b"".join(len(field).to_bytes(8, "big") + field for field in fields)
        content = sha256(b"roundtable-event/1\n", framed)
        commit, prepare = self.position
        self.content = content[:8]
        self.leaf = sha256(b"\0", commit.to_bytes(8, "big"), prepare.to_bytes(8, "big"), content)
        self.body = self.data if self.stream == STREAM else None
        self.has_metadata, self.data, self.metadata = bool(self.metadata), None, None


def root(level):
    while len(level) > 1:
        pairs = [level[at:at + 2] for at in range(0, len(level), 2)]
        level = [sha256(b"\1", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def chain(head, events):
    for event in events:
        head = sha256(b"\2", head, event.leaf)
    return head


# --- Checkpoints ----------------------------------------------------------------------------------

class Refused(Exception):
    """What is wrong with a checkpoint."""


class Checkpoint:
    def __init__(self, event, keys):
        try:
            data = json.loads(event.body, object_pairs_hook=once)
            text = data.pop("checkpoint").encode()
            signature = base64.b64decode(data.pop("signature"), validate=True)
            witnesses = base64.b64decode(data.pop("witnesses"), validate=True)
            first, *lines, end = text.decode().split("\n")
            said = [line.split(": ", 1) for line in lines]
            if data or end or first != "roundtable-checkpoint/1":
                raise ValueError("another format")
            if [name for name, _ in said] != FIELDS:
                raise ValueError("other fields")
            said = dict(said)
            self.number, self.events, self.total = (int(said[it]) for it in FIELDS[:3])
            self.first, self.last = position(said["first"]), position(said["last"])
            self.root, self.chain, digest, self.previous = (
                bytes.fromhex(said[it]) for it in FIELDS[5:9])
        except (ValueError, KeyError, AttributeError, TypeError):
            raise Refused("no checkpoint") from None
        self.hash = sha256(text)
        identity = bytearray(self.hash[:16])
        identity[6], identity[8] = identity[6] & 0x0F | 0x80, identity[8] & 0x3F | 0x80
        if (event.type != "notary.checkpoint" or event.content_type != "application/json"
                or event.has_metadata or event.id.bytes != bytes(identity)):
            raise Refused("no checkpoint")
        if said["key"] not in keys:
            raise Refused("another key")
        if not is_signed(keys[said["key"]], text, signature):
            raise Refused("another signature")
        self.key, self.place = said["key"], (event.position, event.stream, event.revision)
        self.witnesses, self.head, self.seen = None, None, []
        if sha256(witnesses) == digest and len(witnesses) == 16 * self.events > 0:
            parts = [witnesses[at:at + 16] for at in range(0, len(witnesses), 16)]
            self.witnesses = [(int.from_bytes(it[:8], "big"), it[8:]) for it in parts]

    def fits(self, head):
        seen = sorted(self.seen, key=lambda event: event.position)
        return (len(seen) == self.events
                and (seen[0].position, seen[-1].position) == (self.first, self.last)
                and root([event.leaf for event in seen]) == self.root
                and (head is None or chain(head, seen) == self.chain))

    def compare(self, tell):
        """Names what is wrong with a segment that does not fit."""
        if self.fits(None):
            return tell("broken-chain", self.first)
        if self.witnesses is None:
            return tell("changed", self.first)
        told = 0

        def say(kind, place, event=None):
            nonlocal told
            told += 1
            tell(kind, place, *((event.stream, event.revision) if event else ()))

        slots = {place: at for at, (place, _) in enumerate(self.witnesses)}
        taken, strangers, rest = set(), [], []
        for event in self.seen:
            at = slots.get(event.position[0])
            if at is None or self.witnesses[at][1] != event.content:
                strangers.append(event)
            elif at in taken:
                say("inserted", event.position, event)
            else:
                taken.add(at)
        free = {content: at for at, (_, content) in enumerate(self.witnesses) if at not in taken}
        for event in strangers:
            at = free.get(event.content)
            if at is None or at in taken:
                rest.append(event)
            else:
                taken.add(at)
                say("reordered", event.position, event)
        for event in rest:
            at = slots.get(event.position[0])
            if at is None or at in taken:
                say("inserted", event.position, event)
            else:
                taken.add(at)
                say("changed", event.position, event)
        for at, (place, _) in enumerate(self.witnesses):
            if at not in taken:
                say("missing", (place, place))
        for event in self.seen:
            if not told and event.position[0] != event.position[1]:
                tell("changed", event.position, event.stream, event.revision)
        if not told and all(event.position[0] == event.position[1] for event in self.seen):
            tell("changed", self.first)


def link(checkpoints, tell):
    """The checkpoints that follow each other, and where the chain stands before each."""
    links = []
    for at in sorted(checkpoints, key=lambda it: (it.place[2], it.place[0])):
        last = links[-1] if links else None
        number, total = (last.number + 1, last.total) if last else (0, 0)
        grows = at.events > 0 and at.first <= at.last and (not last or at.first > last.last)
        if grows and at.number > number:
            tell("missing", *at.place)
        elif (grows and at.number == number and at.total == total + at.events
              and at.previous == (last.hash if last else bytes(32))):
            at.head = last.chain if last else bytes(32)
        else:
            tell("broken-chain", *at.place)
            continue
        links.append(at)
    return links


# --- The log --------------------------------------------------------------------------------------

def read(path, tell):
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        if file.readline().rstrip("\n") != HEADER:
            sys.exit("this is no export of a log")
        for text in file:
            try:
                event = Event(text.rstrip("\n"))
            except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
                try:
                    place = position(json.loads(text)["position"])
                except (ValueError, KeyError, TypeError):
                    place = None
                tell("changed", place)
                continue
            if not event.stream.startswith("$"):
                yield event


def in_order(events, tell):
    """Of two neighbours that are in the wrong order, one is out of place."""
    before = last = None
    for event in events:
        if last is None or event.position >= last.position:
            before, last = last, event
        elif before is None or event.position > before.position:
            tell("reordered", last.position, last.stream, last.revision)
            last = event
        else:
            tell("reordered", event.position, event.stream, event.revision)


def segment_of(links, place):
    low, high = 0, len(links)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if links[middle].last < place else (low, middle)
    at = links[low] if low < len(links) else None
    return None if at is None or (at.head is None and place < at.first) else at


def verify(path, keys):
    faults = set()

    def tell(kind, place=None, stream=None, revision=None):
        faults.add((place or (-1, -1), kind, stream or "", -1 if revision is None else revision))

    events = list(read(path, tell))
    in_order(events, tell)
    signed = {name: [] for name in keys}
    for event in events:
        if event.stream == STREAM:
            try:
                checkpoint = Checkpoint(event, keys)
            except Refused:
                tell("bad-signature", event.position, event.stream, event.revision)
                continue
            if checkpoint.witnesses is None:
                tell("bad-signature", event.position, event.stream, event.revision)
            signed[checkpoint.key].append(checkpoint)
    chains = [link(checkpoints, tell) for checkpoints in signed.values()]
    end = max((links[-1].last for links in chains if links), default=None)
    verified = unsigned = 0
    for event in events:
        segments = [at for links in chains if (at := segment_of(links, event.position))]
        for at in segments:
            at.seen.append(event)
        verified += bool(segments)
        unsigned += event.stream != STREAM and (end is None or event.position > end)
    for at in (at for links in chains for at in links):
        if not at.fits(at.head):
            at.compare(tell)
    if end is None and events:
        tell("missing")
    for place, kind, stream, revision in sorted(faults):
        print(json.dumps({"fault": {
            "kind": kind, "position": shown(place) if place[0] >= 0 else None,
            "stream": stream or None, "revision": revision if revision >= 0 else None}}))
    print(json.dumps({"verified": {
        "events": verified, "faults": len(faults), "unsigned": unsigned}}))
    return not faults


def public_key(given):
    if not re.fullmatch(r"[0-9a-fA-F]{64}", given):
        with open(given, encoding="ascii") as file:
            given = file.read().strip()
    if given.startswith("-----BEGIN PUBLIC KEY-----"):
        der = base64.b64decode("".join(given.splitlines()[1:-1]), validate=True)
        prefix = bytes.fromhex("302a300506032b6570032100")
        if not der.startswith(prefix) or len(der) != 44:
            sys.exit("this is no Ed25519 key")
        return der[12:]
    return bytes.fromhex(given)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    given = [public_key(it) for it in sys.argv[2:]]
    sys.exit(0 if verify(sys.argv[1], {sha256(it)[:8].hex(): it for it in given}) else 1)
