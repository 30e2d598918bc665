"""The promises between calls, one by one: events, the outbox, the end, and exceptions in lower layers."""

from __future__ import annotations

import gc
import json
import logging
import socket
import threading
import warnings
from typing import Any, Dict, List, Optional

import pytest

from cometchat import (
    Client,
    CometChat,
    CometChatException,
    ConnectionListener,
    GroupListener,
    MessageListener,
    OutboxListener,
    TextMessage,
)
from cometchat._runtime import _threads
from cometchat._runtime._lifecycle import Lifecycle
from cometchat._runtime._registry import ListenerRegistry
from cometchat._runtime.delivery import EventQueue, Inbox
from cometchat.exceptions import FAILED_TO_FETCH, exception_for

from .harness import DEADLINE, FakeSocket, Recorder, World, eventually


def _client(world: World, **settings: Any) -> Client:
    settings.setdefault("auto_establish_socket_connection", False)
    client = Client("app", world.settings(session_store=None, **settings))
    client.login("u1", "key")
    return client


def _text(text: str = "Hello") -> TextMessage:
    return TextMessage(receiver_id="u2", receiver_type="user", text=text)


@pytest.mark.parametrize("mode", ["LIMITED_TRANSIENT", "NO_TRANSIENT"])
def test_promise_10_connect_returns_throttled(world: World, mode: str) -> None:
    """In a throttled app the status is never ``connected`` when ``connect()`` returns, and typing never goes out."""
    world.service.mode = mode
    for _ in range(50):
        with _client(world) as client:
            heard = Recorder()
            client.add_connection_listener("recorder", heard)
            client.add_message_listener("messages", MessageListener())
            client.connect(DEADLINE)
            assert client.get_connection_status() == "featureThrottled"
            with pytest.raises(CometChatException):
                client.start_typing("u2")
            assert eventually(lambda: heard.calls == ["connecting", "connected", "featureThrottled"])
            client.disconnect()
            assert eventually(lambda: heard.calls[3:]) == ["disconnected"]
    assert not [frame for one in world.service.sockets for frame in one.sent if frame.get("type") == "typing_indicator"]


def test_promise_10_a_mode_that_changed_during_an_outage(world: World) -> None:
    """The client gets the service's settings during the handshake, before it reports the connection."""
    with _client(world) as client:
        heard = Recorder()
        client.add_connection_listener("recorder", heard)
        client.connect(DEADLINE)
        world.service.mode = "NO_TRANSIENT"
        world.service.drop()
        assert client.wait_for_status("featureThrottled", DEADLINE)
        assert eventually(lambda: heard.calls[-2:] == ["connected", "featureThrottled"])


