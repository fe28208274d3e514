"""Reads of streams and of the whole log, filters, metadata and links."""

import json
import os

import pytest
from events import event, events, ids, places, revisions
from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import GrpcError, NotFoundError, WrongCurrentVersionError
from kurrentdbclient.gossip import NODE_STATE_LEADER

NO_STREAM, ANY = StreamState.NO_STREAM, StreamState.ANY


def append(client, stream, new, expected=ANY):
    return client.append_to_stream(stream, current_version=expected, events=new)


def test_a_stream_is_read_both_ways_from_anywhere_with_limits(client, name):
    append(client, name, events(600))

    def read(**how):
        return revisions(client.get_stream(name, **how))

    assert read() == list(range(600))
    assert read(limit=3) == [0, 1, 2]
    assert read(stream_position=598) == [598, 599]
    assert read(stream_position=3, limit=2) == [3, 4]
    assert read(stream_position=600) == []
    assert read(backwards=True) == list(reversed(range(600)))
    assert read(backwards=True, limit=2) == [599, 598]
    assert read(stream_position=2, backwards=True) == [2, 1, 0]
    assert read(stream_position=300, backwards=True, limit=1) == [300]


def test_a_read_is_a_stream_that_can_be_stopped(client, name):
    append(client, name, events(600))
    with client.read_stream(name) as read:
        assert next(read).stream_position == 0
        read.stop()
    assert revisions(client.get_stream(name, limit=1)) == [0]


def test_a_missing_stream_is_not_found_both_ways(client, name):
    for backwards in (False, True):
        with pytest.raises(NotFoundError):
            client.get_stream(name, backwards=backwards)


def written(client, name):
    """Events of three streams and two types, in turns; the filters below pick from them."""
    for number in range(60):
        kind = "Red" if number % 2 else "Blue"
        append(client, f"{name}-{number % 3}", event(number, f"{name}{kind}"))
    client.set_stream_metadata(f"{name}-0", metadata={"$maxAge": 3600})
    return [one for one in client.read_all() if one.stream_name.startswith(name)]


def test_the_log_is_read_both_ways_from_anywhere_with_limits(client, name):
    mine = written(client, name)
    assert len(mine) == 60
    everything = list(client.read_all(filter_exclude=()))
    positions = [one.commit_position for one in everything]
    assert positions == sorted(set(positions))
    backwards = list(client.read_all(filter_exclude=(), backwards=True))
    assert ids(reversed(backwards)) == ids(everything)
    middle = everything[30]
    forwards = client.read_all(
        filter_exclude=(), commit_position=middle.commit_position, limit=5
    )
    assert ids(forwards) == ids(everything[30:35])
    backwards = client.read_all(
        filter_exclude=(), commit_position=middle.commit_position, backwards=True, limit=2
    )
    assert ids(backwards) == [everything[29].id, everything[28].id]


def test_a_position_that_is_no_events_is_refused(client, name):
    position = append(client, name, event())
    with pytest.raises(GrpcError, match="INVALID_ARGUMENT"):
        list(client.read_all(commit_position=position + 1))


def test_the_log_is_filtered_by_the_start_of_stream_names(client, name):
    mine = written(client, name)
    wanted = [f"{name}-0", f"{name}-2"]
    read = client.read_all(
        filter_include=wanted, filter_by_stream_name=True, filter_by_prefix=True
    )
    assert ids(read) == ids(one for one in mine if one.stream_name in wanted)


def test_the_log_is_filtered_by_the_start_of_types(client, name):
    mine = written(client, name)
    read = client.read_all(filter_include=[f"{name}R"], filter_by_prefix=True)
    assert ids(read) == ids(one for one in mine if one.type == f"{name}Red")


def test_the_log_is_filtered_by_expressions_on_types_and_streams(client, name):
    mine = written(client, name)
    read = client.read_all(filter_include=[f"{name}Re.", f"{name}Nothing"], backwards=True)
    assert ids(read) == ids(one for one in reversed(mine) if one.type == f"{name}Red")
    read = client.read_all(filter_include=[rf"{name}-[12]"], filter_by_stream_name=True, limit=7)
    assert ids(read) == ids([one for one in mine if not one.stream_name.endswith("-0")][:7])


