"""The way of a client's events into the stream in Redis: in batches, once, and after every failure."""

from __future__ import annotations

import sys
import threading
from types import FrameType, SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
from integration.conftest import UID
from no_threads import no_threads

from cometchat import Client, CometChatException, ConnectionException, MessageListener
from cometchat._event_source import Received
from cometchat._protocol._delivery import Self
from cometchat._protocol._frames import ServerEvent
from cometchat.sandbox import Sandbox

redis = pytest.importorskip("redis")

from cometchat.contrib.redis import EventStream, RedisStatusStore, _capture  # noqa: E402
from cometchat.contrib.redis._capture import Capture  # noqa: E402
from cometchat.contrib.redis._codec import Event, decode  # noqa: E402
from cometchat.contrib.redis._kept import KEPT, KeptEvents  # noqa: E402
from cometchat.contrib.redis._queue import MAX_WAITING, MAX_WAITING_BYTES  # noqa: E402

from .redis_support import DEADLINE, Long, Machine, RedisServer, Texts, eventually  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")

KEY = "cometchat:{app:u1}:events"
ME = Self("mine", "u1")
DEFAULT_CLOCK = (Capture.__init__.__kwdefaults__ or {})["clock"]


class Ending:
    """Replaces the event that ends a capture. It records the waits, and ends after this many."""

    def __init__(self, most: int) -> None:
        self.waits: List[float] = []
        self.most = most

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.is_set()

    def is_set(self) -> bool:
        return len(self.waits) >= self.most


def body_of(number: int, size: int = 1, **more: Any) -> Dict[str, Any]:
    return {
        **{"id": str(number), "category": "message", "type": "text", "sender": "u2", "receiver": "u1"},
        **{"receiverType": "user", "data": {"text": "x" * size}, "sentAt": 1_000, **more},
    }


class Service:
    """Stands for the client's events and history. It keeps the messages and the questions.

    :ivar since: messages that were stored after the stream's beginning.
    :ivar meanwhile: called during each question.
    :ivar is_leader: returns whether the client leads.
    """

    def __init__(self, *stored: int) -> None:
        self.stored = list(stored)
        self.since: List[int] = []
        self.asked: List[str] = []
        self.ago: List[float] = []
        self.refuses = False
        self.retry_after: Optional[float] = None
        self.sent_at: Dict[int, int] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self.is_leader: Callable[[], bool] = lambda: True

    uid = ME.uid
    service_time: Optional[float] = None

    @property
    def leads(self) -> bool:
        return self.is_leader()

    def store(self, *numbers: int) -> None:
        self.stored += numbers
        self.since += numbers

    def add(self, tap: Any) -> None:
        """Do nothing: the test calls the capture."""

    def remove(self, tap: Any) -> None:
        """Do nothing: the test calls the capture."""

    def _refuse(self) -> None:
        if self.refuses:
            raise ConnectionException("FAILED_TO_FETCH", "no network", retry_after=self.retry_after)

    def newest_message_id(self, ago: Optional[float] = None) -> str:
        self.asked.append("newest")
        self.meanwhile()
        self._refuse()
        self.ago.append(ago or 0.0)
        return str(max([each for each in self.stored if ago is None or each not in self.since], default=0))

    def messages_after(self, message_id: str, limit: int) -> List[Received]:
        self.asked.append(message_id)
        self.meanwhile()
        self._refuse()
        found = [number for number in sorted(self.stored) if number > int(message_id)][:limit]
        bodies = [body_of(number, sentAt=self.sent_at.get(number, 1_000)) for number in found]
        return [Received(_message(body), ME, b"", 100, fetched=True) for body in bodies]


def _message(body: Dict[str, Any]) -> ServerEvent:
    return ServerEvent("message", body, "u2", "u1", "user", "theirs")


def capture_of(
    connect: Callable[[], Any], most: int = 0, service: Any = None, clock: Any = None, leads: Any = None
) -> Capture:
    """Return a capture without a thread, whose first gap is closed."""
    source = service or Service()
    source.is_leader = leads or source.is_leader
    made = Capture(
        source,
        connect,
        KEY,
        maxlen=100_000,
        name="cometchat-stream-add-1",
        clock=clock or (lambda: 0.0),
        wall=lambda: 1_000.0,
        jitter=lambda: 1.0,
    )
    made._stopped = Ending(most)  # type: ignore[assignment]
    made._closed_gap = made._gap
    made._has_begun = True
    return made


