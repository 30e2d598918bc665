"""The HTTP connections that calls share, without a network."""

from __future__ import annotations

import errno
import gc
import inspect
import itertools
import linecache
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, Callable, List, Optional, Type

import pytest
from interruption import Interruption, LineInterruption

from cometchat._transport.http import _connections as module
from cometchat._transport.http._connections import SharedConnections, Way


class Point(Interruption):
    """Interrupts at a point outside of generators. Python 3.9 would raise before a generator's ``finally`` counts."""

    def _look(self, frame: FrameType, event: str, argument: object) -> Any:
        if event != "call" or not frame.f_code.co_flags & inspect.CO_GENERATOR:
            super()._look(frame, event, argument)


class LineOfModule(LineInterruption):
    """Interrupts at a line of the module, but not at a ``try:``, before which Python runs no signal handler."""

    def __init__(self, at: int) -> None:
        super().__init__(at, module)

    def _look(self, frame: FrameType, event: str, argument: object) -> Any:
        if linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() == "try:":
            return self._look
        return super()._look(frame, event, argument)


class Calls:
    """The calls of one client, and the pools of their connections."""

    def __init__(self) -> None:
        self.shared = SharedConnections(Way(lambda host, port: []))
        self.pools: List[Any] = []

    def call(self) -> None:
        with self.shared.lent(1, None) as connections:
            self.pools.append(connections.poolmanager.connection_from_host("127.0.0.1", 9))

    def call_on_retired_connections(self) -> None:
        with self.shared.lent(1, None) as connections:
            self.pools.append(connections.poolmanager.connection_from_host("127.0.0.1", 9))
            self.shared.retire()

    def retire(self) -> None:
        self.shared.retire()

    def leave(self) -> None:
        self.shared.leave(1)


@pytest.mark.parametrize("interruption", [Point, LineOfModule])
@pytest.mark.parametrize("name", ["call", "call_on_retired_connections", "retire", "leave"])
def test_an_interrupted_call_leaves_no_connection_open(name: str, interruption: Type[Any]) -> None:
    """A KeyboardInterrupt comes at any point. All connections are closed after the next call's end.

    The calls are on a thread of their own. If a trace function raises in an ``except`` clause, Python 3.11 keeps the
    handled exception as the current one, and all later errors of the thread would have it as their context.
    """
    with ThreadPoolExecutor(1) as thread:
        thread.submit(interrupt_at_each_point, name, interruption).result()


def interrupt_at_each_point(name: str, interruption: Type[Any]) -> None:
    gc.collect()
    kept = []  # until the end, since an interruption of urllib3's finalizers is not one of the call
    for at in itertools.count(1):
        calls = Calls()
        kept.append(calls)
        calls.call()
        interrupted: Callable[[], None] = getattr(calls, name)
        happened = interruption(at).happens_in(interrupted)
        calls.call()
        assert calls.pools[-1].pool is not None, "the next call has open connections"
        calls.leave()
        assert [pool.pool for pool in calls.pools] == [None] * len(calls.pools), at
        if not happened:
            assert at > 4
            return


class Descriptor:
    """A socket whose descriptor the program may have closed, as python-daemon does."""

    def __init__(self, error: Optional[OSError] = None) -> None:
        self.error = error
        self.closed = False

    def close(self) -> None:
        self.closed = True
        if self.error is not None:
            raise self.error


def test_a_kept_connection_without_its_descriptor_does_not_stop_the_close() -> None:
    """All other connections are closed too, and the caller goes on."""
    calls = Calls()
    calls.call()
    sockets = [Descriptor(), Descriptor(OSError(errno.EBADF, "Bad file descriptor")), Descriptor()]
    for each in sockets:
        connection = calls.pools[0]._new_conn()
        connection.sock = each
        calls.pools[0].pool.put(connection)
    calls.retire()
    assert [each.closed for each in sockets] == [True] * 3
