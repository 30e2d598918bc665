"""Long-running clients do not take more and more: memory, threads, descriptors, objects."""

from __future__ import annotations

import gc
import os
import platform
import threading
from typing import Any, Callable, Dict, Iterator, List, Set

import pytest
from integration.conftest import eventually

from cometchat import Client, ConnectionListener, MessageListener, OutboxListener, TextMessage
from cometchat.sandbox import Sandbox

from .conftest import SOAK
from .flood_support import MIB, flooded_client
from .network_program import Program

pytest.importorskip("psutil")

#: Number of cycles of each kind, and of earlier cycles after which nothing may grow.
RECONNECTS, ATTEMPTS, LOGINS, CLIENTS = (10_000, 10_000, 1000, 1000) if SOAK else (120, 300, 40, 40)

#: Maximum growth of the resident memory: 5 %.
GROWTH = 1.05

#: HTTP keeps up to four connections, as many as were needed at once so far. The newest ten errors are of any kind. No
#: other object may be more than before: a cycle that left something would leave it a hundred times.
SLACK = {"fds": 3, "objects": 12}

#: The program's threads: its main thread, the dispatcher's, the connection's.
ONLINE, OFFLINE = 3, 2

#: Maximum time of one test, in seconds.
LIMIT = 1800.0 if SOAK else 180.0

pytestmark = [
    pytest.mark.timeout(LIMIT),
    pytest.mark.skipif(os.name != "posix", reason="descriptors are counted on POSIX systems only"),
]


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Program]:
    """A connected client in a separate process, with listeners of messages, so that it asks for missed messages."""
    with flooded_client(sandbox, wait=0.0) as program:
        yield program


def settled(client: Program, threads: int) -> Dict[str, Any]:
    """Return the client's figures, once the threads of the last action have ended and this many are left."""
    return measured(client, lambda latest: int(latest["threads"]) == threads)


def measured(client: Program, well: Callable[[Dict[str, Any]], bool]) -> Dict[str, Any]:
    """Return the client's figures at the first moment at which they are right, or the last figures.

    A running attempt holds some objects. How many there are at once depends on the machine.
    """
    latest: Dict[str, Any] = {}

    def is_well() -> bool:
        latest.clear()
        latest.update(client.call("measure"))
        return well(latest)

    eventually(is_well)
    return latest


