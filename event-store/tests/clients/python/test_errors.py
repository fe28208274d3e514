"""Errors that no other file provokes, and which file provokes each of the others.

The errors that the protocol knows, and where this client meets them:

- stream-deleted, wrong-expected-version: append, delete, read, subscribe, sessions
- an append or an event that is too large: append, sessions
- access-denied, and credentials that are wrong: access, guarded
- the five of persistent subscriptions: persistent
- a call or a write that is not answered in time, a consumer that is too slow, a store that stops:
  here

Three cannot be had from this store by this client:

- not-leader: a store is one node, which always leads; nothing makes it say otherwise.
- missing-required-metadata-property: the client always sends the type and the content type.
- a write that the server gives up (AppendDeadlineExceededError): the time that the client names for
  a write is also the time after which it gives up itself, and it started to count earlier.
"""

import pytest
from events import event, events, take
from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import (
    ConsumerTooSlowError,
    DeadlineExceededError,
    GrpcDeadlineExceededError,
    ServiceUnavailableError,
)
from program import Program

ANY = StreamState.ANY
GROUP = "workers"
# In seconds. Each call is tried twice, as the client does with every error of gRPC.
SOON = 0.1


@pytest.fixture
def program(tmp_path):
    with Program(tmp_path) as program:
        yield program


@pytest.fixture
def client_of_program(program):
    with KurrentDBClient(f"kurrentdb://{program.address}?tls=false") as client:
        yield client


def append(client, stream, new, **how):
    return client.append_to_stream(stream, current_version=ANY, events=new, **how)


def test_a_call_that_is_not_answered_in_time_fails_as_such(program, client_of_program, name):
    client = client_of_program
    append(client, name, events(3))
    client.create_subscription_to_stream(GROUP, name)
    program.freeze()
    for call in (
        lambda: append(client, name, event(), timeout=SOON),
        lambda: append(client, name, events(2), timeout=SOON),
        lambda: client.multi_append_to_stream([], timeout=SOON),
        lambda: client.get_stream(name, timeout=SOON),
        lambda: client.get_current_version(name, timeout=SOON),
        lambda: list(client.read_all(timeout=SOON)),
        lambda: client.subscribe_to_stream(name, timeout=SOON),
        lambda: client.delete_stream(f"{name}-a", current_version=ANY, timeout=SOON),
        lambda: client.tombstone_stream(f"{name}-b", current_version=ANY, timeout=SOON),
        lambda: client.create_subscription_to_stream("late", name, timeout=SOON),
        lambda: client.read_subscription_to_stream(GROUP, name, timeout=SOON),
        lambda: client.get_subscription_info(GROUP, name, timeout=SOON),
        lambda: client.replay_parked_events(GROUP, name, timeout=SOON),
    ):
        with pytest.raises(GrpcDeadlineExceededError) as late:
            call()
        assert isinstance(late.value, DeadlineExceededError)
    program.thaw()
    append(client, f"{name}-c", event())
    assert client.get_current_version(f"{name}-c") == 0


def test_a_consumer_that_takes_nothing_is_told_that_it_is_too_slow(client, name):
    large = NewEvent(type="large", data=b"x" * (4 << 20))
    append(client, name, large)
    client.create_subscription_to_stream(
        GROUP, name, message_timeout=0.001, max_retry_count=1_000_000
    )
    subscription = client.read_subscription_to_stream(GROUP, name, event_buffer_size=2)
    # The event is sent again and again, until no more fits on the way to one who does not read.
    while client.get_subscription_info(GROUP, name).connections:
        pass
    with pytest.raises(ConsumerTooSlowError):
        for one in subscription:
            assert one.id == large.id
    # The group goes on without it. The next one has room for what comes before it is heard.
    with client.read_subscription_to_stream(
        GROUP, name, event_buffer_size=10_000
    ) as subscription:
        assert take(subscription, 1)[0].id == large.id
        subscription.stop()


def test_a_store_that_stops_says_that_it_is_unavailable(program, client_of_program, name):
    client = client_of_program
    append(client, name, event())
    client.create_subscription_to_stream(GROUP, name)
    subscriptions = [
        client.subscribe_to_stream(name),
        client.subscribe_to_all(),
        client.read_subscription_to_stream(GROUP, name),
    ]
    for subscription in subscriptions:
        take(subscription, 1)
    program.stop()
    for subscription in subscriptions:
        with pytest.raises(ServiceUnavailableError):
            next(subscription)
    with pytest.raises(ServiceUnavailableError):
        client.get_stream(name)
    program.start()