def settle(capture: Capture, client: Any, most: int = 20) -> None:
    """Take turns until nothing is left to do."""
    while capture._is_behind or capture._batch or capture._queue.waits:
        capture._turn(client)
        most -= 1
        assert most > 0, "the capture does not come to an end"


def ids_in_stream(client: Any) -> List[str]:
    return [event.args[0].id for event in in_stream(client)]


def text(number: int, size: int = 1, **more: Any) -> Received:
    return Received(_message(body_of(number, size, **more)), ME, b"", size)


def typing() -> Received:
    body = {"action": "started", "user": {"uid": "u2"}}
    return Received(ServerEvent("typing_indicator", body, "u2", "u1", "user", "theirs"), ME, b"", 100)


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    redis_server.flush()
    with redis_server.client() as made:
        yield made


def in_stream(client: Any) -> List[Event]:
    return [decode(fields[b"event"]) for _, fields in client.xrange(KEY)]


def test_events_that_wait_go_to_redis_in_one_call(client: Any, redis_server: RedisServer) -> None:
    """A slow way to Redis costs a round trip for each batch, not for each event. The order is kept."""
    capture = capture_of(lambda: redis.Redis.from_url(redis_server.url))
    for number in range(1200):
        capture.received(text(number))
    client.config_resetstat()
    capture._main()
    calls = client.info("commandstats")["cmdstat_eval"]["calls"]
    assert [event.args[0].id for event in in_stream(client)] == [str(number) for number in range(1200)]
    assert calls <= 3


def test_an_answer_that_comes_too_late_adds_nothing_twice(client: Any, redis_server: RedisServer) -> None:
    """Redis has executed the call, but the client timed out.

    An event without an id (typing) is in the stream once as well.
    """
    inner = redis.Redis.from_url(redis_server.url)
    calls: List[int] = []

    def late(*arguments: Any) -> Any:
        calls.append(1)
        answer = inner.eval(*arguments)
        if len(calls) < 3:
            raise redis.TimeoutError("Timeout reading from socket")
        return answer

    slow = SimpleNamespace(eval=late, hget=inner.hget, close=inner.close, connection_pool=inner.connection_pool)
    capture = capture_of(lambda: slow, most=2)
    capture._stopped.wait = capture._stopped.waits.append  # type: ignore
    capture.received(text(1))
    capture.received(typing())
    capture.received(typing())
    capture._main()
    assert len(calls) == 3
    methods = [event.method for event in in_stream(client)]
    assert methods == ["on_text_message_received", "on_typing_started", "on_typing_started"]


def test_an_event_behind_a_new_connection_waits_for_missed_ones(client: Any, redis_server: RedisServer) -> None:
    """The thread waits for events when a connection opens and an event arrives over it. The missed events go first."""
    service = Service(1, 2, 3, 4)
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "0"})
    capture = capture_of(lambda: redis.Redis.from_url(redis_server.url), most=1, service=service)
    take = capture._queue.take

    def take_late(wait: float) -> Any:
        capture._queue.take = take  # type: ignore[method-assign]
        capture.opened()
        capture.received(text(4))
        return take(wait)

    capture._queue.take = take_late  # type: ignore[method-assign]
    for _ in range(3):
        capture._turn(client)
    assert [event.args[0].id for event in in_stream(client)] == ["1", "2", "3", "4"]


def test_a_lead_that_lapses_for_a_moment_closes_no_gap(client: Any, redis_server: RedisServer) -> None:
    """Redis was slow to renew the lead.

    Events that were not fetched then are fetched later, before any live message.
    """
    service = Service(1, 2, 3)
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    capture = capture_of(lambda: redis.Redis.from_url(redis_server.url), most=1, service=service)
    answers = iter([True, False])  # at its check, and just before its question; then the lead is renewed
    service.is_leader = lambda: next(answers, True)
    capture.opened()
    capture._turn(client)
    assert service.asked == []
    capture.received(text(4))
    settle(capture, client)
    assert [event.args[0].id for event in in_stream(client)] == ["2", "3", "4"]


