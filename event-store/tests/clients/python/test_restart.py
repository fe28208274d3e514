"""The store is killed and comes back on the same port and folder: nothing is lost or doubled."""

import threading

import pytest
from events import event, events, ids, revisions
from kurrentdbclient import KurrentDBClient, StreamState
from kurrentdbclient.exceptions import GrpcError, ServiceUnavailableError
from program import Program

NO_STREAM, ANY = StreamState.NO_STREAM, StreamState.ANY
LIVES = 4
# In seconds. A call that is sent while the server says good-bye is sometimes lost in the client's
# gRPC library: it goes to no server again and would wait for ever.
LOST = 5


@pytest.fixture
def program(tmp_path):
    with Program(tmp_path) as program:
        yield program


def connect(program):
    return KurrentDBClient(f"kurrentdb://{program.address}?tls=false")


def persist(attempt):
    """Tries until the store is there; what was done and not answered is done again."""
    while True:
        try:
            return attempt()
        except GrpcError:
            pass


class Writer(threading.Thread):
    """Appends numbered events one by one, each until it is acknowledged, until it is enough."""

    def __init__(self, program, stream, exact):
        super().__init__()
        self.program, self.stream, self.exact = program, stream, exact
        self.written, self.enough = [], threading.Event()

    def run(self):
        with connect(self.program) as client:
            expected = NO_STREAM
            while not self.enough.is_set():
                number = len(self.written)
                new = event(number)
                # One event and many go through different calls.
                how = {
                    "events": [new] if number % 2 else new,
                    "current_version": expected if self.exact else ANY,
                    "timeout": LOST,
                }
                persist(lambda how=how: client.append_to_stream(self.stream, **how))
                self.written.append(new.id)
                expected = number


class Follower(threading.Thread):
    """Follows from the start, and after each failure from the last event it has seen, until
    an event says that it was the last."""

    def __init__(self, program, subscribe):
        super().__init__()
        self.program, self.subscribe = program, subscribe
        self.seen, self.failures = [], 0
        self.progress = threading.Condition()

    def run(self):
        with connect(self.program) as client:
            while not (self.seen and self.seen[-1].type == "last"):
                try:
                    self.follow(client)
                except GrpcError:
                    self.failures += 1

    def follow(self, client):
        with self.subscribe(client, self.seen[-1] if self.seen else None) as subscription:
            for one in subscription:
                with self.progress:
                    self.seen.append(one)
                    self.progress.notify_all()
                if one.type == "last":
                    return

    def sees(self, more):
        with self.progress:
            enough = len(self.seen) + more
            self.progress.wait_for(lambda: len(self.seen) >= enough)


def follow_all(client, last):
    position = last and last.commit_position
    return client.subscribe_to_all(commit_position=position, timeout=LOST)


def follow_stream(client, last):
    revision = last and last.stream_position
    return client.subscribe_to_stream("exact", stream_position=revision, timeout=LOST)


@pytest.mark.parametrize("ending", [Program.kill, Program.stop])
def test_subscriptions_and_appends_outlive_the_server(program, ending):
    writers = [Writer(program, "exact", True), Writer(program, "any", False)]
    followers = log, stream = [Follower(program, follow_all), Follower(program, follow_stream)]
    for thread in (*writers, *followers):
        thread.start()
    for _ in range(LIVES):
        for follower in followers:
            follower.sees(30)
        ending(program)
        program.start()
    for writer in writers:
        writer.enough.set()
        writer.join()
    with connect(program) as client:
        last = event(kind="last")
        client.append_to_stream("exact", events=last, current_version=ANY)
        writers[0].written.append(last.id)
        for follower in followers:
            follower.join()
            assert follower.failures >= LIVES
        for writer in writers:
            read = client.get_stream(writer.stream)
            assert ids(read) == writer.written
            seen = [one for one in log.seen if one.stream_name == writer.stream]
            assert ids(seen) == writer.written
        assert ids(stream.seen) == writers[0].written
        assert ids(log.seen) == ids(client.read_all())


def test_what_was_acknowledged_is_there_after_a_kill(program):
    acknowledged = []
    for life in range(LIVES):
        with connect(program) as client:
            for number in range(25):
                new = events(3)
                client.append_to_stream(
                    f"s-{number}", current_version=3 * life - 1 if life else NO_STREAM, events=new
                )
                acknowledged += ids(new)
            program.kill()
            with pytest.raises(ServiceUnavailableError):
                client.get_stream("s-0")
        program.start()
    with connect(program) as client:
        assert ids(client.read_all()) == acknowledged
        assert revisions(client.get_stream("s-7")) == list(range(3 * LIVES))


def test_a_repeat_is_recognised_after_a_kill(program):
    for number, expected in enumerate((NO_STREAM, ANY)):
        with connect(program) as client:
            how = {"current_version": expected, "events": events(3)}
            first = client.append_to_stream(f"s-{number}", **how)
            program.kill()
            program.start()
            assert client.append_to_stream(f"s-{number}", **how) == first
            assert revisions(client.get_stream(f"s-{number}")) == [0, 1, 2]


def test_metadata_and_tombstones_are_there_after_a_kill(program):
    with connect(program) as client:
        for stream in ("hidden", "deleted", "ended"):
            client.append_to_stream(stream, current_version=NO_STREAM, events=events(5))
        client.set_stream_metadata("hidden", metadata={"$maxCount": 2})
        client.delete_stream("deleted", current_version=ANY)
        client.tombstone_stream("ended", current_version=ANY)
        before = ids(client.read_all(filter_exclude=()))
        program.kill()
        program.start()
        assert revisions(client.get_stream("hidden")) == [3, 4]
        assert client.get_current_version("deleted") is NO_STREAM
        client.append_to_stream("deleted", current_version=4, events=event())
        assert revisions(client.get_stream("deleted")) == [5]
        with pytest.raises(Exception, match="is deleted"):
            client.get_stream("ended")
        assert ids(client.read_all(filter_exclude=()))[: len(before)] == before
