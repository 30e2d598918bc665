"""EventStream(in_order=True) over a real Redis: one worker of the group at a time, on the oldest unfinished event."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, List, Tuple

import pytest
from integration.conftest import OTHER_UID, UID, eventually

from cometchat import MessageListener, TextMessage
from cometchat.sandbox import Sandbox

from .redis_support import DEADLINE, Long, Machine, Make, RedisServer
from .test_redis_streams import Worker

pytest.importorskip("redis")

from cometchat.contrib.redis import EventStream  # noqa: E402
from cometchat.contrib.redis._turn import Entry, Turn  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")

MESSAGES = 200

#: Lease of a turn, in seconds, where another worker must not get it: a busy machine stops a process for a second.
LEASE = 5.0


def test_several_workers_keep_the_order(sandbox: Sandbox, clients: Make) -> None:
    """Of three workers, the working one closes twice, with its client. All messages are finished in order."""
    texts = [str(number) for number in range(MESSAGES)]
    handled: List[Tuple[int, str]] = []

    class Noting(MessageListener):
        def __init__(self, number: int) -> None:
            self.number = number

        def on_text_message_received(self, message: TextMessage) -> None:
            handled.append((self.number, message.text or ""))

    pairs = [clients() for _ in range(3)]
    streams = [EventStream(*pair, in_order=True) for pair in pairs]
    for number, stream in enumerate(streams):
        stream.listen(Noting(number))
    for number, text in enumerate(texts):
        sandbox.send_message(OTHER_UID, UID, text)
        if number in (60, 120):
            assert eventually(lambda: len(handled) > number - 40, DEADLINE)
            worker = handled[-1][0]
            streams[worker].close()
            pairs[worker][0].close()  # it may be the leader, which adds events
    assert eventually(lambda: len(handled) >= MESSAGES, DEADLINE), len(handled)
    assert [text for _, text in handled] == texts, handled
    assert len({worker for worker, _ in handled}) > 1
    for stream in streams:
        stream.close()


def test_an_event_that_raises_is_repeated_before_the_next(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer
) -> None:
    """The event is handed out again before the next one.

    After the maximum of retries it is a dead letter, and the rest continues.
    """
    client, store = clients()
    with EventStream(client, store, retries=1, in_order=True) as stream:
        worker = Worker()
        stream.listen(worker)
        sandbox.send_message(OTHER_UID, UID, "bad")
        sandbox.send_message(OTHER_UID, UID, "good")
        assert eventually(lambda: "good" in worker.texts, DEADLINE), worker.texts
        with redis_server.client() as redis:
            assert redis.xlen(stream.dead_letters) == 1
            assert eventually(lambda: redis.xpending(stream.key, stream.group)["pending"] == 0, DEADLINE)
        assert worker.texts == ["bad", "bad", "good"]


def two_at_work(sandbox: Sandbox, first: EventStream, second: EventStream, long: Long) -> Worker:
    """Let the first stream work on "long", and the second one, whose worker is returned, wait for "next"."""
    first.listen(long)
    sandbox.send_message(OTHER_UID, UID, "long")
    assert long.begun.wait(DEADLINE)
    other = Worker()
    second.listen(other)
    sandbox.send_message(OTHER_UID, UID, "next")
    return other


def test_a_callback_that_takes_long_keeps_the_turn(sandbox: Sandbox, clients: Make, redis_server: RedisServer) -> None:
    """A callback may take longer than the lease: no other worker handles this or a later event.

    After close() another one continues at once.
    """
    long = Long()
    leader, other_pair = clients(LEASE), clients(LEASE)
    with EventStream(*other_pair, in_order=True) as first, EventStream(*leader, in_order=True) as second:
        other = two_at_work(sandbox, first, second, long)
        with redis_server.client() as redis:
            turn = f"{first.key}:turn:{first.group}"
            lives = [int(LEASE * 1000)]

            def renewals() -> int:
                lives.append(redis.pttl(turn))
                assert redis.get(turn).decode() == first.consumer
                return sum(later > earlier for earlier, later in zip(lives, lives[1:]))

            assert eventually(lambda: renewals() >= 3, DEADLINE), "each third of the lease: as long as the lease in all"
        assert other.texts == []
        long.release.set()
        assert eventually(lambda: long.texts == ["long", "next"], DEADLINE), long.texts
        with redis_server.client() as redis:
            assert eventually(lambda: redis.xpending(first.key, first.group)["pending"] == 0, DEADLINE)
        first.close()
        sandbox.send_message(OTHER_UID, UID, "last")
        assert eventually(lambda: other.texts == ["last"], DEADLINE), other.texts


def test_a_callback_that_outlives_close_keeps_the_turn(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer
) -> None:
    """close() does not interrupt a callback. No other worker gets its event, or a later one, before it returns."""
    long = Long()
    leader, other_pair = clients(LEASE), clients(LEASE)
    with EventStream(*other_pair, in_order=True) as first, EventStream(*leader, in_order=True) as second:
        other = two_at_work(sandbox, first, second, long)
        with redis_server.client() as redis:
            assert eventually(lambda: redis.xlen(first.key) == 2, DEADLINE)
            first.close()
            lives = [int(LEASE * 1000)]

            def renewals() -> int:
                lives.append(redis.pttl(f"{first.key}:turn:{first.group}"))
                return sum(later > earlier for earlier, later in zip(lives, lives[1:]))

            assert eventually(lambda: other.texts or renewals() >= 3, DEADLINE), lives
            assert other.texts == []
        long.release.set()
        assert eventually(lambda: other.texts == ["next"], DEADLINE), other.texts
        assert long.texts == ["long"]


def test_an_answer_that_is_lost_or_late_is_no_try(redis_server: RedisServer) -> None:
    """Redis handed the event out, but the worker did not get it in time. Only a real try counts towards ``retries``."""
    redis_server.flush()
    with redis_server.client() as client:
        client.xadd("stream", {"event": "text"})
        client.xgroup_create("stream", "group", id="0")
        now = [0.0]
        step = [1.0]

        def evaluate(*arguments: Any) -> Any:
            now[0] += step[0]
            answer = client.eval(*arguments)
            if now[0] == 1.0:
                raise ConnectionError("lost")
            return answer

        slow = SimpleNamespace(eval=evaluate)
        turn = Turn("stream", "group", "worker", 2.0, lambda: now[0])
        with pytest.raises(ConnectionError):
            turn.take(slow, 0.0)
        for _ in range(3):
            assert turn.take(slow, 0.0) is None
        step[0] = 0.1
        deliveries = []
        for _ in range(3):
            taken = turn.take(slow, 0.0)
            assert isinstance(taken, Entry) and taken.fields == {b"event": b"text"}
            deliveries.append(taken.deliveries)
        assert deliveries == [1, 2, 3]
        client.delete("stream:turn:group")
        other = Turn("stream", "group", "other", 2.0, lambda: now[0]).take(slow, 0.0)
        assert isinstance(other, Entry) and other.deliveries == 4


def test_an_answer_that_a_machine_slept_through_is_late(redis_server: RedisServer, machine: Machine) -> None:
    """While it slept, another worker may have taken the turn and the event."""
    redis_server.flush()
    with redis_server.client() as client:
        client.xadd("stream", {"event": "text"})
        client.xgroup_create("stream", "group", id="0")

        def evaluate(*arguments: Any) -> Any:
            answer = client.eval(*arguments)
            machine.sleep(3600.0)
            return answer

        turn = Turn("stream", "group", "worker", 60.0)
        assert turn.take(SimpleNamespace(eval=evaluate), 0.0) is None
        assert isinstance(turn.take(client, 0.0), Entry)


def test_an_entry_that_was_trimmed_holds_up_nothing(sandbox: Sandbox, clients: Make, redis_server: RedisServer) -> None:
    """A worker is gone, and so is its entry. The next entry is handed out, and one counts as lost."""
    client, store = clients()
    with EventStream(client, store, in_order=True) as stream, redis_server.client() as redis:
        redis.xgroup_create(stream.key, stream.group, id="0", mkstream=True)
        for text in ("first", "second"):
            sandbox.send_message(OTHER_UID, UID, text)
        assert eventually(lambda: redis.xlen(stream.key) == 2, DEADLINE)
        redis.xreadgroup(stream.group, "killed", {stream.key: ">"}, count=1)
        redis.xtrim(stream.key, maxlen=1, approximate=False)
        worker = Worker()
        stream.listen(worker)
        assert eventually(lambda: worker.texts == ["second"], DEADLINE), worker.texts
        assert eventually(lambda: stream.lost() == 1, DEADLINE), stream.lost()
