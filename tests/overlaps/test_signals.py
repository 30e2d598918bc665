"""Promise 15: a signal handler may call ``close()``, ``disconnect()`` and ``outbox.put()`` at any point.

A trace function stands in for the signal. At one line of the running call, it makes the handler's call on the same
thread. Each run uses the next line. So the handler interrupts the running call at each of its lines, also while that
holds a lock.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from types import FrameType
from typing import Any, Callable, Dict, List, Optional

import pytest

import cometchat
from cometchat import Client, CometChatException, TextMessage

from .harness import DEADLINE, Service, World

ROOT = os.path.dirname(cometchat.__file__)

#: The long form of the tests interrupts at each line, and the short form at some lines.
STEP = 1 if os.environ.get("COMETCHAT_SOAK") else 5


def _message() -> TextMessage:
    return TextMessage(receiver_id="u2", receiver_type="user", text="Hello")


RUNNING: Dict[str, Callable[[Client], object]] = {
    "login": lambda client: client.login("u1", "key"),
    "logout": lambda client: client.logout(),
    "connect": lambda client: client.connect(1.0),
    "disconnect": lambda client: client.disconnect(),
    "close": lambda client: client.close(),
    "ping": lambda client: client.ping(1.0),
    "start_typing": lambda client: client.start_typing("u2"),
    "send_message": lambda client: client.send_message(_message()),
    "put": lambda client: client.outbox.put(_message()),
    "flush": lambda client: client.outbox.flush(1.0),
    "wait_for_status": lambda client: client.wait_for_status("connected", 0.2),
    "stats": lambda client: client.stats(),
}

HANDLERS: Dict[str, Callable[[Client], object]] = {
    "close": lambda client: client.close(),
    "disconnect": lambda client: client.disconnect(),
    "put": lambda client: client.outbox.put(_message()),
}


class _Signal:
    """Calls the handler at the n-th line of the SDK's code on this thread."""

    def __init__(self, at: int, handler: Callable[[], object]) -> None:
        self._left = at
        self._handler = handler
        self.came = False

    def trace(self, frame: FrameType, event: str, argument: Any) -> Optional[Callable[..., Any]]:
        if self.came or not frame.f_code.co_filename.startswith(ROOT):
            return None
        if event == "line":
            self._left -= 1
            if self._left < 0:
                self.came = True
                self._handler()
                sys.settrace(None)  # the rest is quicker without it
        return self.trace


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("running", RUNNING)
def test_a_signal_at_every_line(monkeypatch: pytest.MonkeyPatch, running: str, handler: str) -> None:
    """Neither the handler nor the interrupted call hangs, and nothing is left over."""
    for at in itertools.count(0, STEP):
        with monkeypatch.context() as patch:
            if not _interrupted(patch, RUNNING[running], HANDLERS[handler], at, running == "connect"):
                assert at >= 3 * STEP, "the running call has lines"
                return


def _interrupted(
    patch: pytest.MonkeyPatch,
    running: Callable[[Client], object],
    handler: Callable[[Client], object],
    at: int,
    starts_down: bool,
) -> bool:
    """Interrupt at this line. Returns False if the running call has fewer lines."""
    world = World(patch)
    client = Client("app", world.settings())
    client.login("u1", "key")
    client.connect(DEADLINE)
    if starts_down:
        client.disconnect()
    signal = _Signal(at, lambda: _quietly(handler, client))
    errors: List[BaseException] = []

    def run() -> None:
        sys.settrace(signal.trace)
        try:
            _quietly(running, client)
        except BaseException as error:
            errors.append(error)
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=run, name="interrupted", daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive(), f"a handler at line {at} hangs: {_where(thread)}"
    assert not errors, errors
    client.close()
    assert client.get_connection_status() == "disconnected"
    world.end()
    return signal.came


def _quietly(call: Callable[[Client], object], client: Client) -> None:
    try:
        call(client)
    except CometChatException as error:
        assert error.code


def _where(thread: threading.Thread) -> List[str]:
    frame, found = sys._current_frames().get(thread.ident or 0), []
    while frame is not None:
        found.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return found


def test_a_disconnect_in_a_handler_that_interrupts_the_lock_happens_at_once_after_it(world: World) -> None:
    """Another thread makes the call as soon as the interrupted thread releases the lock."""
    client = Client("app", world.settings())
    client.login("u1", "key")
    client.connect(DEADLINE)
    with client._registry.lock:
        client.disconnect()  # returns, although this thread holds the lock
        assert client.get_connection_status() == "connected"
    assert client.wait_for_status("disconnected", DEADLINE)
    client.close()


def test_the_service_is_the_fake(world: World) -> None:
    """The calls in the tests above are real: they reach the service."""
    client = Client("app", world.settings())
    client.login("u1", "key")
    client.connect(DEADLINE)
    assert isinstance(world.service, Service) and client.send_message(_message()).id
    client.close()