class Blocked(MessageListener, GroupListener):
    """Waits in its first callback, and counts all callbacks."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.heard: List[str] = []

    def _hear(self, what: str) -> None:
        if not self.heard:
            self.go_on.wait(DEADLINE)
        self.heard.append(what)

    def on_text_message_received(self, message: Any) -> None:
        self._hear(f"text {message.id}")

    def on_message_edited(self, message: Any) -> None:
        self._hear(f"edited {message.id}")

    def on_message_deleted(self, message: Any) -> None:
        self._hear(f"deleted {message.id}")

    def on_group_member_joined(self, action: Any, joined_user: Any, joined_group: Any) -> None:
        self._hear(f"joined {action.id}")


def _push(one: FakeSocket, **body: Any) -> None:
    message: Dict[str, Any] = {
        "sender": "u2",
        "receiver": "u1",
        "receiverType": "user",
        "category": "message",
        "type": "text",
        "data": {"text": "x"},
        **body,
    }
    one.push(json.dumps({"type": "message", "deviceId": "other", "sender": "u2", "body": message}).encode())


@pytest.mark.parametrize("mark, callback", [("deletedAt", "deleted"), ("editedAt", "edited")])
def test_promise_12_a_slow_listener_loses_no_change(world: World, mark: str, callback: str) -> None:
    """500 changes of older messages wait behind one callback.

    All are delivered, although the queue has room for only 100 events.
    """
    with _client(world, max_queued_events=100) as client:
        slow = Blocked()
        client.add_message_listener("slow", slow)
        client.connect(DEADLINE)
        (one,) = world.service.sockets
        _push(one, id="1000")
        for number in range(500):
            _push(one, id=str(number), **{mark: 1700000000})
        assert eventually(lambda: client.stats().frames_received >= 501)
        slow.go_on.set()
        assert eventually(lambda: len(slow.heard) == 501), len(slow.heard)
        assert slow.heard == ["text 1000", *(f"{callback} {number}" for number in range(500))]
        assert client.stats().events_dropped == 0


def test_promise_13_close_reports_a_sent_item(world: World) -> None:
    """If the POST of an item runs while ``close()`` is called, the item is sent, and ``on_delivered`` is called."""
    delivered = threading.Event()

    class Deliveries(OutboxListener):
        def on_delivered(self, message: Any) -> None:
            delivered.set()

    client = _client(world)
    client.add_outbox_listener("deliveries", Deliveries())
    client.connect(DEADLINE)
    world.service.hold("POST messages")
    client.outbox.put(_text())
    assert world.service.arrived["POST messages"].wait(DEADLINE)
    client.close()
    assert not delivered.is_set()
    world.service.release("POST messages")
    assert delivered.wait(DEADLINE)
    assert len(world.service.messages) == 1


class _BadHandler(logging.Handler):
    """A handler with a full disk."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(28, "No space left on device")


@pytest.fixture
def full_disk() -> Any:
    """Let the writing of every record of the SDK fail."""
    package, handler = logging.getLogger("cometchat"), _BadHandler()
    package.addHandler(handler)
    level = package.level
    package.setLevel(logging.DEBUG)
    yield handler
    package.setLevel(level)
    package.removeHandler(handler)


@pytest.mark.usefixtures("full_disk")
def test_promise_14_a_logging_handler_that_raises(world: World) -> None:
    """A raising handler does not affect the connection, listeners, the outbox and a reconnect."""

    class Bad(ConnectionListener):
        def on_connected(self) -> None:
            raise ValueError("a listener's own")

    with _client(world) as client:
        heard = Recorder()
        client.add_connection_listener("bad", Bad())
        client.add_connection_listener("recorder", heard)
        client.connect(DEADLINE)
        world.service.drop()
        assert eventually(lambda: heard.calls.count("connected") == 2)
        client.outbox.put(_text())
        assert client.outbox.flush(DEADLINE)
        client.disconnect()
        assert eventually(lambda: heard.calls[-1] == "disconnected")


