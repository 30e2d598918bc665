"""How a client's events get into the stream in Redis: in batches, once, and whatever fails."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any, Callable, Iterator, List

import pytest
from integration.conftest import UID

from cometchat import Client, TextMessage, TypingIndicator, User
from cometchat.sandbox import Sandbox

redis = pytest.importorskip("redis")

from cometchat.contrib.redis import EventStream, RedisStatusStore, _capture  # noqa: E402
from cometchat.contrib.redis._capture import Capture  # noqa: E402
from cometchat.contrib.redis._codec import Event, decode  # noqa: E402
from cometchat.contrib.redis._queue import MAX_WAITING_BYTES  # noqa: E402

from .redis_support import RedisServer, redis_server  # noqa: F401, E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Redis is not for Windows")

KEY = "cometchat:{app:u1}:events"


class Ending:
    """In place of the event that ends a capture: remembers the waits, and ends after so many."""

    def __init__(self, most: int) -> None:
        self.waits: List[float] = []
        self.most = most

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.is_set()

    def is_set(self) -> bool:
        return len(self.waits) >= self.most


def capture_of(connect: Callable[[], Any], most: int = 0) -> Capture:
    made = Capture(
        None,  # type: ignore[arg-type]
        connect,
        KEY,
        leads=lambda: True,
        maxlen=100_000,
        listener_id="cometchat-stream-1",
        clock=lambda: 0.0,
        jitter=lambda: 1.0,
    )
    made._stopped = Ending(most)  # type: ignore[assignment]
    return made


def text(number: int, size: int = 1) -> Event:
    message = TextMessage(id=str(number), text="x" * size, receiver_id="u1", receiver_type="user")
    return Event("message", "on_text_message_received", (message,))


def typing() -> Event:
    indicator = TypingIndicator(receiver_id="u1", receiver_type="user", sender=User(uid="u2"))
    return Event("message", "on_typing_started", (indicator,))


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:  # noqa: F811
    redis_server.flush()
    with redis_server.client() as made:
        yield made


def in_stream(client: Any) -> List[Event]:
    return [decode(fields[b"event"]) for _, fields in client.xrange(KEY)]


def test_events_that_wait_go_to_redis_in_one_call(client: Any, redis_server: RedisServer) -> None:  # noqa: F811
    """A slow way to Redis costs a round trip for each batch, not for each event; the order is kept."""
    capture = capture_of(lambda: redis.Redis.from_url(redis_server.url))
    for number in range(1200):
        capture._take(text(number))
    before = redis_server.commands()
    capture._main()
    calls = client.info("commandstats")["cmdstat_eval"]["calls"]
    assert [event.args[0].id for event in in_stream(client)] == [str(number) for number in range(1200)]
    assert calls <= 3 and redis_server.commands() > before


def test_an_answer_that_comes_too_late_adds_nothing_twice(client: Any, redis_server: RedisServer) -> None:  # noqa: F811
    """Redis did it, and the client gave up waiting: what has no id (typing) is in the stream once as well."""
    inner = redis.Redis.from_url(redis_server.url)
    calls: List[int] = []

    def late(*arguments: Any) -> Any:
        calls.append(1)
        inner.eval(*arguments)
        if len(calls) < 3:
            raise redis.TimeoutError("Timeout reading from socket")

    slow = SimpleNamespace(eval=late, close=inner.close, connection_pool=inner.connection_pool)
    capture = capture_of(lambda: slow, most=2)
    capture._stopped.wait = capture._stopped.waits.append  # type: ignore
    capture._take(text(1))
    capture._take(typing())
    capture._take(typing())
    capture._main()
    assert len(calls) == 3
    methods = [event.method for event in in_stream(client)]
    assert methods == ["on_text_message_received", "on_typing_started", "on_typing_started"]


ERRORS = [redis.ConnectionError("refused"), OSError(24, "x"), MemoryError(), ValueError("x"), RecursionError()]


def test_ten_thousand_failures_do_not_end_a_capture(caplog: pytest.LogCaptureFixture) -> None:
    """Of whatever kind, of the connection or of a call: the wait grows to its limit, and then the events are added."""
    caplog.set_level("CRITICAL")
    count = [0]
    added: List[Any] = []

    def fail(*arguments: Any) -> None:
        count[0] += 1
        if count[0] < 10_000:
            raise ERRORS[count[0] % len(ERRORS)]
        added.append(arguments)

    fake = SimpleNamespace(eval=fail, close=lambda: None, connection_pool=SimpleNamespace(disconnect=lambda: None))

    def connect() -> Any:
        if count[0] < 100:
            fail()
        return fake

    capture = capture_of(connect, most=9_999)
    capture._stopped.wait = capture._stopped.waits.append  # type: ignore
    capture._take(text(1))
    capture._main()
    assert (count[0], len(added)) == (10_000, 1)
    waits = capture._stopped.waits  # type: ignore[attr-defined]
    assert waits[0] < waits[-1] == max(waits) == _capture._LONGEST


def test_what_waits_is_bounded_and_what_was_dropped_is_added_later(
    client: Any, redis_server: RedisServer, caplog: pytest.LogCaptureFixture  # noqa: F811
) -> None:
    """16 MiB wait, one warning says that there is no room, and the kept messages are added once there is."""
    capture = capture_of(lambda: redis.Redis.from_url(redis_server.url))
    for number in range(10_500):
        capture._take(text(number))
    assert capture.dropped == 500
    capture._main()
    found = {event.args[0].id for event in in_stream(client)}
    assert found >= {str(number) for number in range(10_000, 10_500)}, "messages of the last minute are kept"
    assert len([record for record in caplog.records if "no room for more" in record.message]) == 1
    big = capture_of(lambda: None)
    for number in range(40):
        big._take(text(number, 2**20))
    assert big._queue._bytes <= MAX_WAITING_BYTES and big._kept._bytes <= MAX_WAITING_BYTES
    assert big.dropped == 25


def test_a_stream_without_a_thread_says_so(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    """EventStream() and listen() raise what the system raises, and leave nothing behind."""
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Sandbox() as sandbox, Client(sandbox.app_id, sandbox.settings()) as client:
        client.login(UID, sandbox.auth_key)
        assert client.wait_for_status("connected", 20)
        with EventStream(client, RedisStatusStore(redis_server.url)) as stream:
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", refuse)
                with pytest.raises(RuntimeError):
                    stream.listen(_Listener())
            assert stream._listeners == () and stream._thread is None
            stream.listen(_Listener())
            assert stream._thread is not None


class _Listener(_capture.KINDS["message"]):  # type: ignore[misc]
    """Does nothing."""
