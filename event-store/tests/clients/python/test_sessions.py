"""Appends to several streams at once, with the second version of the protocol."""

import json
import uuid

import pytest
from events import event, events, ids, revisions
from kurrentdbclient import KurrentDBClient, NewEvent, NewEvents, StreamState
from kurrentdbclient.events import NewRecord, StreamStateCheck
from kurrentdbclient.exceptions import (
    ConsistencyChecksFailedError,
    MultiAppendToSameStreamError,
    NotFoundError,
    RecordMaxSizeExceededError,
    StreamTombstonedError,
    TransactionMaxSizeExceededError,
    WrongCurrentVersionError,
)

NO_STREAM, ANY, EXISTS = StreamState.NO_STREAM, StreamState.ANY, StreamState.EXISTS


def new(stream, expected, proposed):
    return NewEvents(stream_name=stream, events=proposed, current_version=expected)


def record(stream, **more):
    return NewRecord(stream_name=stream, type="tested", data=b'{"a": 1}', **more)


def append(client, stream, proposed, expected=ANY):
    return client.append_to_stream(stream, current_version=expected, events=proposed)


def assert_missing(client, *streams):
    for stream in streams:
        with pytest.raises(NotFoundError):
            client.get_stream(stream)


def test_several_streams_are_appended_to_at_once(client, name):
    a, b, c = (f"{name}-{letter}" for letter in "abc")
    append(client, b, events(2))
    proposed = {a: events(3), b: events(1), c: events(2)}
    position = client.multi_append_to_stream(
        [new(a, NO_STREAM, proposed[a]), new(b, 1, proposed[b]), new(c, ANY, proposed[c])]
    )
    assert revisions(client.get_stream(a)) == [0, 1, 2]
    assert revisions(client.get_stream(b)) == [0, 1, 2]
    assert revisions(client.get_stream(c)) == [0, 1]
    log = [one for one in client.read_all() if one.stream_name.startswith(name)]
    assert ids(log)[2:] == ids([*proposed[a], *proposed[b], *proposed[c]])
    assert log[-1].commit_position == position
    again = client.multi_append_to_stream([new(a, EXISTS, events(1)), new(b, EXISTS, events(1))])
    assert again > position


def test_what_was_appended_is_read_as_it_was(client, name):
    binary = NewEvent(
        type="bytes",
        data=bytes([0, 159]),
        metadata=b'{"who": "me"}',
        content_type="application/octet-stream",
        id=uuid.uuid4(),
    )
    client.multi_append_to_stream(new(name, NO_STREAM, [binary, event(7)]))
    first, second = client.get_stream(name)
    assert (first.id, first.type, first.data) == (binary.id, "bytes", binary.data)
    assert first.content_type == binary.content_type
    assert json.loads(first.metadata)["who"] == "me"
    assert second.content_type == "application/json"
    assert json.loads(second.data) == {"number": 7}


def test_one_wrong_expectation_refuses_all(client, name):
    a, b = f"{name}-a", f"{name}-b"
    append(client, b, events(3))
    for expected, told in ((NO_STREAM, NO_STREAM), (0, 0), (7, 7)):
        with pytest.raises(WrongCurrentVersionError) as refused:
            client.multi_append_to_stream(
                [new(a, NO_STREAM, events(1)), new(b, expected, events(1))]
            )
        assert refused.value.stream_name == b
        assert refused.value.expected_version == told
        assert refused.value.actual_version == 2
    with pytest.raises(WrongCurrentVersionError) as refused:
        client.multi_append_to_stream([new(b, 2, events(1)), new(a, EXISTS, events(1))])
    assert refused.value.stream_name == a
    assert refused.value.actual_version == NO_STREAM
    assert_missing(client, a)
    assert revisions(client.get_stream(b)) == [0, 1, 2]


def test_a_repeat_is_answered_as_the_first_time(client, name):
    session = [new(f"{name}-a", NO_STREAM, events(2)), new(f"{name}-b", NO_STREAM, events(1))]
    first = client.multi_append_to_stream(session)
    assert client.multi_append_to_stream(session) == first
    assert revisions(client.get_stream(f"{name}-a")) == [0, 1]


