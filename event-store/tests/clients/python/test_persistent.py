"""Persistent subscriptions: groups of consumers, what they acknowledge, and the errors."""

from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import pytest
from events import event, events, ids, places, revisions, take
from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import (
    AlreadyExistsError,
    CancelledError,
    InternalError,
    MaximumSubscriptionsReachedError,
    NotFoundError,
)
from program import Program

ANY = StreamState.ANY
GROUP = "workers"


def append(client, stream, new):
    return client.append_to_stream(stream, current_version=ANY, events=new)


def create(client, stream, **how):
    client.create_subscription_to_stream(GROUP, stream, **how)


def read(client, stream, **how):
    return client.read_subscription_to_stream(GROUP, stream, **how)


def acknowledge(subscription, taken):
    for one in taken:
        subscription.ack(one)


def info_until(client, stream, is_true):
    """The figures of the group, as soon as they are what was done.

    It is asked before a consumer stops: one that stops does not wait until its words are heard.
    """
    while True:
        info = client.get_subscription_info(GROUP, stream)
        if is_true(info):
            return info


def test_a_group_is_given_the_stream_from_its_start_and_then_live(client, name):
    append(client, name, events(300))
    create(client, name)
    with read(client, name) as subscription:
        assert subscription.subscription_id == f"{name}::{GROUP}"
        for begin in (0, 100, 200):
            taken = take(subscription, 100)
            assert revisions(taken) == list(range(begin, begin + 100))
            assert all(one.retry_count == 0 for one in taken)
            acknowledge(subscription, taken)
        append(client, name, event())
        (live,) = take(subscription, 1)
        assert live.stream_position == 300
        subscription.ack(live)
        subscription.stop()


def test_a_group_begins_where_it_was_told(client, name):
    append(client, name, events(5))
    client.create_subscription_to_stream("at", name, stream_position=3)
    client.create_subscription_to_stream("end", name, from_end=True)
    with client.read_subscription_to_stream("at", name) as subscription:
        # Unlike a subscription of one's own, a group begins with this event itself.
        assert revisions(take(subscription, 2)) == [3, 4]
        subscription.stop()
    with client.read_subscription_to_stream("end", name) as subscription:
        append(client, name, events(1))
        assert revisions(take(subscription, 1)) == [5]
        subscription.stop()


def test_what_was_acknowledged_is_not_given_again(client, name):
    append(client, name, events(20))
    create(client, name, min_checkpoint_count=1, max_checkpoint_count=1, checkpoint_after=0.1)
    with read(client, name) as subscription:
        acknowledge(subscription, take(subscription, 12))
        info_until(client, name, lambda info: info.last_checkpointed_event_position == "11")
        subscription.stop()
    with read(client, name) as subscription:
        assert revisions(take(subscription, 8)) == list(range(12, 20))
        subscription.stop()


def test_what_was_not_acknowledged_is_given_to_the_next_consumer(url, client, name):
    append(client, name, events(5))
    create(client, name)
    with KurrentDBClient(url) as leaving, read(leaving, name) as subscription:
        assert revisions(take(subscription, 5)) == [0, 1, 2, 3, 4]
        subscription.ack(client.get_stream(name)[0])
        info_until(client, name, lambda info: info.total_in_flight_messages == 4)
        subscription.stop()
    with read(client, name) as subscription:
        again = take(subscription, 4)
        assert sorted(revisions(again)) == [1, 2, 3, 4]
        acknowledge(subscription, again)
        subscription.stop()


def test_an_event_to_retry_is_given_again_until_it_is_parked(client, name):
    append(client, name, events(1))
    create(client, name, max_retry_count=2)
    with read(client, name, max_ack_delay=0.01) as subscription:
        for retries in (0, 1, 2):
            (one,) = take(subscription, 1)
            assert (one.stream_position, one.retry_count) == (0, retries)
            subscription.nack(one, "retry")
        append(client, name, events(1))
        (next_one,) = take(subscription, 1)
        assert next_one.stream_position == 1
        subscription.ack(next_one)
        info_until(client, name, lambda info: info.parked_message_count == 1)
        subscription.stop()


def test_an_unanswered_event_is_given_again_after_its_time(client, name):
    append(client, name, events(1))
    create(client, name, message_timeout=0.2)
    with read(client, name) as subscription:
        first, second = take(subscription, 2)
        assert (first.id, first.retry_count, second.retry_count) == (second.id, 0, 1)
        subscription.ack(second)
        subscription.stop()


