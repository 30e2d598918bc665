"""EventStream over a real Redis: one worker works on each event, even if another one is killed."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from pathlib import Path
from typing import Any, List

import pytest
from docs_blocks import DOCS
from integration.conftest import OTHER_UID, UID, eventually

from cometchat import Client, CometChatException, MessageListener, TextMessage, TypingIndicator, User, UserListener
from cometchat.sandbox import Sandbox

from .redis_support import DEADLINE, Cluster, Long, Make, RedisServer

pytest.importorskip("redis")

from cometchat.contrib.redis import EventStream, RedisStatusStore  # noqa: E402
from cometchat.contrib.redis._codec import decode  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")

MESSAGES = 500


class Worker(MessageListener):
    """Records the texts. Raises for texts that begin with ``bad``."""

    def __init__(self) -> None:
        self.texts: List[str] = []
        self.threads: List[str] = []

    def on_text_message_received(self, message: TextMessage) -> None:
        self.texts.append(message.text or "")
        self.threads.append(threading.current_thread().name)
        if (message.text or "").startswith("bad"):
            raise RuntimeError("a worker's mistake")


def test_each_message_is_worked_on_once(sandbox: Sandbox, clients: Make) -> None:
    """The streams of three processes handle 500 messages, each once, all together, on their own threads."""
    pairs = [clients() for _ in range(3)]
    streams = [EventStream(*pair) for pair in pairs]
    workers = [Worker() for _ in streams]
    for stream, worker in zip(streams, workers):
        stream.listen(worker)
    texts = [str(number) for number in range(MESSAGES)]
    for text in texts:
        sandbox.send_message(OTHER_UID, UID, text)
    assert eventually(lambda: sum(len(worker.texts) for worker in workers) >= MESSAGES, DEADLINE)
    assert sorted(text for worker in workers for text in worker.texts) == sorted(texts)
    assert all(worker.texts for worker in workers)
    assert all(name.startswith("cometchat-stream-") for worker in workers for name in worker.threads)
    for stream in streams:
        stream.close()


def test_a_group_knows_how_much_it_has_to_do(sandbox: Sandbox, clients: Make, redis_server: RedisServer) -> None:
    """The lag is None before a worker listens, and then the number of events that no worker has taken."""
    if redis_server.version < (7,):
        pytest.skip("Redis does not know the lag before 7.0")
    client, store = clients()
    long = Long()
    with EventStream(client, store) as stream:
        with redis_server.client() as redis:
            redis.xgroup_create(stream.key, b"\xff", mkstream=True)  # of another program
        assert stream.lag() is None
        stream.listen(long)
        assert eventually(lambda: stream.lag() == 0, DEADLINE)
        for number in range(5):
            sandbox.send_message(OTHER_UID, UID, str(number))
        assert long.begun.wait(DEADLINE)
        assert eventually(lambda: stream.lag() == 4, DEADLINE)
        long.release.set()
        assert eventually(lambda: stream.lag() == 0, DEADLINE)
    with EventStream(client, RedisStatusStore("redis://127.0.0.1:1")) as away:
        with pytest.raises(CometChatException) as raised:
            away.lag()
    assert raised.value.code == "ERR_STATUS_STORE"


def test_consumers_that_are_gone_are_removed(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that closes removes itself, and others remove a killed one. So deploys leave no consumers.

    A consumer that holds an event stays: otherwise the event would be lost.
    """
    from cometchat.contrib.redis import _streams

    client, store = clients()
    with EventStream(client, store, consumer="first") as stream, redis_server.client() as redis:

        def names() -> List[str]:
            return sorted(each["name"].decode() for each in redis.xinfo_consumers(stream.key, stream.group))

        sandbox.send_message(OTHER_UID, UID, "text")
        assert eventually(lambda: redis.xlen(stream.key) == 1, DEADLINE)
        redis.xgroup_create(stream.key, stream.group, id="0")
        redis.xreadgroup(stream.group, "killed-with-an-event", {stream.key: ">"}, count=1)
        redis.xreadgroup(stream.group, "killed", {stream.key: ">"}, count=1)
        monkeypatch.setattr(_streams, "_GONE_AFTER", 0.0)
        worker = Worker()
        stream.listen(worker)
        assert eventually(lambda: "killed" not in names(), DEADLINE), names()
        sandbox.send_message(OTHER_UID, UID, "more")
        assert eventually(lambda: worker.texts == ["more"], DEADLINE)
        assert eventually(lambda: names() == ["first", "killed-with-an-event"], DEADLINE), names()
        stream.close()
        assert eventually(lambda: names() == ["killed-with-an-event"], DEADLINE), names()