def test_a_lead_that_lapses_before_the_kept_events_are_added(client: Any, redis_server: RedisServer) -> None:
    """An event that arrived live waits for the missed ones, which are fetched once the lead is renewed."""
    service = Service(1, 2, 3, 4)
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    answers = iter([True, True, False])  # for the event, at its check, and just before its question
    capture = capture_of(lambda: client, most=1, service=service, leads=lambda: next(answers, True))
    capture.opened()
    capture.received(text(4))
    settle(capture, client)
    assert ids_in_stream(client) == ["2", "3", "4"]


def test_an_event_that_arrives_while_the_lead_lapses_is_added(client: Any, redis_server: RedisServer) -> None:
    """The lead is renewed on the same connection. The event goes before the next one, although it was only kept."""
    service = Service(1)
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    leads = [True]
    capture = capture_of(lambda: client, most=1, service=service, leads=lambda: leads[0])
    leads[0] = False
    edit = text(1, editedAt=5)
    capture.received(edit)
    service.store(2)
    capture.received(text(2))
    leads[0] = True
    assert capture._queue.waits, "the thread wakes"
    capture.received(text(3))
    settle(capture, client)
    assert [(event.method, event.args[0].id) for event in in_stream(client)] == [
        ("on_text_message_received", "2"), ("on_message_edited", "1"), ("on_text_message_received", "3")
    ]


def test_a_login_as_another_user_during_a_question(client: Any, redis_server: RedisServer) -> None:
    """The answer is the other user's. Neither its messages nor its position belong into this stream."""
    service = Service(1, 2, 3)
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    service.meanwhile = lambda: setattr(service, "uid", "other")
    capture = capture_of(lambda: client, most=1, service=service)
    capture.opened()
    capture._turn(client)
    assert ids_in_stream(client) == [] and client.hget(f"{KEY}:record", "id") == b"1"
    client.delete(f"{KEY}:record")
    service.uid = ME.uid
    first = capture_of(lambda: client, most=1, service=service)
    first.opened()
    first._turn(client)
    assert service.asked[-1] == "newest" and not client.hexists(f"{KEY}:record", "id")
    assert capture._is_behind and first._is_behind


# The beginning of a stream, before any leader knows the newest message.


@pytest.mark.parametrize("during", [False, True])
def test_a_lead_that_is_lost_before_the_first_answer(client: Any, redis_server: RedisServer, during: bool) -> None:
    """A message is stored meanwhile, and reaches no process. It counts as missed, not as older than the stream."""
    service, leads = Service(1, 2), [True]
    capture = capture_of(lambda: client, most=1, service=service, leads=lambda: leads[0])

    def lapses() -> None:
        service.meanwhile = lambda: None
        leads[0] = False
        service.store(3)

    capture.opened()
    if during:
        service.meanwhile = lapses
        capture._turn(client)
    else:
        lapses()
    leads[0] = True
    capture.opened()
    service.store(4)
    capture.received(text(4))
    settle(capture, client)
    assert ids_in_stream(client) == ["3", "4"]


@pytest.mark.parametrize("back", [False, True])
def test_a_connection_that_breaks_before_the_first_answer(client: Any, redis_server: RedisServer, back: bool) -> None:
    """The answer comes while the connection is down, or when it is up again. The missed message is in the stream."""
    service = Service(1, 2)
    capture = capture_of(lambda: client, most=1, service=service)

    def breaks() -> None:
        service.meanwhile = lambda: None
        service.store(3)
        if back:
            capture.opened()

    service.meanwhile = breaks
    capture.opened()
    capture._turn(client)
    if not back:
        capture.opened()
    service.store(4)
    capture.received(text(4))
    settle(capture, client)
    assert ids_in_stream(client) == ["3", "4"]


def test_a_leader_that_is_killed_before_the_first_answer(client: Any, redis_server: RedisServer) -> None:
    """The next process knows from Redis when the stream began, even if no other process ran then."""
    now = [1_000.0]
    first = capture_of(lambda: client, most=1, service=Service(1), clock=lambda: now[0], leads=lambda: False)
    first._has_begun = False
    now[0] += 50.0
    first._queue.put("opened")
    first._turn(client)
    service = Service(1)
    service.store(2, 3)
    second = capture_of(lambda: client, most=1, service=service)
    second.opened()
    settle(second, client)
    assert ids_in_stream(client) == ["2", "3"]
    assert 50.0 <= service.ago[0] < 50.0 + DEADLINE
    late = capture_of(lambda: client, most=1, service=service)
    late._has_begun = False
    late._queue.put("opened")
    began = client.hget(f"{KEY}:record", "began")
    late._turn(client)
    assert client.hget(f"{KEY}:record", "began") == began