def test_a_stream_is_in_a_session_once(client, name):
    with pytest.raises(MultiAppendToSameStreamError) as refused:
        client.multi_append_to_stream(
            [new(name, NO_STREAM, events(1)), new(name, 0, events(1))]
        )
    assert refused.value.stream_name == name
    assert_missing(client, name)


def test_an_ended_stream_refuses_all(client, name):
    client.tombstone_stream(f"{name}-b", current_version=ANY)
    with pytest.raises(StreamTombstonedError) as refused:
        client.multi_append_to_stream(
            [new(f"{name}-a", ANY, events(1)), new(f"{name}-b", ANY, events(1))]
        )
    assert refused.value.stream_name == f"{name}-b"
    assert_missing(client, f"{name}-a")


def test_records_and_sessions_that_are_too_large_are_refused(client, name):
    large = NewEvent(type="large", data=b"x" * ((16 << 20) + 1))
    with pytest.raises(RecordMaxSizeExceededError) as refused:
        client.multi_append_to_stream([new(name, ANY, events(1)), new(f"{name}-b", ANY, [large])])
    assert refused.value.stream_name == f"{name}-b"
    assert refused.value.event_id == large.id
    assert refused.value.max_size == 16 << 20 and refused.value.size > 16 << 20
    half = [NewEvent(type="half", data=b"x" * (8 << 20)) for _ in range(9)]
    with pytest.raises(TransactionMaxSizeExceededError) as refused:
        client.multi_append_to_stream(
            new(f"{name}-{number}", ANY, [one]) for number, one in enumerate(half)
        )
    assert refused.value.max_size == 64 << 20 and refused.value.size > 64 << 20
    assert_missing(client, name, f"{name}-0")


def test_records_of_many_streams_are_appended_in_their_order(client, name):
    a, b = f"{name}-a", f"{name}-b"
    proposed = [record(a), record(b), record(a, metadata=b'{"who": "me"}')]
    result = client.append_records(proposed)
    ends = {one.stream_name: one.stream_position for one in result.stream_positions}
    assert ends == {a: 1, b: 0}
    log = [one for one in client.read_all() if one.stream_name.startswith(name)]
    assert [one.id for one in log] == [one.id for one in proposed]
    assert log[-1].commit_position == result.commit_position
    assert json.loads(log[-1].metadata)["who"] == "me"


def test_checks_on_streams_that_are_not_written_are_kept_to(client, name):
    written, watched = f"{name}-written", f"{name}-watched"
    append(client, watched, events(3))
    client.append_records(record(written), StreamStateCheck(watched, 2))
    client.append_records(record(written), StreamStateCheck(watched, EXISTS))
    client.append_records(record(written), StreamStateCheck(f"{name}-none", NO_STREAM))
    with pytest.raises(ConsistencyChecksFailedError) as refused:
        client.append_records(
            record(written),
            [
                StreamStateCheck(written, 2),
                StreamStateCheck(watched, 1),
                StreamStateCheck(f"{name}-none", EXISTS),
            ],
        )
    failures = refused.value.failures
    assert [failure.check_index for failure in failures] == [1, 2]
    first, second = (failure.stream_state_failure for failure in failures)
    assert (first.stream_name, first.expected_state, first.actual_state) == (watched, 1, 2)
    assert (second.expected_state, second.actual_state) == (-4, -1)
    assert revisions(client.get_stream(written)) == [0, 1, 2]


def test_a_subscription_sees_a_session_as_a_whole(url, client, name):
    with KurrentDBClient(url) as other, other.subscribe_to_all(from_end=True) as subscription:
        proposed = {f"{name}-{number}": events(3) for number in range(10)}
        client.multi_append_to_stream(
            new(stream, NO_STREAM, one) for stream, one in proposed.items()
        )
        seen = [next(subscription).id for _ in range(30)]
    assert seen == [one.id for new_events in proposed.values() for one in new_events]