def test_two_groups_each_get_everything(sandbox: Sandbox, clients: Make) -> None:
    """A second group gets everything in the stream, in order, although it starts later."""
    client, store = clients()
    with EventStream(client, store) as stream:
        first = Worker()
        stream.listen(first)
        for number in range(20):
            sandbox.send_message(OTHER_UID, UID, str(number))
        assert eventually(lambda: len(first.texts) == 20, DEADLINE)
        with EventStream(client, store, group="audit") as audit:
            second = Worker()
            audit.listen(second)
            assert eventually(lambda: second.texts == [str(number) for number in range(20)], DEADLINE)


@pytest.mark.parametrize("has_two_clients", [False, True])
def test_streams_of_one_process_add_each_event_once(
    has_two_clients: bool, sandbox: Sandbox, clients: Make, redis_server: RedisServer
) -> None:
    """Two streams for two groups, of one client or of two, add a typing indicator and a message once each."""
    client, store = clients()
    with contextlib.ExitStack() as stack:
        other = client
        if has_two_clients:
            other = stack.enter_context(Client(sandbox.app_id, client.settings))
            other.login(UID, sandbox.auth_key)
            other.connect(DEADLINE)
        streams = [
            stack.enter_context(EventStream(client, store, "one")),
            stack.enter_context(EventStream(other, store, "two")),
        ]
        with Client(sandbox.app_id, sandbox.settings()) as peer, redis_server.client() as redis:
            peer.login(OTHER_UID, sandbox.auth_key)
            peer.connect(DEADLINE)
            peer.start_typing(UID, "user")
            peer.send_text("after it", uid=UID)
            workers = [Worker(), Worker()]
            for stream, worker in zip(streams, workers):
                stream.listen(worker)
            assert eventually(lambda: [worker.texts for worker in workers] == [["after it"]] * 2, DEADLINE)
            for stream in streams:
                stream.close()  # it has added what it was to add
            found = [decode(fields[b"event"]).method for _, fields in redis.xrange(streams[0].key)]
    assert sorted(found) == ["on_text_message_received", "on_typing_started", "on_user_online"]


def test_other_events_come_too(sandbox: Sandbox, clients: Make) -> None:
    """Typing and presence are handed out as the models that a client's own listeners get."""
    heard: List[Any] = []

    class Both(MessageListener, UserListener):
        def on_typing_started(self, typing_indicator: TypingIndicator) -> None:
            heard.append(typing_indicator)

        def on_user_online(self, user: User) -> None:
            heard.append(user)

    client, store = clients()
    with EventStream(client, store) as stream:
        stream.listen(Both())
        with Client(sandbox.app_id, sandbox.settings()) as peer:
            peer.login(OTHER_UID, sandbox.auth_key)
            peer.connect(DEADLINE)
            peer.start_typing(UID, "user", {"list": [1, {"a": None}], "deep": "text"})
            assert eventually(lambda: len(heard) == 2, DEADLINE), heard
    online, typing = heard
    assert isinstance(online, User) and online.uid == OTHER_UID
    assert typing.sender.uid == OTHER_UID and typing.metadata == {"list": [1, {"a": None}], "deep": "text"}


