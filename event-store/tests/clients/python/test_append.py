"""Appends: expected revisions, all or nothing, repeats, and what is refused."""

import asyncio
import threading
import uuid

import pytest
from events import event, events, ids, revisions
from kurrentdbclient import AsyncKurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import (
    GrpcError,
    MaximumAppendSizeExceededError,
    WrongCurrentVersionError,
)

NO_STREAM, ANY, EXISTS = StreamState.NO_STREAM, StreamState.ANY, StreamState.EXISTS


def append(client, stream, expected, new):
    return client.append_to_stream(stream, current_version=expected, events=new)


def test_every_true_expectation_is_accepted_for_one_event(client, name):
    first = append(client, name, NO_STREAM, event())
    second = append(client, name, 0, event())
    third = append(client, name, EXISTS, event())
    fourth = append(client, name, ANY, event())
    assert first < second < third < fourth
    read = client.get_stream(name)
    assert revisions(read) == [0, 1, 2, 3]
    assert [one.commit_position for one in read] == [first, second, third, fourth]
    assert client.get_current_version(name) == 3


def test_every_true_expectation_is_accepted_for_many_events(client, name):
    first = append(client, name, NO_STREAM, events(3))
    second = append(client, name, 2, events(3))
    third = append(client, name, EXISTS, events(3))
    fourth = append(client, name, ANY, events(3))
    read = client.get_stream(name)
    assert revisions(read) == list(range(12))
    ends = [read[last].commit_position for last in (2, 5, 8, 11)]
    assert ends == [first, second, third, fourth]


def test_any_begins_a_stream_with_one_event_and_with_many(client, name):
    append(client, f"{name}-one", ANY, event())
    append(client, f"{name}-many", ANY, events(2))
    assert client.get_current_version(f"{name}-one") == 0
    assert client.get_current_version(f"{name}-many") == 1


def assert_refused(client, stream, expected, new, actual):
    with pytest.raises(WrongCurrentVersionError) as refused:
        append(client, stream, expected, new)
    assert refused.value.stream_name == stream
    assert refused.value.expected_version == expected
    assert refused.value.actual_version == actual


def test_a_stream_that_is_missing_refuses_those_who_expect_it(client, name):
    for expected in (EXISTS, 0, 7):
        assert_refused(client, name, expected, event(), NO_STREAM)
        assert_refused(client, name, expected, events(2), NO_STREAM)
    assert client.get_current_version(name) is NO_STREAM


def test_a_wrong_expectation_is_told_the_current_revision(client, name):
    append(client, name, NO_STREAM, events(3))
    for expected in (NO_STREAM, 0, 1, 3, 99):
        assert_refused(client, name, expected, event(), 2)
        assert_refused(client, name, expected, events(2), 2)
    assert revisions(client.get_stream(name)) == [0, 1, 2]


def test_a_repeat_is_answered_as_the_first_time_and_writes_nothing(client, name):
    for number, expected in enumerate((NO_STREAM, ANY, 1, EXISTS)):
        for new in (event(), events(3)):
            stream = f"{name}-{number}-{type(new).__name__}"
            if expected in (1, EXISTS):
                append(client, stream, NO_STREAM, events(2))
            first = append(client, stream, expected, new)
            append(client, stream, ANY, events(2))
            before = client.get_stream(stream)
            assert append(client, stream, expected, new) == first
            assert ids(client.get_stream(stream)) == ids(before)


def test_a_repeat_with_another_event_behind_it_is_refused(client, name):
    new = events(2)
    append(client, name, NO_STREAM, new)
    for expected in (NO_STREAM, ANY):
        with pytest.raises(WrongCurrentVersionError):
            append(client, name, expected, [*new, event()])
    assert revisions(client.get_stream(name)) == [0, 1]


def test_what_was_appended_is_read_as_it_was(client, name):
    stream = f"{name}-Grüße 1%"
    binary = NewEvent(
        type="bytes",
        data=bytes([0, 159, 146, 150]),
        metadata=b'{"who": "me"}',
        content_type="application/octet-stream",
        id=uuid.uuid4(),
    )
    text = NewEvent(type="text with ü", data='{"a": "ü"}'.encode())
    empty = NewEvent(type="empty", data=b"")
    position = append(client, stream, NO_STREAM, [binary, text, empty])
    read = client.get_stream(stream)
    for number, (was, new) in enumerate(zip(read, (binary, text, empty), strict=True)):
        assert (was.id, was.type, was.data) == (new.id, new.type, new.data)
        assert (was.metadata, was.content_type) == (new.metadata, new.content_type)
        assert (was.stream_name, was.stream_position) == (stream, number)
        assert was.commit_position == was.prepare_position
        assert was.recorded_at is not None
    assert read[2].commit_position == position


def test_many_events_are_written_all_or_not_at_all(client, name):
    append(client, name, NO_STREAM, events(1000))
    assert client.get_current_version(name) == 999
    with pytest.raises(WrongCurrentVersionError):
        append(client, name, 998, events(1000))
    assert client.get_current_version(name) == 999


def test_an_append_of_nothing_checks_the_expectation_only(client, name):
    append(client, name, NO_STREAM, [])
    assert client.get_current_version(name) is NO_STREAM
    append(client, name, NO_STREAM, event())
    append(client, name, 0, [])
    with pytest.raises(WrongCurrentVersionError):
        append(client, name, NO_STREAM, [])
    assert client.get_current_version(name) == 0


def test_of_writers_with_the_same_expectation_one_wins(client, name):
    outcomes, start = [], threading.Barrier(8)

    def write():
        start.wait()
        try:
            append(client, name, NO_STREAM, event())
            outcomes.append("won")
        except WrongCurrentVersionError:
            outcomes.append("lost")

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    assert revisions(client.get_stream(name)) == [0]


def test_large_events_are_kept_and_larger_ones_refused(client, name):
    most = 16 << 20
    kind = "large"
    fits = NewEvent(type=kind, data=b"x" * (most - 2 * len(kind)))
    append(client, name, NO_STREAM, [fits])
    with pytest.raises(MaximumAppendSizeExceededError):
        append(client, name, 0, [NewEvent(type=kind, data=b"x" * most)])
    with pytest.raises(GrpcError, match="INVALID_ARGUMENT"):
        append(client, name, 0, NewEvent(type=kind, data=b"x" * most))
    append(client, name, 0, event())
    assert revisions(client.get_stream(name, stream_position=1)) == [1]


def test_a_stream_without_a_name_is_refused(client):
    with pytest.raises(GrpcError, match="INVALID_ARGUMENT"):
        append(client, "", ANY, event())


def test_the_asynchronous_client_appends_and_is_refused(url, name):
    async def scenario():
        client = AsyncKurrentDBClient(url)
        await client.connect()
        new = events(3)
        first = await client.append_to_stream(name, current_version=NO_STREAM, events=new)
        again = await client.append_to_stream(name, current_version=NO_STREAM, events=new)
        assert again == first
        with pytest.raises(WrongCurrentVersionError) as refused:
            await client.append_to_stream(name, current_version=7, events=[event()])
        assert refused.value.actual_version == 2
        writes = (
            client.append_to_stream(f"{name}-{number}", current_version=NO_STREAM, events=new)
            for number in range(50)
        )
        assert len(set(await asyncio.gather(*writes))) == 50
        assert revisions(await client.get_stream(name)) == [0, 1, 2]
        await client.close()

    asyncio.run(scenario())