def test_the_first_position_in_redis_counts(client: Any, redis_server: RedisServer) -> None:
    """While one leader's question takes long, another one begins the stream. The later answer changes nothing."""
    service = Service(1, 2)
    slow = capture_of(lambda: client, most=1, service=service)
    other = capture_of(lambda: client, most=1, service=Service(1, 2))

    def takes_long() -> None:
        service.meanwhile = lambda: None
        other.opened()
        settle(other, client)
        service.stored += [3, 4]

    service.meanwhile = takes_long
    slow.opened()
    settle(slow, client)
    assert ids_in_stream(client) == ["3", "4"]
    assert client.hmget(f"{KEY}:record", "id", "floor") == [b"4", b"2"]


ERRORS = [redis.ConnectionError("refused"), OSError(24, "x"), MemoryError(), ValueError("x"), RecursionError()]


def test_ten_thousand_failures_do_not_end_a_capture(caplog: pytest.LogCaptureFixture) -> None:
    """After 10,000 failures of the connection and of calls, the wait is at its limit, and then events are added."""
    caplog.set_level("CRITICAL")
    count = [0]
    added: List[Any] = []

    def fail(*arguments: Any) -> Any:
        count[0] += 1
        if count[0] < 10_000:
            raise ERRORS[count[0] % len(ERRORS)]
        added.append(arguments)
        return 1, 0

    fake = SimpleNamespace(
        eval=fail,
        hget=lambda *arguments: None,
        close=lambda: None,
        connection_pool=SimpleNamespace(disconnect=lambda: None),
    )

    def connect() -> Any:
        if count[0] < 100:
            fail()
        return fake

    capture = capture_of(connect, most=9_999)
    capture._stopped.wait = capture._stopped.waits.append  # type: ignore
    capture.received(text(1))
    capture._main()
    assert (count[0], len(added)) == (10_000, 1)
    waits = capture._stopped.waits  # type: ignore[attr-defined]
    assert waits[0] < waits[-1] == max(waits) == _capture._LONGEST


def test_processes_do_not_all_return_to_redis_at_once() -> None:
    """The longest wait has jitter too."""
    waits = []
    for jitter in (0.0, 1.0):
        capture = capture_of(lambda: None, most=1)  # no client
        capture._jitter = lambda value=jitter: value  # type: ignore
        capture._failures = 99
        capture.received(text(1))
        capture._main()
        waits += capture._stopped.waits  # type: ignore[attr-defined]
    assert waits == [_capture._LONGEST / 2, _capture._LONGEST]