def test_the_filter_of_every_read_leaves_system_events_out(client, name):
    written(client, name)
    types = {one.type for one in client.read_all()}
    assert types and not any(kind.startswith("$") for kind in types)
    everything = {one.type for one in client.read_all(filter_exclude=())}
    assert "$metadata" in everything


def test_what_is_excluded_is_left_out(client, name):
    mine = written(client, name)
    read = client.read_all(filter_exclude=[r"\$.+", f"{name}Blue"])
    left = ids(one for one in read if one.stream_name.startswith(name))
    assert left == ids(one for one in mine if one.type == f"{name}Red")
    read = client.read_all(filter_exclude=[f"{name}-[01]"], filter_by_stream_name=True)
    left = {one.stream_name for one in read if one.stream_name.startswith(name)}
    assert left == {f"{name}-2"}


def test_the_end_of_the_log_is_the_last_events_position(client, name):
    position = append(client, name, event())
    assert client.get_commit_position() == position
    append(client, f"{name}-2", event(kind=f"{name}Other"))
    assert client.get_commit_position(filter_include=["tested"]) == position


def test_metadata_is_set_under_its_own_revisions(client, name):
    assert client.get_stream_metadata(name) == ({}, NO_STREAM)
    client.set_stream_metadata(name, metadata={"a": 1}, current_version=NO_STREAM)
    assert client.get_stream_metadata(name) == ({"a": 1}, 0)
    with pytest.raises(WrongCurrentVersionError):
        client.set_stream_metadata(name, metadata={"a": 2}, current_version=7)
    client.set_stream_metadata(name, metadata={"a": 3, "$maxCount": 2}, current_version=0)
    assert client.get_stream_metadata(name) == ({"a": 3, "$maxCount": 2}, 1)
    with pytest.raises(NotFoundError):
        client.get_stream(name)


def test_metadata_hides_what_is_too_many_too_early_or_too_old(client, name):
    append(client, name, events(6))
    client.set_stream_metadata(name, metadata={"$maxCount": 2})
    assert revisions(client.get_stream(name)) == [4, 5]
    assert revisions(client.get_stream(name, backwards=True)) == [5, 4]
    append(client, name, event())
    assert revisions(client.get_stream(name)) == [5, 6]
    client.set_stream_metadata(name, metadata={"$tb": 3})
    assert revisions(client.get_stream(name)) == [3, 4, 5, 6]
    assert revisions(client.get_stream(name, stream_position=1)) == [3, 4, 5, 6]
    assert revisions(client.get_stream(name, stream_position=1, backwards=True)) == []
    client.set_stream_metadata(name, metadata={"$tb": 3, "$maxCount": 1})
    assert revisions(client.get_stream(name)) == [6]
    client.set_stream_metadata(name, metadata={"$maxAge": 3600})
    assert revisions(client.get_stream(name)) == list(range(7))
    in_the_log = [one for one in client.read_all() if one.stream_name == name]
    assert revisions(in_the_log) == list(range(7))


def test_links_lead_to_their_events_when_asked(client, name):
    append(client, name, events(3))
    links = [
        NewEvent(type="$>", data=target.encode(), content_type="application/octet-stream")
        for target in (f"1@{name}", f"2@{name}")
    ]
    append(client, f"{name}-links", links)
    plain = client.get_stream(f"{name}-links")
    assert all(one.is_link_event and not one.is_resolved_event for one in plain)
    resolved = client.get_stream(f"{name}-links", resolve_links=True)
    assert places(resolved) == [(name, 1), (name, 2)]
    assert places(one.link for one in resolved) == places(plain)
    assert [one.ack_id for one in resolved] == [link.id for link in links]
    assert json.loads(resolved[1].data) == {"number": 2}
    backwards = client.get_stream(f"{name}-links", resolve_links=True, backwards=True)
    assert places(backwards) == [(name, 2), (name, 1)]


def test_gossip_names_one_leader_which_discovery_finds(client, name):
    address = os.environ["STORE_ADDRESS"]
    (member,) = client.read_gossip()
    assert member.state == NODE_STATE_LEADER
    assert f"{member.address}:{member.port}" == address
    with KurrentDBClient(f"kurrentdb+discover://{address}?tls=false") as found:
        assert found.connection_target == address
        append(found, name, event())
    append(client, name, event(), expected=0)
    with KurrentDBClient(f"esdb://{address},{address}?tls=false&NodePreference=leader") as found:
        assert revisions(found.get_stream(name)) == [0, 1]