def test_an_event_to_skip_is_not_given_again(client, name):
    append(client, name, events(3))
    create(client, name)
    with read(client, name) as subscription:
        skipped, *rest = take(subscription, 3)
        subscription.nack(skipped, "skip")
        acknowledge(subscription, rest)
        append(client, name, event())
        assert revisions(take(subscription, 1)) == [3]
        subscription.stop()
    assert client.get_subscription_info(GROUP, name).parked_message_count == 0


def test_parked_events_are_replayed(client, name):
    append(client, name, events(5))
    create(client, name)
    with read(client, name, max_ack_delay=0.01) as subscription:
        for one in take(subscription, 5):
            if one.stream_position % 2:
                subscription.nack(one, "park")
            else:
                subscription.ack(one)
        info_until(client, name, lambda info: info.parked_message_count == 2)
        parked = client.get_stream(
            f"$persistentsubscription-{name}::{GROUP}-parked", resolve_links=True
        )
        assert places(parked) == [(name, 1), (name, 3)]
        client.replay_parked_events(GROUP, name)
        replayed = take(subscription, 2)
        assert places(replayed) == [(name, 1), (name, 3)]
        acknowledge(subscription, replayed)
        info_until(client, name, lambda info: info.parked_message_count == 0)
        subscription.stop()


def test_links_lead_to_their_events_when_asked(client, name):
    append(client, name, events(3))
    link = NewEvent(
        type="$>", data=f"1@{name}".encode(), content_type="application/octet-stream"
    )
    append(client, f"{name}-links", link)
    create(client, f"{name}-links", resolve_links=True)
    with read(client, f"{name}-links") as subscription:
        (resolved,) = take(subscription, 1)
        assert places([resolved, resolved.link]) == [(name, 1), (f"{name}-links", 0)]
        subscription.ack(resolved)
        subscription.stop()


def test_consumers_share_the_events(url, client, name):
    append(client, name, events(20))
    create(client, name, consumer_strategy="RoundRobin")
    shared = Queue()

    def work(subscription):
        for one in subscription:
            subscription.ack(one)
            shared.put((subscription, one.stream_position))

    with KurrentDBClient(url) as other, ThreadPoolExecutor() as threads:
        both = [read(one, name, event_buffer_size=10) for one in (client, other)]
        append(client, name, events(20))
        working = [threads.submit(work, subscription) for subscription in both]
        try:
            taken = [shared.get(timeout=60) for _ in range(40)]
        finally:
            for subscription in both:
                subscription.stop()
        for one in working:
            one.result()
    assert sorted(position for _, position in taken) == list(range(40))
    # One whose hands are full is passed over: so each fills its own, and the rest is open.
    assert all(sum(by is one for by, _ in taken) >= 10 for one in both)


def test_the_whole_log_can_have_a_group_with_a_filter(client, name):
    append(client, f"{name}-a", events(10, kind=f"{name}Noise"))
    append(client, f"{name}-b", events(10, kind=f"{name}Tone"))
    client.create_subscription_to_all(name, filter_include=[f"{name}Tone"])
    with client.read_subscription_to_all(name) as subscription:
        taken = take(subscription, 10)
        assert places(taken) == [(f"{name}-b", revision) for revision in range(10)]
        acknowledge(subscription, taken)
        append(client, f"{name}-a", event(kind=f"{name}Tone"))
        assert places(take(subscription, 1)) == [(f"{name}-a", 10)]
        subscription.stop()
    info = client.get_subscription_info(name)
    assert (info.event_source, info.group_name) == ("$all", name)
    client.delete_subscription(name)
    with pytest.raises(NotFoundError):
        client.get_subscription_info(name)


def test_the_whole_log_can_be_given_from_a_position(client, name):
    position = append(client, name, event())
    append(client, f"{name}-b", events(3))
    client.create_subscription_to_all(name, commit_position=position)
    with client.read_subscription_to_all(name) as subscription:
        first = [(name, 0), *((f"{name}-b", revision) for revision in range(3))]
        assert places(take(subscription, 4)) == first
        subscription.stop()