def limit_waiting(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let at most so many events wait. MAX_WAITING of them take seconds."""
    for module in ("_queue", "_capture", "_kept"):
        monkeypatch.setattr(f"cometchat.contrib.redis.{module}.MAX_WAITING", most)


def test_events_without_room_are_fetched_from_the_service(
    client: Any, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK logs one warning that there is no room. The capture fetches the messages from the service."""
    most = 2_000
    limit_waiting(monkeypatch, most)
    caplog.set_level("INFO")
    came = range(1, most + 401)
    service = Service(*came)
    capture = capture_of(lambda: redis.Redis.from_url(redis_server.url), most=1, service=service)
    client.hset(f"{KEY}:record", mapping={"id": "0", "floor": "0"})
    for number in came:
        capture.received(text(number))
    capture.received(typing())
    assert capture.dropped == 401
    with redis.Redis.from_url(redis_server.url) as link:
        while capture._is_behind or capture._queue.waits:
            capture._turn(link)
    found = [event.args[0].id for event in in_stream(client)]
    assert sorted(found, key=int) == [str(number) for number in came], "each once, none missing"
    assert len([record for record in caplog.records if "Too many events wait for Redis" in record.message]) == 1
    assert len([record for record in caplog.records if "401 events had no room" in record.message]) == 1


def test_16_mib_wait() -> None:
    """The size of the waiting events is limited too."""
    capture = capture_of(lambda: None)
    for number in range(40):
        capture.received(text(number, 2**20))
    assert capture._queue._bytes <= MAX_WAITING_BYTES and capture._kept._bytes <= MAX_WAITING_BYTES
    assert capture.dropped == 24


def test_while_too_much_comes_the_queue_is_emptied_first(
    client: Any, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question takes time, in which the queue would stay full. The capture asks once half of the queue is free."""
    most = 2_000
    limit_waiting(monkeypatch, most)
    service = Service()
    client.hset(f"{KEY}:record", mapping={"id": "0", "floor": "0"})
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=1, service=service)
        for number in range(1, most + 2):
            capture.received(text(number))
        asked_at = []
        while capture._queue.waits:
            before = len(service.asked)
            waits = capture._queue.waits
            capture._turn(link)
            asked_at += [waits] * (len(service.asked) > before)
    assert asked_at and max(asked_at) <= most // 2


def test_a_new_leader_fetches_messages_from_a_time_without_a_process(client: Any, redis_server: RedisServer) -> None:
    """A new leader begins after the newest message in the stream, which Redis keeps.

    The very first leader begins with the newest.
    """
    service = Service(*range(1, 8))
    with redis.Redis.from_url(redis_server.url) as link:
        first = capture_of(lambda: link, most=1, service=service)
        first.opened()
        first._turn(link)
        assert service.asked[0] == "newest" and in_stream(client) == []
        first.received(text(8))
        first._turn(link)
        service.stored = list(range(1, 300))
        second = capture_of(lambda: link, most=1, service=service)
        second.opened()
        second._turn(link)
    assert [event.args[0].id for event in in_stream(client)] == [str(number) for number in range(8, 300)]
    assert client.hget(f"{KEY}:record", "id") == b"299" and not second._is_behind


def test_a_redis_that_goes_away_at_the_start_loses_nothing(client: Any, redis_server: RedisServer) -> None:
    """Redis fails after the answer. The process asks again for the same time, and no order changes."""
    service = Service(1)
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=1, service=service)
        capture.opened()
        service.store(2, 3)
        capture.received(text(3))
        answers = iter([[None, None, 0]])
        broken = SimpleNamespace(eval=lambda *args: next(answers, None) or _refuse())
        with pytest.raises(redis.ConnectionError):
            capture._catch_up(broken)
        service.store(4)
        settle(capture, link)
    assert service.asked[:2] == ["newest", "newest"]
    assert ids_in_stream(client) == ["2", "3", "4"]


def _refuse(*args: Any) -> Any:
    raise redis.ConnectionError("gone")


def test_a_message_of_long_ago_is_not_added_again(client: Any, redis_server: RedisServer) -> None:
    """Redis recognizes a message for an hour. An older one in the overlap is already in the stream."""
    service = Service(8, 9)
    client.hset(f"{KEY}:record", mapping={"id": "8", "floor": "1"})
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=1, service=service)
        capture._wall = lambda: 1_000.0 + 7_200
        capture.opened()
        capture._turn(link)
    assert [event.args[0].id for event in in_stream(client)] == ["9"]


@pytest.mark.parametrize("wrong", [-7_200, 7_200], ids=["slow", "fast"])
def test_a_wrong_clock_of_this_machine_neither_repeats_nor_skips(
    wrong: int, client: Any, redis_server: RedisServer
) -> None:
    """Message 7 is two hours old, and Redis has forgotten it. Message 8 was stored late, behind message 9."""
    service = Service(7, 8, 9)
    service.service_time = 10_000.0
    service.sent_at = {7: 2_800, 8: 9_990, 9: 9_990}
    client.hset(f"{KEY}:record", mapping={"id": "9", "floor": "1"})
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=1, service=service)
        capture._wall = lambda: 10_000.0 + wrong
        capture.opened()
        capture._turn(link)
    assert ids_in_stream(client) == ["8", "9"]


def test_while_the_service_does_not_answer_live_events_go_first(client: Any, redis_server: RedisServer) -> None:
    """After 5 s live events go first. The position in Redis stays before the missed ones, so that they still come."""
    now = [0.0]
    service = Service(1, 2, 3)
    service.refuses = True
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=100, service=service, clock=lambda: now[0])
        capture.opened()
        capture.received(text(3))
        capture._turn(link)
        assert in_stream(client) == []
        now[0] = 6.0
        capture._turn(link)
        capture._turn(link)
        assert [event.args[0].id for event in in_stream(client)] == ["3"]
        assert client.hget(f"{KEY}:record", "id") == b"1"
        service.refuses, now[0] = False, 100.0
        capture._turn(link)
    assert [event.args[0].id for event in in_stream(client)] == ["3", "2"]
    assert client.hget(f"{KEY}:record", "id") == b"3"


def test_live_events_go_first_during_a_long_retry_after(client: Any, redis_server: RedisServer) -> None:
    """They wait for 5 s. The service is asked again after its minute, and not after the 5 s."""
    now = [0.0]
    service = Service(1, 2, 3)
    service.refuses, service.retry_after = True, 60.0
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=100, service=service, clock=lambda: now[0])
        capture.opened()
        capture.received(text(3))
        capture._turn(link)
        assert ids_in_stream(client) == ["3"]
        assert capture._stopped.waits == [5.0]  # type: ignore[attr-defined]
        now[0] = 59.0
        capture._turn(link)
        assert service.asked == ["1"]
        service.refuses, now[0] = False, 100.0
        capture._turn(link)
    assert ids_in_stream(client) == ["3", "2"]


def test_events_that_have_no_room_in_memory_are_added_later(
    client: Any, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is lost in the middle of its preparation. Its messages come from the service and the kept events."""
    encode, left = _capture.encode, [1]

    def fail(event: Event) -> bytes:
        if left[0]:
            left[0] -= 1
            raise MemoryError
        return encode(event)

    monkeypatch.setattr(_capture, "encode", fail)
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=100, service=Service(1, 2))
        capture.received(text(2))
        capture.received(text(3))
        with pytest.raises(MemoryError):
            capture._turn(link)
        settle(capture, link)
    assert ids_in_stream(client) == ["2", "3"]


def test_a_page_that_is_too_long_is_asked_for_in_smaller_ones(client: Any, redis_server: RedisServer) -> None:
    """An answer with a hundred large messages may exceed the limit of HTTP answers."""

    class Large(Service):
        def messages_after(self, message_id: str, limit: int) -> List[Received]:
            page = super().messages_after(message_id, limit)
            if len(page) > 10:
                raise ConnectionException("ERR_BAD_RESPONSE", "more than can be taken")
            return page

    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=100, service=Large(*range(1, 51)))
        capture.opened()
        settle(capture, link)
    assert ids_in_stream(client) == [str(number) for number in range(2, 51)]


