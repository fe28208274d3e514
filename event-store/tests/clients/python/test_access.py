"""TLS, credentials, and access control lists. The store speaks TLS and asks who calls."""

import os

import pytest
from events import event, events, revisions, take
from kurrentdbclient import KurrentDBClient, StreamState
from kurrentdbclient.exceptions import (
    AccessDeniedError,
    KurrentDBClientError,
    ServiceUnavailableError,
    SSLError,
    UnauthenticatedError,
)

ANY = StreamState.ANY
PASSWORDS = {"admin": os.environ["STORE_ADMIN_PASSWORD"], "ops": os.environ["STORE_OPS_PASSWORD"]}


def connect(user="admin", password=None, authority=os.environ["STORE_CA"]):
    password = password or PASSWORDS.get(user, "none")
    url = f"kurrentdb://{user}:{password}@{os.environ['STORE_ADDRESS']}"
    return KurrentDBClient(f"{url}?tlsCaFile={authority}")


@pytest.fixture
def admin():
    with connect() as client:
        yield client


@pytest.fixture
def ops():
    """A user that is no admin."""
    with connect("ops") as client:
        yield client


def append(client, stream, new, **how):
    return client.append_to_stream(stream, current_version=ANY, events=new, **how)


def test_everything_works_over_tls_with_credentials(admin, name):
    append(admin, name, event())
    with admin.subscribe_to_stream(name) as subscription:
        assert revisions(take(subscription, 1)) == [0]
        append(admin, name, events(300))
        assert revisions(take(subscription, 300)) == list(range(1, 301))
    assert len(admin.get_stream(name)) == 301
    assert admin.get_commit_position() > 0


def test_the_node_is_found_by_its_gossip_over_tls(name):
    authority, address = os.environ["STORE_CA"], os.environ["STORE_ADDRESS"]
    with KurrentDBClient(
        f"kurrentdb+discover://admin:{PASSWORDS['admin']}@{address}?tlsCaFile={authority}"
    ) as client:
        append(client, name, event())


def test_a_wrong_password_or_user_is_refused(name):
    for user, password in (("admin", "wrong"), ("nobody", "wrong"), ("ops", PASSWORDS["admin"])):
        with connect(user, password) as client:
            for call in (
                lambda: append(client, name, event()),
                lambda: append(client, name, events(2)),
                lambda: client.get_stream(name),
                lambda: list(client.read_all()),
                lambda: client.subscribe_to_stream(name),
                lambda: client.delete_stream(name, current_version=ANY),
            ):
                with pytest.raises(UnauthenticatedError):
                    call()


def test_a_certificate_of_another_authority_is_not_trusted(name):
    with connect(authority=os.environ["STORE_STRANGER_CA"]) as client:
        with pytest.raises((SSLError, ServiceUnavailableError)):
            client.get_stream(name)


def test_plain_text_is_not_spoken(name):
    with KurrentDBClient(f"kurrentdb://{os.environ['STORE_ADDRESS']}?tls=false") as client:
        with pytest.raises(KurrentDBClientError):
            client.get_stream(name)


def test_a_call_can_have_credentials_of_its_own(admin, ops, name):
    append(admin, f"${name}", event())
    with pytest.raises(AccessDeniedError):
        ops.get_stream(f"${name}")
    own = ops.construct_call_credentials("admin", PASSWORDS["admin"])
    assert revisions(ops.get_stream(f"${name}", credentials=own)) == [0]
    append(ops, f"${name}", event(), credentials=own)
    append(ops, f"${name}", events(1), credentials=own)


def test_streams_of_the_system_are_for_admins(ops, name):
    for call in (
        lambda: append(ops, f"${name}", event()),
        lambda: append(ops, f"${name}", events(2)),
        lambda: ops.get_stream(f"${name}"),
        lambda: ops.subscribe_to_stream(f"${name}"),
        lambda: ops.delete_stream(f"${name}", current_version=ANY),
        lambda: ops.tombstone_stream(f"${name}", current_version=ANY),
    ):
        with pytest.raises(AccessDeniedError):
            call()


def test_a_list_is_kept_to_by_every_call(admin, ops, name):
    append(ops, name, events(2))
    acl = {"$r": ["$admins"], "$w": ["$admins"], "$d": ["$admins"], "$mr": ["$admins"]}
    admin.set_stream_metadata(name, metadata={"$acl": {**acl, "$mw": ["$admins"]}})
    for call in (
        lambda: ops.get_stream(name),
        lambda: ops.subscribe_to_stream(name),
        lambda: append(ops, name, event()),
        lambda: append(ops, name, events(2)),
        lambda: ops.delete_stream(name, current_version=ANY),
        lambda: ops.get_stream_metadata(name),
        lambda: ops.set_stream_metadata(name, metadata={}),
    ):
        with pytest.raises(AccessDeniedError):
            call()
    admin.set_stream_metadata(name, metadata={"$acl": {**acl, "$r": ["ops"]}})
    assert revisions(ops.get_stream(name)) == [0, 1]
    with pytest.raises(AccessDeniedError):
        append(ops, name, event())
    admin.set_stream_metadata(name, metadata={})
    append(ops, name, event())
    assert revisions(admin.get_stream(name)) == [0, 1, 2]
