"""Soft deletion, revival, tombstones, and the errors of each."""

import pytest
from events import event, events, revisions
from kurrentdbclient import StreamState
from kurrentdbclient.exceptions import (
    FailedPreconditionError,
    NotFoundError,
    StreamIsDeletedError,
    WrongCurrentVersionError,
)

# The client gives its append of one event no error of its own for a deleted stream.
DELETED = (StreamIsDeletedError, FailedPreconditionError)
NO_STREAM, ANY, EXISTS = StreamState.NO_STREAM, StreamState.ANY, StreamState.EXISTS


def append(client, stream, new, expected=ANY):
    return client.append_to_stream(stream, current_version=expected, events=new)


def test_a_deleted_stream_is_not_found(client, name):
    for number, expected in enumerate((ANY, EXISTS, 2)):
        stream = f"{name}-{number}"
        append(client, stream, events(3))
        client.delete_stream(stream, current_version=expected)
        with pytest.raises(NotFoundError):
            client.get_stream(stream)
        assert client.get_current_version(stream) is NO_STREAM


def test_a_deletion_with_a_wrong_expectation_is_refused(client, name):
    append(client, name, events(3))
    for expected in (0, 1, 3):
        with pytest.raises(WrongCurrentVersionError) as refused:
            client.delete_stream(name, current_version=expected)
        assert refused.value.stream_name == name
        assert refused.value.expected_version == expected
        assert refused.value.actual_version == 2
    with pytest.raises(WrongCurrentVersionError):
        client.delete_stream(name, current_version=NO_STREAM)
    assert revisions(client.get_stream(name)) == [0, 1, 2]


def test_a_stream_that_never_was_cannot_be_deleted(client, name):
    for expected in (ANY, NO_STREAM, EXISTS, 0):
        with pytest.raises(NotFoundError):
            client.delete_stream(name, current_version=expected)


def test_a_deleted_stream_can_be_deleted_again_but_does_not_exist(client, name):
    append(client, name, events(3))
    client.delete_stream(name, current_version=2)
    client.delete_stream(name, current_version=ANY)
    with pytest.raises(StreamIsDeletedError):
        client.delete_stream(name, current_version=EXISTS)
    for new in (event(), events(2)):
        with pytest.raises(DELETED, match="is deleted"):
            append(client, name, new, expected=EXISTS)


def test_a_deleted_stream_is_revived_where_it_ended(client, name):
    for number, expected in enumerate((NO_STREAM, ANY, 2)):
        for new in (event(), events(1)):
            stream = f"{name}-{number}-{type(new).__name__}"
            append(client, stream, events(3))
            client.set_stream_metadata(stream, metadata={"mine": 1})
            client.delete_stream(stream, current_version=ANY)
            append(client, stream, new, expected=expected)
            assert revisions(client.get_stream(stream)) == [3]
            metadata, _ = client.get_stream_metadata(stream)
            assert metadata == {"mine": 1, "$tb": 3}


def test_a_deletion_leaves_the_events_in_the_log(client, name):
    append(client, name, events(3))
    client.delete_stream(name, current_version=ANY)
    left = client.read_all(filter_include=[name], filter_by_stream_name=True)
    assert revisions(left) == [0, 1, 2]


def test_a_tombstone_ends_a_stream_for_ever(client, name):
    for number, expected in enumerate((ANY, EXISTS, 2)):
        stream = f"{name}-{number}"
        append(client, stream, events(3))
        client.tombstone_stream(stream, current_version=expected)
        for again in (
            lambda: client.get_stream(stream),
            lambda: client.get_stream(stream, backwards=True),
            lambda: client.get_current_version(stream),
            lambda: append(client, stream, events(1)),
            lambda: append(client, stream, events(2), expected=NO_STREAM),
            lambda: append(client, stream, events(2), expected=2),
            lambda: client.delete_stream(stream, current_version=ANY),
            lambda: client.tombstone_stream(stream, current_version=ANY),
            lambda: client.get_stream_metadata(stream),
            lambda: client.subscribe_to_stream(stream),
        ):
            with pytest.raises(StreamIsDeletedError):
                next(iter(again()))
        with pytest.raises(DELETED, match="is deleted"):
            append(client, stream, event())


def test_a_stream_that_never_was_can_be_ended(client, name):
    client.tombstone_stream(name, current_version=ANY)
    with pytest.raises(StreamIsDeletedError):
        append(client, name, events(1))


def test_a_tombstone_with_a_wrong_expectation_is_refused(client, name):
    append(client, name, events(3))
    for expected in (0, 1, 3, NO_STREAM):
        with pytest.raises(WrongCurrentVersionError) as refused:
            client.tombstone_stream(name, current_version=expected)
        assert (refused.value.expected_version, refused.value.actual_version) == (expected, 2)
    with pytest.raises(NotFoundError):
        client.tombstone_stream(f"{name}-never", current_version=0)
    assert revisions(client.get_stream(name)) == [0, 1, 2]