def test_the_settings_of_a_group_are_told_and_changed(client, name):
    append(client, name, events(3))
    create(
        client,
        name,
        stream_position=1,
        message_timeout=7.0,
        max_retry_count=3,
        max_subscriber_count=2,
        consumer_strategy="Pinned",
    )
    info = client.get_subscription_info(GROUP, name)
    assert (info.event_source, info.group_name, info.start_from) == (name, GROUP, "1")
    assert (info.message_timeout, info.max_retry_count) == (7.0, 3)
    assert (info.max_subscriber_count, info.consumer_strategy) == (2, "Pinned")
    assert info.last_known_event_position in ("", "2")
    client.update_subscription_to_stream(GROUP, name, max_retry_count=9, from_end=False)
    info = client.get_subscription_info(GROUP, name)
    assert (info.max_retry_count, info.message_timeout, info.start_from) == (9, 7.0, "0")
    with read(client, name) as subscription:
        assert revisions(take(subscription, 3)) == [0, 1, 2]
        info = client.get_subscription_info(GROUP, name)
        assert len(info.connections) == 1
        assert info.connections[0].in_flight_messages == 3
        subscription.stop()


def test_groups_are_listed(client, name):
    for group in ("one", "two"):
        client.create_subscription_to_stream(group, name)
    client.create_subscription_to_stream("three", f"{name}-other")
    listed = client.list_subscriptions_to_stream(name)
    assert sorted(info.group_name for info in listed) == ["one", "two"]
    everywhere = {(info.event_source, info.group_name) for info in client.list_subscriptions()}
    assert {(name, "one"), (name, "two"), (f"{name}-other", "three")} <= everywhere
    assert client.list_subscriptions_to_stream(f"{name}-none") == []


def test_a_change_or_a_deletion_drops_the_consumers(client, name):
    append(client, name, event())
    create(client, name)
    subscription = read(client, name)
    take(subscription, 1)
    client.update_subscription_to_stream(GROUP, name, max_retry_count=9)
    with pytest.raises(CancelledError):
        next(subscription)
    subscription = read(client, name)
    take(subscription, 1)
    client.delete_subscription(GROUP, name)
    with pytest.raises((NotFoundError, CancelledError)):
        next(subscription)


def test_wrong_calls_get_their_errors(client, name):
    for call in (
        lambda: read(client, name),
        lambda: client.get_subscription_info(GROUP, name),
        lambda: client.update_subscription_to_stream(GROUP, name, max_retry_count=1),
        lambda: client.delete_subscription(GROUP, name),
        lambda: client.replay_parked_events(GROUP, name),
    ):
        with pytest.raises(NotFoundError):
            call()
    create(client, name, max_subscriber_count=1)
    with pytest.raises(AlreadyExistsError):
        create(client, name)
    with read(client, name) as subscription:
        with pytest.raises(MaximumSubscriptionsReachedError):
            read(client, name)
        subscription.stop()
    for wrong in (
        {"read_batch_size": 500, "history_buffer_size": 500},
        {"consumer_strategy": "Nonsense"},
    ):
        with pytest.raises(InternalError):
            client.create_subscription_to_stream("wrong", name, **wrong)
    with pytest.raises(NotFoundError):
        client.get_subscription_info("wrong", name)


def test_a_group_and_its_progress_outlive_the_server(tmp_path, name):
    with Program(tmp_path) as program:
        with KurrentDBClient(f"kurrentdb://{program.address}?tls=false") as client:
            append(client, name, events(10))
            create(client, name, min_checkpoint_count=1, checkpoint_after=0.1)
            with read(client, name, max_ack_delay=0.01) as subscription:
                first, *taken = take(subscription, 6)
                subscription.nack(first, "park")
                acknowledge(subscription, taken)
                info_until(
                    client, name, lambda info: info.last_checkpointed_event_position == "5"
                )
                subscription.stop()
        program.kill()
        program.start()
        with KurrentDBClient(f"kurrentdb://{program.address}?tls=false") as client:
            info = client.get_subscription_info(GROUP, name)
            assert info.parked_message_count == 1
            with read(client, name) as subscription:
                rest = take(subscription, 4)
                assert revisions(rest) == [6, 7, 8, 9]
                acknowledge(subscription, rest)
                client.replay_parked_events(GROUP, name)
                assert ids(take(subscription, 1)) == [first.id]
                subscription.stop()