def test_a_service_that_is_away_for_long_is_one_warning(client: Any, redis_server: RedisServer, caplog: Any) -> None:
    """The next tries are records at INFO, until the service answers."""
    now = [0.0]
    service = Service(1, 2)
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=100, service=service, clock=lambda: now[0])
        for _ in range(2):
            service.refuses = True
            capture.opened()
            for _ in range(20):
                capture._turn(link)
                now[0] += 60.0
            service.refuses = False
            capture._turn(link)
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == ["WARNING", "WARNING"]


@pytest.mark.parametrize("error", [KeyError("password"), redis.ConnectionError("refused")], ids=["function", "redis"])
def test_a_redis_that_is_away_for_long_is_one_visible_record(error: Exception, caplog: Any) -> None:
    """Several tries a second fill no log. At the end the events that are not in the stream are counted.

    A short outage is not visible by default, but one that lasts is, such as a missing right in Redis.
    """
    caplog.set_level("INFO")

    def connect() -> Any:
        raise error

    capture = capture_of(connect, most=100)
    capture.received(text(1))
    capture._main()
    of_long_outage = ["ERROR"] if isinstance(error, KeyError) else ["INFO", "WARNING"]
    assert [record.levelname for record in caplog.records] == [*of_long_outage, "WARNING"]


def test_the_events_of_another_user_are_not_added(client: Any, redis_server: RedisServer) -> None:
    """The client has logged in as another user. Neither its live events nor its history belong into this stream."""
    service = Service(1, 2, 3)
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=1, service=service)
        service.uid = "other"
        capture.opened()
        capture.received(Received(_message(body_of(4)), Self("mine", "other"), b"", 1))
        capture.received(text(5))
        capture._turn(link)
    assert [event.args[0].id for event in in_stream(client)] == ["5"] and service.asked == []


def test_a_follower_keeps_events_that_are_not_in_the_stream() -> None:
    """A follower keeps old events that are not in the stream.

    It also keeps those of the last minute, for a Redis that lost its data.
    """
    now = [0.0]
    kept = KeptEvents(lambda: now[0])
    for number in range(10):
        kept.add(str(number), text(number))
    now[0] = KEPT * 5
    assert [each.key for each in kept.all()] == [str(number) for number in range(10)]
    kept.note_added("6")
    assert [each.key for each in kept.all()] == ["7", "8", "9"]
    kept.note_added("unknown")
    assert len(kept) == 3
    for number in range(MAX_WAITING + 5):
        kept.add(f"more {number}", text(number))
    assert len(kept) == MAX_WAITING


