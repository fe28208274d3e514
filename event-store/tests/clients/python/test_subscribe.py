"""Catch-up subscriptions to streams and to the whole log."""

import asyncio
import threading

import pytest
from events import event, events, ids, places, revisions, take
from kurrentdbclient import AsyncKurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import CancelledByClientError, StreamIsDeletedError

ANY = StreamState.ANY


def append(client, stream, new, expected=ANY):
    return client.append_to_stream(stream, current_version=expected, events=new)


def test_a_stream_is_followed_from_its_start_and_then_live(client, name):
    append(client, name, events(600))
    with client.subscribe_to_stream(name) as subscription:
        assert subscription.subscription_id
        assert revisions(take(subscription, 600)) == list(range(600))
        for revision in range(600, 610):
            append(client, f"{name}-other", event())
            append(client, name, event())
            assert revisions(take(subscription, 1)) == [revision]


def test_a_revision_to_start_from_is_not_delivered_again(client, name):
    append(client, name, events(3))
    with client.subscribe_to_stream(name, stream_position=1) as subscription:
        assert revisions(take(subscription, 1)) == [2]
        append(client, name, event())
        assert revisions(take(subscription, 1)) == [3]


def test_from_the_end_only_what_is_new_is_delivered(client, name):
    append(client, name, events(3))
    with client.subscribe_to_stream(name, from_end=True) as subscription:
        append(client, name, events(2))
        assert revisions(take(subscription, 2)) == [3, 4]
    with client.subscribe_to_all(from_end=True) as subscription:
        append(client, name, events(2))
        assert places(take(subscription, 2)) == [(name, 5), (name, 6)]


def test_a_stream_that_does_not_exist_is_waited_for(client, name):
    with client.subscribe_to_stream(name, include_caught_up=True) as subscription:
        (caught_up,) = take(subscription, 1)
        assert caught_up.is_caught_up
        append(client, name, event())
        assert revisions(take(subscription, 1)) == [0]


def test_being_caught_up_is_told_once_with_the_place(client, name):
    append(client, name, events(3))
    with client.subscribe_to_stream(name, include_caught_up=True) as subscription:
        *read, caught_up = take(subscription, 4)
        assert revisions(read) == [0, 1, 2]
        assert caught_up.is_caught_up and caught_up.stream_position == 2
        assert caught_up.recorded_at is not None
        append(client, name, event())
        (live,) = take(subscription, 1)
        assert live.stream_position == 3
    with client.subscribe_to_all(
        commit_position=live.commit_position, include_caught_up=True, filter_exclude=()
    ) as subscription:
        (caught_up,) = take(subscription, 1)
        assert caught_up.is_caught_up
        assert caught_up.commit_position == live.commit_position


def test_the_log_is_followed_from_a_position(client, name):
    first = append(client, name, event())
    append(client, f"{name}-b", events(300))
    with client.subscribe_to_all(commit_position=first) as subscription:
        assert places(take(subscription, 300)) == [(f"{name}-b", n) for n in range(300)]
        for revision in range(300, 310):
            append(client, f"{name}-b", event())
            assert places(take(subscription, 1)) == [(f"{name}-b", revision)]


def test_the_log_is_followed_from_its_start_as_it_is_read(client, name):
    append(client, name, events(5))
    everything = list(client.read_all(filter_exclude=()))
    with client.subscribe_to_all(filter_exclude=()) as subscription:
        assert ids(take(subscription, len(everything))) == ids(everything)


def test_filters_work_in_the_server(client, name):
    begin = append(client, name, event(kind="first"))
    for _ in range(20):
        append(client, f"{name}-noise", events(9, kind=f"{name}Noise"))
        append(client, f"{name}-wanted", event(kind=f"{name}Tone"))
    for how in (
        {"filter_include": [f"{name}-w"], "filter_by_stream_name": True, "filter_by_prefix": True},
        {"filter_include": [f"{name}Ton"], "filter_by_prefix": True},
        {"filter_include": [f"{name}Tone"]},
        {"filter_include": [f"{name}-w.*"], "filter_by_stream_name": True},
        {"filter_exclude": [f"{name}Noise", r"\$.+"]},
    ):
        with client.subscribe_to_all(commit_position=begin, **how) as subscription:
            read = take(subscription, 20)
        assert places(read) == [(f"{name}-wanted", revision) for revision in range(20)]


