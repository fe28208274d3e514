"""Events to write, and what is expected of the ones that are read."""

import json
from itertools import islice

from kurrentdbclient import NewEvent


def event(number=0, kind="tested", **more):
    return NewEvent(type=kind, data=json.dumps({"number": number}).encode(), **more)


def events(count, kind="tested"):
    return [event(number, kind) for number in range(count)]


def revisions(read):
    return [one.stream_position for one in read]


def ids(read):
    return [one.id for one in read]


def places(read):
    return [(one.stream_name, one.stream_position) for one in read]


def take(subscription, count):
    taken = list(islice(subscription, count))
    assert len(taken) == count, f"it ended after {len(taken)} of {count}"
    return taken