def test_an_event_that_raises_is_repeated_and_becomes_a_dead_letter(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback that raises is logged, and its event is handed out again.

    After the maximum of retries it is a dead letter.
    """
    client, store = clients()
    with EventStream(client, store, claim_after=1, retries=1) as stream:
        worker = Worker()
        stream.listen(worker)
        sandbox.send_message(OTHER_UID, UID, "bad")
        sandbox.send_message(OTHER_UID, UID, "good")
        with redis_server.client() as redis:
            assert eventually(lambda: redis.xlen(stream.dead_letters) == 1, DEADLINE)
            assert eventually(lambda: redis.xpending(stream.key, stream.group)["pending"] == 0, DEADLINE)
        assert worker.texts == ["bad", "good", "bad"]
    assert "a worker's mistake" in caplog.text and "a dead letter" in caplog.text


def test_a_late_answer_makes_no_second_dead_letter(
    clients: Make, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has made an event a dead letter, but the worker got no answer, and tries again."""
    library = pytest.importorskip("redis")
    client, store = clients()
    with EventStream(client, store) as stream, redis_server.client() as redis:
        entry = redis.xadd(stream.key, {"event": "x"})
        redis.xgroup_create(stream.key, stream.group, id="0")
        ((_, ((_, fields),)),) = redis.xreadgroup(stream.group, stream.consumer, {stream.key: ">"})
        call, late = library.Redis.execute_command, [True]

        def execute(*arguments: Any, **options: Any) -> Any:
            answer = call(*arguments, **options)
            if late and arguments[0] is redis and arguments[1] in ("XADD", "EVAL"):
                late.clear()
                raise library.TimeoutError("the answer is late")
            return answer

        monkeypatch.setattr(library.Redis, "execute_command", execute)
        with pytest.raises(library.TimeoutError):
            stream._bury(redis, entry, fields, "too many tries")
        stream._bury(redis, entry, fields, "too many tries")
        letters = [found for _, found in redis.xrange(stream.dead_letters)]
        assert letters == [{b"event": b"x", b"why": b"too many tries"}]
        assert redis.xpending(stream.key, stream.group)["pending"] == 0


def test_many_that_raise_do_not_hold_up_one_another(sandbox: Sandbox, clients: Make, redis_server: RedisServer) -> None:
    """Forty events whose callback raises are each handed out again at their time, and end as dead letters."""
    client, store = clients()
    texts = [f"bad {number}" for number in range(40)]
    with EventStream(client, store, claim_after=1, retries=1) as stream:
        worker = Worker()
        stream.listen(worker)
        for text in texts:
            sandbox.send_message(OTHER_UID, UID, text)
        with redis_server.client() as redis:
            assert eventually(lambda: redis.xlen(stream.dead_letters) == 40, DEADLINE), len(worker.texts)
        # A second call may come before the first one of a later event, if the events arrive over more than a second.
        assert list(dict.fromkeys(worker.texts)) == texts
        assert list(dict.fromkeys(reversed(worker.texts))) == texts[::-1]
        assert len(worker.texts) == 2 * len(texts)


def test_rubbish_in_the_stream_stops_no_worker(sandbox: Sandbox, clients: Make, redis_server: RedisServer) -> None:
    """Entries that are not events become dead letters, and no object is loaded by a name in Redis."""
    client, store = clients()
    with EventStream(client, store, claim_after=1, retries=0) as stream:
        worker = Worker()
        with redis_server.client() as redis:
            for rubbish in (b"", b"[]", b'["message","close",[]]', b'["message","on_typing_started",[["Client",{}]]]'):
                redis.xadd(stream.key, {b"event": rubbish})
            redis.xadd(stream.key, {b"other": b"field"})
            stream.listen(worker)
            sandbox.send_message(OTHER_UID, UID, "good")
            assert eventually(lambda: worker.texts == ["good"], DEADLINE)
            assert eventually(lambda: redis.xlen(stream.dead_letters) == 5, DEADLINE)


def has_unfinished(redis: Any, stream: EventStream) -> bool:
    """Return True if a worker of the stream's group has an event that is not finished."""
    groups = redis.xinfo_groups(stream.key)
    return any(group["pending"] for group in groups if group["name"].decode() == stream.group)


@pytest.mark.parametrize("in_order", [False, True], ids=["any order", "in order"])
def test_an_event_of_a_newer_version_is_left_to_another_worker(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer, in_order: bool
) -> None:
    """In a deploy, workers of two versions share a group. The older one must not make dead letters of new events."""
    client, store = clients()
    with EventStream(client, store, retries=1000, in_order=in_order) as stream, redis_server.client() as redis:
        new = redis.xadd(stream.key, {b"event": b'["message", "on_next_version", []]'})
        stream.listen(Worker())

        def is_claimed() -> bool:
            turn = f"{stream.key}:turn:{stream.group}"
            if in_order and not redis.set(turn, "newer", nx=True):
                return False
            if not has_unfinished(redis, stream):
                redis.delete(turn)
                return False
            return bool(redis.xclaim(stream.key, stream.group, "newer", 0, [new], justid=True))

        assert eventually(is_claimed, DEADLINE)
        assert redis.xlen(stream.dead_letters) == 0


def test_a_number_in_the_stream_that_is_none_stops_no_worker(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer
) -> None:
    """Neither a new group nor the count of lost events rests on what another program has written."""
    client, store = clients()
    for group in ("first", "second"):
        with EventStream(client, store, group=group) as stream, redis_server.client() as redis:
            redis.xadd(stream.key, {b"event": b"rubbish", b"n": b"rubbish"})
            worker = Worker()
            stream.listen(worker)
            assert eventually(lambda: has_unfinished(redis, stream), DEADLINE)
            assert eventually(lambda: stream.lost() is None, DEADLINE)  # all entries are taken
            sandbox.send_message(OTHER_UID, UID, group)
            assert eventually(lambda: group in worker.texts, DEADLINE)
            assert stream.lost() is not None


def test_redis_away_loses_nothing_that_the_service_keeps(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer
) -> None:
    """Redis is killed and loses its data. Messages from that time are handled once it is back, each once."""
    client, store = clients()
    with EventStream(client, store) as stream:
        worker = Worker()
        stream.listen(worker)
        sandbox.send_message(OTHER_UID, UID, "before")
        assert eventually(lambda: worker.texts == ["before"], DEADLINE)
        redis_server.kill()
        try:
            assert client.wait_for_status("disconnected", DEADLINE)
            sandbox.send_message(OTHER_UID, UID, "meanwhile")
        finally:
            redis_server.start()
        sandbox.send_message(OTHER_UID, UID, "after")
        assert eventually(lambda: "after" in worker.texts, DEADLINE), worker.texts
        # An empty Redis does not know its earlier events: those of the minute before may be repeated.
        assert [text for text in worker.texts[1:] if text != "before"] == ["meanwhile", "after"]


def test_messages_of_a_time_without_a_process_are_worked_on(sandbox: Sandbox, clients: Make) -> None:
    """In a reload of the server, all processes end, messages arrive, and others start."""
    texts: List[str] = []
    for number in range(3):
        client, store = clients()
        with EventStream(client, store) as stream:
            worker = Worker()
            stream.listen(worker)
            sandbox.send_message(OTHER_UID, UID, f"live {number}")
            assert eventually(lambda: f"live {number}" in worker.texts, DEADLINE), worker.texts
        client.close()
        texts += worker.texts
        for other in range(150):
            sandbox.send_message(OTHER_UID, UID, f"missed {number} {other}")
    expected = ["live 0"]
    for number in (1, 2):
        expected += [f"missed {number - 1} {other}" for other in range(150)] + [f"live {number}"]
    assert texts == expected


@pytest.mark.parametrize("durable", [False, True])
def test_a_time_without_a_process_and_without_a_stream(
    sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path, durable: bool
) -> None:
    """The next process's listeners get the messages of that time with an inbox only, as docs/redis.rst says."""
    redis_server.flush()
    store = RedisStatusStore(redis_server.url)
    inbox = {"inbox_path": tmp_path / "inbox.db"} if durable else {}
    for text in ("before", "after"):
        worker = Worker()
        with Client(sandbox.app_id, sandbox.settings(status_store=store, **inbox)) as client:
            client.add_message_listener(worker)
            client.login(UID, sandbox.auth_key)
            client.connect(DEADLINE)
            assert eventually(lambda: client._core.inbox._position.floor is not None, DEADLINE)
            sandbox.send_message(OTHER_UID, UID, text)
            assert eventually(lambda: text in worker.texts, DEADLINE)
        sandbox.send_message(OTHER_UID, UID, "between")
    assert worker.texts == (["between", "after"] if durable else ["after"])


def test_evicted_entries_are_counted(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An entry that is removed before the group had it is lost, and one worker of the group reports it once."""
    client, store = clients()
    with EventStream(client, store) as stream, redis_server.client() as redis:
        assert stream.lost() is None
        redis.xgroup_create(stream.key, stream.group, id="0", mkstream=True)
        for number in range(10):
            sandbox.send_message(OTHER_UID, UID, str(number))
        assert eventually(lambda: redis.xlen(stream.key) == 10, DEADLINE)
        redis.xtrim(stream.key, maxlen=7, approximate=False)
        worker = Worker()
        stream.listen(worker)
        assert eventually(lambda: len(worker.texts) == 7, DEADLINE)
        assert eventually(lambda: stream.lost() == 3, DEADLINE), stream.lost()
        stream._report_lost(redis)
        with EventStream(client, store) as another:  # such as after a deploy
            another._report_lost(redis)
            redis.hincrby(f"{stream.key}:record", f"acked:{stream.group}", -1)  # as if one more were lost
            another._report_lost(redis)
            stream._report_lost(redis)
    reports = [record.getMessage()[:26] for record in caplog.records if record.levelname == "ERROR"]
    assert reports == ["Redis evicted or trimmed 3", "Redis evicted or trimmed 1"]


def test_the_stream_keeps_unfinished_entries(sandbox: Sandbox, clients: Make, redis_server: RedisServer) -> None:
    """Beyond maxlen, entries that all groups have finished are removed.

    Beyond twice as many, all may be, and count as lost.
    """
    client, store = clients()
    with EventStream(client, store, maxlen=100) as stream, redis_server.client() as redis:
        worker = Worker()
        stream.listen(worker)
        redis.xgroup_create(stream.key, "slow", id="0", mkstream=True)
        for number in range(199):
            sandbox.send_message(OTHER_UID, UID, str(number))
        assert eventually(lambda: len(worker.texts) == 199, DEADLINE)
        assert redis.xlen(stream.key) == 199, "the slow group has yet to take them"
        redis.xgroup_setid(stream.key, "slow", "$")
        for number in range(110):
            sandbox.send_message(OTHER_UID, UID, str(number))
        assert eventually(lambda: len(worker.texts) == 309, DEADLINE)
        assert redis.xlen(stream.key) < 250
        assert stream.lost() == 0


def test_the_memory_in_redis(sandbox: Sandbox, clients: Make, redis_server: RedisServer) -> None:
    """docs/redis_operators.rst says how much memory a text message and a user need, and when the keys expire."""
    page = " ".join((DOCS / "redis_operators.rst").read_text(encoding="utf-8").split())
    (size, maxlen, total), *_ = re.findall(r"about (\d) kB for each text message. ``maxlen`` (\d+) is (\d+) MB", page)
    assert int(size) * int(maxlen) == int(total) * 1000 and "four small keys" in page and "expire within a day" in page
    client, store = clients()
    with EventStream(client, store) as stream, redis_server.client() as redis:
        worker = Worker()
        stream.listen(worker)
        for number in range(MESSAGES):
            sandbox.send_message(OTHER_UID, UID, f"a text of some length {number}")
        assert eventually(lambda: len(worker.texts) == MESSAGES, DEADLINE)
        needed = redis.memory_usage(stream.key, samples=0) / redis.xlen(stream.key)
        assert int(size) * 750 < needed <= int(size) * 1000
        (known, *_) = redis.scan_iter(f"{stream.key}:[0-9]*")
        assert redis.memory_usage(known) < 120 and 0 < redis.ttl(known) <= 3600
        keys = set(redis.scan_iter(f"{stream.key.rpartition(':')[0]}:*")) - set(redis.scan_iter(f"{stream.key}*"))
        lasting = {key for key in keys if b":answer:" not in key}
        assert 3 <= len(lasting) <= 4, keys
        assert all(0 < redis.ttl(key) <= 24 * 3600 and redis.memory_usage(key) < 300 for key in lasting)


def test_a_callback_that_takes_long_keeps_its_event(sandbox: Sandbox, clients: Make, redis_server: RedisServer) -> None:
    """A callback may take longer than claim_after: no other worker handles the same event."""
    client, store = clients()
    long = Long()
    long_claim = {"claim_after": 5}  # seconds: a busy machine stops a process for more than one
    with EventStream(client, store, **long_claim) as first, EventStream(client, store, **long_claim) as second:
        first.listen(long)
        sandbox.send_message(OTHER_UID, UID, "long")
        assert long.begun.wait(DEADLINE)
        other = Worker()
        second.listen(other)
        with redis_server.client() as redis:

            def idle() -> int:
                (pending,) = redis.xpending_range(first.key, first.group, min="-", max="+", count=1)
                assert pending["consumer"].decode() == first.consumer and pending["times_delivered"] == 1
                return int(pending["time_since_delivered"])

            idle_times = [idle()]

            def renewals() -> int:
                idle_times.append(idle())
                return sum(later < earlier for earlier, later in zip(idle_times, idle_times[1:]))

            assert eventually(lambda: renewals() == 4, DEADLINE), "each quarter of claim_after: as long as that in all"
        long.release.set()
        with redis_server.client() as redis:
            assert eventually(lambda: redis.xpending(first.key, first.group)["pending"] == 0, DEADLINE)
        assert other.texts == []


def test_an_event_whose_answer_was_lost_comes_after_claim_after(
    sandbox: Sandbox, clients: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis handed the event out, but the answer did not arrive. A worker gets it, like the event of a killed one."""
    redis = pytest.importorskip("redis")
    read, lost = redis.Redis.xreadgroup, []

    def lose_one(*arguments: Any, **options: Any) -> Any:
        answer = read(*arguments, **options)
        if answer and not lost:
            lost.append(answer)
            raise redis.TimeoutError("the answer is late")
        return answer

    monkeypatch.setattr(redis.Redis, "xreadgroup", lose_one)
    client, store = clients()
    with EventStream(client, store, claim_after=1, retries=1) as stream:
        worker = Worker()
        stream.listen(worker)
        sandbox.send_message(OTHER_UID, UID, "first")
        sandbox.send_message(OTHER_UID, UID, "second")
        assert eventually(lambda: sorted(worker.texts) == ["first", "second"], DEADLINE), worker.texts
        assert len(lost) == 1


def test_a_trimmed_entry_that_redis_6_does_not_name_is_finished(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Redis 6.2 keeps the entry with the worker, and answers XAUTOCLAIM with nil in its place."""
    library = pytest.importorskip("redis")
    client, store = clients()
    with EventStream(client, store, claim_after=1) as stream, redis_server.client() as redis:

        def autoclaim(*arguments: Any, **options: Any) -> Any:
            kept = redis.xpending(stream.key, stream.group)["pending"]
            return [b"0-0", [(None, None)] * kept]

        monkeypatch.setattr(library.Redis, "xautoclaim", autoclaim)
        redis.xgroup_create(stream.key, stream.group, id="0", mkstream=True)
        for text in ("first", "second"):
            sandbox.send_message(OTHER_UID, UID, text)
        assert eventually(lambda: redis.xlen(stream.key) == 2, DEADLINE)
        redis.xreadgroup(stream.group, stream.consumer, {stream.key: ">"}, count=1)
        redis.xtrim(stream.key, maxlen=1, approximate=False)
        worker = Worker()
        stream.listen(worker)
        assert eventually(lambda: worker.texts == ["second"], DEADLINE), worker.texts
        assert eventually(lambda: stream.lost() == 1, DEADLINE), stream.lost()
    assert "can't be read" not in caplog.text


def test_an_event_that_can_not_be_acknowledged_is_reported(
    sandbox: Sandbox, clients: Make, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker whose user of Redis lacks a right does not stop in silence."""
    client, _ = clients()
    with redis_server.client() as redis:
        rules = ["reset", "on", ">secret", "~*", "&*", "+@all", "-xack"]
        redis.execute_command("ACL", "SETUSER", "worker", *rules)
        try:
            with EventStream(client, redis_server.url.replace("//", "//worker:secret@")) as stream:
                worker = Worker()
                stream.listen(worker)
                sandbox.send_message(OTHER_UID, UID, "text")
                assert eventually(lambda: "can't be acknowledged yet" in caplog.text, DEADLINE)
                assert worker.texts == ["text"] and "secret" not in caplog.text
        finally:
            redis.execute_command("ACL", "DELUSER", "worker")


def test_close_ends_within_a_second(clients: Make) -> None:
    """close() ends both threads within a second, while they wait for events."""
    client, store = clients()
    stream = EventStream(client, store)
    stream.listen(Worker())
    assert eventually(lambda: any(t.name.startswith("cometchat-stream-") for t in threading.enumerate()))
    stream.close()
    assert [t.name for t in threading.enumerate() if t.name.startswith("cometchat-stream-")] == []


def test_a_stream_has_three_threads_and_two_connections(sandbox: Sandbox, redis_server: RedisServer) -> None:
    """The first callback that takes long adds a third connection, which renews its claim."""
    redis_server.flush()
    long = Long()
    with Client(sandbox.app_id, sandbox.settings()) as client, redis_server.client() as redis:
        client.login(UID, sandbox.auth_key)
        client.connect(DEADLINE)

        def connections() -> int:
            return len([each for each in redis.client_list() if each["name"].startswith("cometchat:")])

        assert eventually(lambda: connections() == 0, DEADLINE)
        with EventStream(client, redis_server.url, claim_after=1) as stream:
            stream.listen(long)
            assert eventually(lambda: connections() == 2, DEADLINE), connections()
            names = [thread.name for thread in threading.enumerate() if thread.name.startswith("cometchat-stream-")]
            assert len(names) == 3
            sandbox.send_message(OTHER_UID, UID, "text")
            assert eventually(lambda: connections() == 3, DEADLINE), connections()
            long.release.set()
        assert eventually(lambda: connections() == 0, DEADLINE), connections()


def test_a_member_has_two_threads_and_two_connections(clients: Make, redis_server: RedisServer) -> None:
    """Without a stream: the leader and the follower alike, as docs/redis.rst says."""
    for _ in range(2):
        clients()
    with redis_server.client() as redis:

        def connections() -> int:
            return len([each for each in redis.client_list() if each["name"].startswith("cometchat:")])

        assert eventually(lambda: connections() == 4, DEADLINE), connections()
    assert len([each for each in threading.enumerate() if each.name.startswith("cometchat-redis-")]) == 4


def test_a_client_without_a_store_adds_too(sandbox: Sandbox, redis_server: RedisServer) -> None:
    """With an address, and a client that has its own connection, the stream works as well."""
    redis_server.flush()
    with Client(sandbox.app_id, sandbox.settings()) as client:
        client.login(UID, sandbox.auth_key)
        client.connect(DEADLINE)
        with EventStream(client, redis_server.url) as stream:
            worker = Worker()
            stream.listen(worker)
            sandbox.send_message(OTHER_UID, UID, "text")
            assert eventually(lambda: worker.texts == ["text"], DEADLINE)


@pytest.mark.parametrize(
    "wrong, code",
    [
        ({"store": 1}, "INVALID_STORE"),
        ({"group": ""}, "INVALID_GROUP"),
        ({"consumer": 3}, "INVALID_CONSUMER"),
        ({"maxlen": 0}, "INVALID_MAXLEN"),
        ({"claim_after": 0.5}, "INVALID_CLAIM_AFTER"),
        ({"retries": True}, "INVALID_RETRIES"),
        ({"in_order": 1}, "INVALID_IN_ORDER"),
        ({"client": None}, "INVALID_CLIENT"),
    ],
)
def test_wrong_arguments_are_named(sandbox: Sandbox, wrong: Any, code: str) -> None:
    """Each wrong argument raises its code, before a thread starts."""
    with Client(sandbox.app_id, sandbox.settings(auto_establish_socket_connection=False)) as client:
        client.login(UID, sandbox.auth_key)
        with pytest.raises(CometChatException) as raised:
            EventStream(**{"client": client, "store": "redis://127.0.0.1:1/0", **wrong})
    assert raised.value.code == code


def test_a_listener_of_another_kind_is_refused(clients: Make) -> None:
    """listen() accepts only listeners whose events are in the stream."""
    with EventStream(*clients()) as stream, pytest.raises(CometChatException) as raised:
        stream.listen(object())
    assert raised.value.code == "INVALID_LISTENER"


class Waits(MessageListener):
    """A listener whose callback a call does not run."""

    async def on_text_message_received(self, message: TextMessage) -> None:  # type: ignore[override]
        raise AssertionError("not reached")


class Misspelt(MessageListener):
    """A listener with a callback that is never called."""

    def on_text_mesage_received(self, message: TextMessage) -> None:
        raise AssertionError("not reached")


def test_the_callbacks_of_a_listener_are_checked(clients: Make, caplog: pytest.LogCaptureFixture) -> None:
    """An async callback is refused, as by a client: each event would be finished without its code."""
    with EventStream(*clients()) as stream:
        with pytest.raises(CometChatException, match="plain function for on_text_message_received"):
            stream.listen(Waits())
        stream.listen(Misspelt())
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and "did you mean on_text_message_received?" in warnings[0]


def test_a_killed_leader_and_a_killed_worker_lose_nothing(
    sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path
) -> None:
    """The leader, and a worker in a callback, are killed while messages arrive: each is handled once."""
    redis_server.flush()
    more = {"group": "workers", "claim_after": 2.0, "hang_at": "10", "mark": str(tmp_path / "mark")}
    cluster = Cluster(sandbox, redis_server, 1.0, **more)
    try:
        members = cluster.start(3)
        for number in range(100):
            sandbox.send_message(OTHER_UID, UID, str(number))
        (hangs,) = eventually(lambda: [member for member in members if "10" in member.values("begun")], DEADLINE)
        leader = cluster.leader()
        for number in range(100, 150):
            sandbox.send_message(OTHER_UID, UID, str(number))
        killed = {hangs, leader}
        for member in killed:
            member.end()
        for number in range(150, 200):
            sandbox.send_message(OTHER_UID, UID, str(number))

        def handled() -> List[str]:
            return [text for member in members for text in member.values("handled")]

        expected = {str(number) for number in range(200)}
        assert eventually(lambda: expected <= set(handled()), DEADLINE), expected - set(handled())
        assert "10" not in hangs.values("handled")
        # Each killed worker may have finished its work before it could tell Redis.
        found = handled()
        twice = [text for text in expected if found.count(text) > 1]
        assert len(found) - 200 == len(twice) <= len(killed), twice
    finally:
        cluster.close()