def test_an_edit_has_its_own_key_and_own_messages_are_not_added() -> None:
    """A message that was missed, and edited since, is the same message."""
    assert text(1).key == "1" and text(1).message_id == "1"
    edit = text(1, editedAt=5)
    assert edit.key == "1:5" and edit.message_id is None
    assert Received(_message(body_of(1, editedAt=5)), ME, b"", 1, fetched=True).key == "1"
    assert typing().key is None
    own = ServerEvent("message", body_of(1), "u1", "u2", "user", ME.resource)
    assert Received(own, ME, b"", 1).call() is None
    judged = ServerEvent("on_moderation_status_changed", {"x": 1}, "u2", "u1", "user", "theirs")
    assert Received(judged, ME, b"a", 1).key == Received(judged, ME, b"a", 1).key
    assert Received(judged, ME, b"a", 1).key != Received(judged, ME, b"b", 1).key


def test_a_blocked_listener_does_not_hold_up_the_stream(redis_server: RedisServer) -> None:
    """While the leader's own listener hangs, workers still get every event."""
    redis_server.flush()
    blocked, worker = Long(), Texts()
    with Sandbox() as sandbox, Client(sandbox.app_id, sandbox.settings(max_queued_events=100)) as client:
        client.add_message_listener(blocked)
        client.login(UID, sandbox.auth_key)
        client.connect(DEADLINE)
        with EventStream(client, redis_server.url) as stream:
            stream.listen(worker)
            for number in range(300):
                sandbox.send_message("cometchat-uid-2", UID, str(number))
            try:
                assert eventually(lambda: len(worker.texts) == 300, DEADLINE), len(worker.texts)
            finally:
                blocked.release.set()
        assert worker.texts == [str(number) for number in range(300)]


@pytest.mark.parametrize("refused", ["cometchat-", "cometchat-stream-claims-"])
def test_a_stream_without_a_thread_says_so(refused: str, redis_server: RedisServer) -> None:
    """listen() raises the system's error, and leaves no thread that would finish events without a listener."""
    with Sandbox() as sandbox, Client(sandbox.app_id, sandbox.settings()) as client:
        client.login(UID, sandbox.auth_key)
        assert client.wait_for_status("connected", 20)
        with EventStream(client, RedisStatusStore(redis_server.url)) as stream:
            with no_threads(refused), pytest.raises(CometChatException) as raised:
                stream.listen(MessageListener())
            assert raised.value.code == "ERR_INTERNAL"
            assert stream._listeners == [] and not stream._thread.alive
            stream.listen(MessageListener())
            assert stream._thread.alive