def test_promise_14_a_socket_module_that_raises(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an attempt, and in the wait after it, the attempts continue and the status stays true."""
    with _client(world) as client:
        client.connect(DEADLINE)

        class Broken:
            def __init__(self, *args: Any, **more: Any) -> None:
                raise RuntimeError("patched")

        with monkeypatch.context() as patch:
            patch.setattr(FakeSocket, "open", lambda self, url, timeout: Broken())
            patch.setattr(socket, "socket", Broken)
            world.service.drop()
            assert eventually(lambda: client.stats().failures.get("ERR_INTERNAL", 0) >= 3)
            assert client.get_connection_status() == "connecting"
        assert client.wait_for_status("connected", DEADLINE)


@pytest.mark.parametrize("part", ["attempts", "take", "_send_auth", "_before_wait"])
def test_promise_14_an_error_in_the_sdk_itself(world: World, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """After any failure on the connection thread or the dispatcher, the thread continues, and connects again."""
    from cometchat._runtime.connection._reconnect_policy import RetrySeries
    from cometchat._runtime.connection._thread import ConnectionThread

    owner = {"attempts": RetrySeries, "take": EventQueue}.get(part, ConnectionThread)
    real, failures = getattr(owner, part), [MemoryError(), RuntimeError("a mistake")][: 1 if "wait" in part else 2]

    def fails_at_first(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*args)

    with _client(world) as client:
        heard = Recorder()
        client.add_connection_listener("recorder", heard)
        monkeypatch.setattr(owner, part, fails_at_first)
        client.connect(timeout=0)
        if part == "_before_wait":
            assert client.wait_for_status("connected", DEADLINE)
            world.service.drop()
            assert eventually(lambda: not failures)
        times = 2 if part == "_before_wait" else 1
        assert eventually(lambda: heard.calls.count("connected") >= times)
        assert client.get_connection_status() == "connected" and not failures


def test_promise_14_no_thread_can_be_started(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """``connect()`` raises, the status is ``disconnected``, and a later ``connect()`` works."""
    client = _client(world)
    with monkeypatch.context() as patch:

        def no_thread(*args: Any, **more: Any) -> None:
            raise RuntimeError("thread is not supported for isolated subinterpreters")

        patch.setattr(_threads.threading, "Thread", no_thread)
        with pytest.raises(CometChatException) as caught:
            client.connect(DEADLINE)
        assert caught.value.code == "ERR_INTERNAL"
    assert client.get_connection_status() == "disconnected"
    client.connect(DEADLINE)
    assert client.get_connection_status() == "connected"
    client.close()


@pytest.mark.parametrize("step", ["close_connection", "resume"])
def test_an_interrupted_init_leaves_no_client_half_done(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A Ctrl-C comes while the old client ends or the new one begins. The next ``init()`` resumes the login."""
    world.reach("connected")
    other, world.replaced = world.settings(ping_interval=20), True
    real, interrupts = getattr(Lifecycle, step), [KeyboardInterrupt()]

    def interrupted_at_first(*args: Any, **more: Any) -> Any:
        if interrupts:
            raise interrupts.pop()
        return real(*args, **more)

    monkeypatch.setattr(Lifecycle, step, interrupted_at_first)
    with pytest.raises(KeyboardInterrupt):
        CometChat.init("app", other)
    assert eventually(lambda: not world.service.sockets)
    CometChat.init("app", other)
    assert CometChat.wait_for_status("connected", DEADLINE)
    world.check()


def test_ten_thousand_failed_questions_for_missed_messages() -> None:
    """After hours of failures, the catch-up still waits at most its maximum wait, and asks again."""
    registry, waits = ListenerRegistry(), []
    registry.add("message", "m", MessageListener())
    events = EventQueue(registry, 100)

    class Failing:
        """A service whose history is not available, 10,000 times."""

        me = None
        questions = 0

        def client_name(self) -> str:
            return "client"

        def newest_message_id(self, ago: Optional[float] = None) -> str:
            self.questions += 1
            if self.questions > 10_000:
                return "5"
            raise exception_for(FAILED_TO_FETCH, "no way")

    history = Failing()
    inbox = Inbox(
        registry,
        events,
        history,  # type: ignore[arg-type]
        history,  # type: ignore[arg-type]
        enabled=True,
        name="missed",
        jitter=lambda: 1.0,
        wait=lambda wakeup, seconds: waits.append(seconds),
    )
    inbox.begin(events.generation)
    assert eventually(lambda: inbox._position.known == "5")
    assert len(waits) == 10_001 and max(waits) == 30.0  # one wait has two parts, since the patience ends in it


@pytest.mark.parametrize("listens", [True, False])
def test_a_client_that_is_dropped_without_close_warns(world: World, listens: bool) -> None:
    """The client's threads continue, since its listeners may still be wanted.

    A ResourceWarning informs the developer.
    """
    heard = Recorder()

    def drop() -> Any:
        client = _client(world)
        if listens:
            client.add_connection_listener("recorder", heard)
        client.connect(DEADLINE)
        return client._core

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        core = drop()
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning][0].startswith("unclosed")
    world.service.drop()
    assert not listens or eventually(lambda: heard.calls.count("connected") == 2)
    core.close()