def check(client: Program, cycle: Callable[[int], Any], count: int, threads: int) -> Dict[str, Any]:
    """Run warm-up cycles, then this many. Returns the figures of both ends, between which nothing has grown.

    :param cycle: runs this many cycles.
    :param threads: number of threads afterwards.
    """
    cycle(count // 3)
    before = settled(client, threads)
    cycle(count)

    def has_grown(now: Dict[str, Any]) -> List[str]:
        grown = [name for name, slack in SLACK.items() if now[name] > before[name] + slack]
        grown += ["rss"] if now["rss"] > GROWTH * before["rss"] else []
        return grown + (["threads"] if now["threads"] != threads else [])

    after = measured(client, lambda now: not has_grown(now))
    assert before["threads"] == threads and not has_grown(after), f"{has_grown(after)}: {before} {after}"
    return {
        "cycles": count,
        "mib_before": round(before["rss"] / MIB, 1),
        "mib_after": round(after["rss"] / MIB, 1),
        "threads": after["threads"],
        "fds": f"{before['fds']} {after['fds']}",
        "objects": f"{before['objects']} {after['objects']}",
    }


def test_reconnects_leave_nothing(sandbox: Sandbox, client: Program, figures: Callable[..., None]) -> None:
    """The server drops the connection, with RST, FIN and a close frame in turn, and the client returns."""
    drops = [
        lambda: sandbox.drop_connections(reset=True),
        lambda: sandbox.drop_connections(reset=False),
        lambda: sandbox.close_connections(1012, "restart"),
    ]
    connects = 1

    def cycle(count: int) -> None:
        nonlocal connects
        for number in range(count):
            assert drops[number % 3]() == 1
            connects += 1
            assert client.call("wait_for", what="connects", count=connects), client.call("heard")["transitions"][-8:]
            if number % 10 == 0:
                sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", str(number))
            if number % 500 == 0:
                sandbox.clear_records()

    figures(**check(client, cycle, RECONNECTS, ONLINE))
    assert client.call("stats")["connects"] == connects


def test_failed_attempts_leave_nothing(sandbox: Sandbox, client: Program, figures: Callable[..., None]) -> None:
    """The server refuses every upgrade, and the client keeps trying."""
    sandbox.refuse_upgrades(503)
    sandbox.drop_connections()

    def cycle(count: int) -> None:
        sandbox.clear_records()
        assert sandbox.wait_for_attempts(count, LIMIT)

    figures(**check(client, cycle, ATTEMPTS, ONLINE))


def test_logins_and_logouts_leave_nothing(sandbox: Sandbox, client: Program, figures: Callable[..., None]) -> None:
    """Login, connection and logout of the same client leave nothing."""

    def cycle(count: int) -> None:
        client.call("cycle", kind="login", count=count, timeout=LIMIT)
        sandbox.clear_records()

    figures(**check(client, cycle, LOGINS, OFFLINE))


def test_clients_leave_nothing(sandbox: Sandbox, client: Program, figures: Callable[..., None]) -> None:
    """A client that is made, logged in, connected and closed leaves nothing. Nor does one that is made and closed."""

    def cycle(count: int) -> None:
        client.call("cycle", kind="client", count=count, timeout=LIMIT)
        sandbox.clear_records()

    figures(**check(client, cycle, CLIENTS, ONLINE))


@pytest.fixture
def garbage() -> Iterator[Callable[[], Set[str]]]:
    """Returns the classes of this SDK and of TLS in what the test has left to the garbage collector."""
    if platform.python_implementation() != "CPython":
        pytest.skip("only CPython frees without its collector")

    def found() -> Set[str]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        names = {f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage}
        return {name for name in names if name.startswith(("cometchat._transport", "cometchat.exceptions", "ssl"))}

    gc.collect()
    gc.disable()
    try:
        yield found
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("fault", ["lost", "refused", "silent"])
def test_an_attempt_leaves_nothing_to_the_garbage_collector(
    sandbox: Sandbox, garbage: Callable[[], Set[str]], fault: str
) -> None:
    """Its socket, its error and the HTTP connections are freed at once, not at the collector's next run."""
    up, failed = threading.Semaphore(0), threading.Semaphore(0)
    settings = sandbox.settings(auth_timeout=0.2, reconnect_wait=lambda state: 0.01)
    with Client(sandbox.app_id, settings) as client:
        client.add_message_listener(MessageListener(on_text_message_received=print))
        client.add_connection_listener(
            ConnectionListener(on_connected=up.release, on_connection_error=lambda error: failed.release())
        )
        client.login("cometchat-uid-1", sandbox.auth_key)
        assert up.acquire(timeout=10.0)
        if fault == "silent":
            sandbox.ignore_auth(2)
        elif fault == "refused":
            sandbox.refuse_upgrades(503)
        sandbox.drop_connections()
        for _ in range(1 if fault == "lost" else 3):
            assert failed.acquire(timeout=10.0)
        sandbox.heal()
        assert up.acquire(timeout=10.0)
    assert not garbage()


def test_a_delivery_leaves_nothing_to_the_garbage_collector(sandbox: Sandbox, garbage: Callable[[], Set[str]]) -> None:
    """An error of the service, after which the outbox tries again, is freed at once."""
    delivered = threading.Event()
    with Client(sandbox.app_id, sandbox.settings()) as client:
        client.add_outbox_listener(OutboxListener(on_delivered=lambda sent: delivered.set()))
        client.login("cometchat-uid-1", sandbox.auth_key)
        client.connect()
        sandbox.fail_http(500, times=2)
        client.outbox.put(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="hi"))
        assert delivered.wait(10.0)
    assert not garbage()