def test_two_threads_may_each_add_a_listener(redis_server: RedisServer) -> None:
    """A second listen() comes between any two lines of the first one. Both listeners stay."""
    def look(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is EventStream.listen.__code__:
            if event == "line":
                lines.append(frame.f_lineno)
                if len(lines) == at:
                    thread = threading.Thread(target=stream.listen, args=(second,))
                    thread.start()
                    thread.join(20)
            return look

    with Sandbox() as sandbox, Client(sandbox.app_id, sandbox.settings()) as client:
        client.login(UID, sandbox.auth_key)
        at = 0
        while True:
            at, lines, first, second = at + 1, [], MessageListener(), MessageListener()
            with EventStream(client, RedisStatusStore(redis_server.url)) as stream:
                before = sys.gettrace()
                sys.settrace(look)
                try:
                    stream.listen(first)
                finally:
                    sys.settrace(before)
                if len(lines) < at:
                    return
                assert {id(each) for each in stream._listeners} == {id(first), id(second)}


@pytest.mark.parametrize(
    "rubbish", [b"", b"x", b"\xff", b"9" * 5000, b"9" * 60, b"-1"], ids=lambda text: repr(text[:5])
)
def test_rubbish_in_place_of_the_position_stops_no_stream(rubbish: bytes, client: Any) -> None:
    """Another program may write to the record. Live events still get into the stream."""
    client.hset(f"{KEY}:record", mapping={"id": rubbish, "floor": rubbish, "key": rubbish})
    service = Service(1, 2)
    capture = capture_of(lambda: client, most=1, service=service)
    capture.opened()
    capture.received(text(3))
    settle(capture, client)
    capture._look(client)
    assert "3" in ids_in_stream(client)


@pytest.mark.parametrize("quiet", [True, False])
def test_a_redis_that_restarts_empty_at_once_gets_the_kept_events_again(
    client: Any, redis_server: RedisServer, quiet: bool
) -> None:
    """A service manager restarts Redis within the lease, so that no connection breaks.

    The leader notices it with the next event, or within seconds while nothing comes.
    """
    now = [0.0]
    with redis.Redis.from_url(redis_server.url) as link:
        capture = capture_of(lambda: link, most=100, service=Service(), clock=lambda: now[0])
        for number in (1, 2):
            capture.received(text(number))
        settle(capture, link)
        client.flushall()
        now[0] = 10.0
        capture._queue.put("gap")  # wakes it
        if not quiet:
            capture.received(text(3))
        capture._turn(link)
        settle(capture, link)
    assert sorted(ids_in_stream(client)) == ["1", "2"] if quiet else ["1", "2", "3"]


@pytest.mark.parametrize("missed", [True, False])
def test_a_redis_that_refuses_writes_causes_no_requests_to_the_service(
    client: Any, redis_server: RedisServer, missed: bool
) -> None:
    """Redis has no memory left for hours. The answer of the service, asked for once, waits in the process."""
    error = redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
    refuses = [True]
    service = Service(1, 2, 3)
    client.hset(f"{KEY}:record", mapping={"id": "1", "floor": "1"})
    if not missed:
        for number in (2, 3):
            client.set(f"{KEY}:{number}", "1")
    with redis.Redis.from_url(redis_server.url) as link:

        def evaluate(script: str, *arguments: Any) -> Any:
            if refuses[0] and script is _capture.ADD:
                raise error
            return link.eval(script, *arguments)

        capture = capture_of(lambda: link, most=100, service=service)
        capture.opened()
        capture.received(text(4))
        for _ in range(50):
            with pytest.raises(redis.RedisError):
                capture._turn(SimpleNamespace(eval=evaluate))
        assert len(service.asked) <= 2, service.asked
        refuses[0] = False
        settle(capture, SimpleNamespace(eval=evaluate, hmget=link.hmget))
    assert ids_in_stream(client) == (["2", "3", "4"] if missed else ["4"])


def test_a_batch_that_waited_for_hours_adds_no_message_twice(client: Any, redis_server: RedisServer) -> None:
    """The answer was lost, and Redis is out of reach for so long that it no longer recognizes the message."""
    lost, service = [True], Service(1)
    with redis.Redis.from_url(redis_server.url) as link:

        def evaluate(script: str, *arguments: Any) -> Any:
            answer = link.eval(script, *arguments)
            if lost[0]:
                raise redis.TimeoutError("Timeout reading from socket")
            return answer

        slow = SimpleNamespace(eval=evaluate, hget=link.hget, hmget=link.hmget)
        capture = capture_of(lambda: slow, service=service)
        capture.received(text(1))
        capture.received(typing())
        with pytest.raises(redis.TimeoutError):
            capture._turn(slow)
        client.delete(f"{KEY}:1")  # it has expired
        service.service_time, lost[0] = 10_000.0, False
        settle(capture, slow)
        capture.received(text(2))
        settle(capture, slow)
    methods = [event.method for event in in_stream(client)]
    assert methods == ["on_text_message_received", "on_typing_started", "on_text_message_received"]


def test_a_machine_that_slept_for_hours_adds_nothing_twice(
    client: Any, redis_server: RedisServer, machine: Machine
) -> None:
    """Redis no longer recognizes the events of the minute before the sleep, and the process no longer keeps them."""
    with redis.Redis.from_url(redis_server.url) as link:
        service = Service(1, 2)
        capture = capture_of(lambda: link, most=100, service=service, clock=DEFAULT_CLOCK)
        capture.received(text(1))
        capture.received(text(2))
        settle(capture, link)
        client.delete(f"{KEY}:1", f"{KEY}:2")  # they have expired
        machine.sleep(2 * 3600.0)
        service.service_time = 10_000.0
        capture.opened()
        settle(capture, link)
    assert ids_in_stream(client) == ["1", "2"]
