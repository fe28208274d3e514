"""Sessions and groups keep to the lists too. The store speaks TLS and asks who calls."""

import os

import pytest
from events import event, events, revisions, take
from kurrentdbclient import KurrentDBClient, NewEvents, StreamState
from kurrentdbclient.events import NewRecord, StreamStateCheck
from kurrentdbclient.exceptions import AccessDeniedError, NotFoundError, UnauthenticatedError

ANY = StreamState.ANY
OURS = {"$acl": {"$r": ["$admins"], "$w": ["$admins"]}}


def connect(user, password=None):
    password = password or os.environ[f"STORE_{user.upper()}_PASSWORD"]
    url = f"kurrentdb://{user}:{password}@{os.environ['STORE_ADDRESS']}"
    return KurrentDBClient(f"{url}?tlsCaFile={os.environ['STORE_CA']}")


@pytest.fixture
def admin():
    with connect("admin") as client:
        yield client


@pytest.fixture
def ops():
    with connect("ops") as client:
        yield client


def new(stream):
    return NewEvents(stream_name=stream, events=events(1), current_version=ANY)


def test_a_session_is_refused_when_one_of_its_streams_is_denied(admin, ops, name):
    admin.set_stream_metadata(f"{name}-ours", metadata=OURS)
    for denied in (f"${name}", f"{name}-ours"):
        with pytest.raises(AccessDeniedError):
            ops.multi_append_to_stream([new(f"{name}-open"), new(denied)])
        with pytest.raises(AccessDeniedError):
            ops.append_records(
                NewRecord(stream_name=stream, type="tested", data=b"{}")
                for stream in (f"{name}-open", denied)
            )
        with pytest.raises(NotFoundError):
            admin.get_stream(denied)
    with pytest.raises(NotFoundError):
        admin.get_stream(f"{name}-open")
    ops.multi_append_to_stream([new(f"{name}-open"), new(f"{name}-too")])
    admin.multi_append_to_stream([new(f"${name}"), new(f"{name}-ours")])


def test_a_check_does_not_tell_about_a_stream_that_may_not_be_read(admin, ops, name):
    admin.set_stream_metadata(f"{name}-ours", metadata=OURS)
    record = NewRecord(stream_name=f"{name}-open", type="tested", data=b"{}")
    for state in (StreamState.NO_STREAM, StreamState.EXISTS, 7):
        with pytest.raises(AccessDeniedError):
            ops.append_records(record, StreamStateCheck(f"{name}-ours", state))


def test_a_session_with_a_wrong_password_is_refused(name):
    with connect("ops", "wrong") as client:
        with pytest.raises(UnauthenticatedError):
            client.multi_append_to_stream(new(name))
        with pytest.raises(UnauthenticatedError):
            client.create_subscription_to_stream("workers", name)


def test_a_group_gives_nobody_what_may_not_be_read(admin, ops, name):
    admin.append_to_stream(name, current_version=ANY, events=event())
    admin.create_subscription_to_stream("workers", name)
    with ops.read_subscription_to_stream("workers", name) as subscription:
        assert revisions(take(subscription, 1)) == [0]
        subscription.stop()
    admin.set_stream_metadata(name, metadata=OURS)
    with pytest.raises(AccessDeniedError):
        ops.read_subscription_to_stream("workers", name)