def test_checkpoints_go_only_forward_and_a_subscription_resumes_at_each(client, name):
    begin = append(client, name, event(kind="first"))
    for _ in range(20):
        append(client, f"{name}-noise", events(9, kind=f"{name}Noise"))
        append(client, f"{name}-wanted", event(kind=f"{name}Tone"))
    how = {
        "filter_include": [f"{name}Tone"],
        "include_checkpoints": True,
        "include_caught_up": True,
        "window_size": 10,
        "checkpoint_interval_multiplier": 2,
    }
    seen, checkpoints = [], []
    with client.subscribe_to_all(commit_position=begin, **how) as subscription:
        for one in subscription:
            if one.is_caught_up:
                break
            if one.is_checkpoint:
                checkpoints.append((one.commit_position, len(seen)))
            else:
                seen.append(one)
        assert one.commit_position == checkpoints[-1][0]
    positions = [position for position, _ in checkpoints]
    assert len(positions) >= 9 and positions == sorted(set(positions))
    assert revisions(seen) == list(range(20))
    for position, before in checkpoints[:-1]:
        with client.subscribe_to_all(
            commit_position=position, filter_include=[f"{name}Tone"]
        ) as subscription:
            assert take(subscription, 1)[0].stream_position == before


def test_links_lead_to_their_events_when_asked(client, name):
    append(client, name, events(3))
    link = NewEvent(
        type="$>", data=f"1@{name}".encode(), content_type="application/octet-stream"
    )
    append(client, f"{name}-links", link)
    with client.subscribe_to_stream(f"{name}-links", resolve_links=True) as subscription:
        (resolved,) = take(subscription, 1)
    assert places([resolved, resolved.link]) == [(name, 1), (f"{name}-links", 0)]


def test_a_tombstone_ends_a_subscription(client, name):
    append(client, name, event())
    subscription = client.subscribe_to_stream(name)
    assert revisions(take(subscription, 1)) == [0]
    client.tombstone_stream(name, current_version=ANY)
    assert [one.type for one in take(subscription, 1)] == ["$streamDeleted"]
    with pytest.raises(StreamIsDeletedError):
        next(subscription)


def test_a_soft_deletion_does_not_end_a_subscription(client, name):
    append(client, name, events(2))
    with client.subscribe_to_stream(name) as subscription:
        take(subscription, 2)
        client.delete_stream(name, current_version=ANY)
        append(client, name, event())
        assert revisions(take(subscription, 1)) == [2]


def test_a_client_that_leaves_ends_its_subscriptions(url, client, name):
    subscription = client.subscribe_to_all(from_end=True)
    ended = []

    def follow():
        try:
            for _ in subscription:
                pass
        except CancelledByClientError:
            ended.append(True)

    follower = threading.Thread(target=follow)
    follower.start()
    client.close()
    follower.join()
    assert ended == [True]


def test_many_subscriptions_all_see_everything_in_order(client, name):
    subscriptions = [client.subscribe_to_stream(name) for _ in range(25)]
    for number in range(20):
        append(client, name, events(number % 3 + 1))
    last = client.get_current_version(name)
    for subscription in subscriptions:
        with subscription:
            assert revisions(take(subscription, last + 1)) == list(range(last + 1))


def test_the_asynchronous_client_follows_a_stream_and_the_log(url, name):
    async def scenario():
        client = AsyncKurrentDBClient(url)
        await client.connect()
        begin = await client.append_to_stream(name, current_version=ANY, events=events(3))
        async with await client.subscribe_to_stream(name) as stream:
            async with await client.subscribe_to_all(commit_position=begin) as log:
                await client.append_to_stream(name, current_version=2, events=events(2))
                assert [(await anext(stream)).stream_position for _ in range(5)] == [0, 1, 2, 3, 4]
                assert [(await anext(log)).stream_position for _ in range(2)] == [3, 4]
        await client.close()

    asyncio.run(scenario())
