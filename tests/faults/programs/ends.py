"""Programs that end, each in another state or way. Usage: ends.py CASE.

A program prints ``ready`` once its state is reached. Most then wait for a line from the test. Just before its end it
prints ``end`` and the monotonic time.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from typing import Any, Callable, Dict, List

import early_exit
import joining

from cometchat import CometChatException, ConnectionListener, TextMessage

CASES: Dict[str, Callable[[], object]] = {}


def case(function: Callable[[], object]) -> Callable[[], object]:
    CASES[function.__name__] = function
    return function


def mark_the_end() -> None:
    joining.say("end", time.monotonic())


def ready(wait: bool = True) -> None:
    joining.say("ready")
    if wait:
        joining.told_to_go_on()


# The states.


@case
def connected() -> None:
    joining.joined()
    ready()


@case
def without_a_reference() -> None:
    """Use a client only through its listener: no variable of the program refers to it."""
    joining.joined()
    joining.kept.clear()
    gc.collect()
    ready()


@case
def connecting() -> None:
    """Connect. The test decides where the attempt hangs."""
    client = joining.logged_in(auto_establish_socket_connection=False)
    joining.say("logged-in")
    joining.told_to_go_on()
    client.connect(0)
    ready()


@case
def in_dns() -> None:
    """Look up a name, without an end."""
    client = joining.logged_in(auto_establish_socket_connection=False)
    look_up, pipe = threading.Event(), os.pipe()

    def blocked(*_: Any, **__: Any) -> Any:
        look_up.set()
        return os.read(pipe[0], 1)  # in C, like the real one

    socket.getaddrinfo = blocked
    client.connect(0)
    look_up.wait(10)
    ready()


@case
def in_backoff() -> None:
    failed = threading.Event()

    class Heard(ConnectionListener):
        def on_connection_error(self, error: object) -> None:
            failed.set()

    client = joining.logged_in(auto_establish_socket_connection=False)
    client.add_connection_listener("heard", Heard())
    client.connect(0)
    failed.wait(10)
    ready()


@case
def throttled() -> None:
    client = joining.logged_in()
    assert client.wait_for_status("featureThrottled", 10)
    ready()


def blocked_clients(number: int) -> None:
    """Block the listener of each of some clients forever."""
    blocked = threading.Semaphore(0)

    class Blocks(ConnectionListener):
        def on_connected(self) -> None:
            blocked.release()
            threading.Event().wait()

    for _ in range(number):
        client = joining.logged_in(auto_establish_socket_connection=False)
        client.add_connection_listener("blocks", Blocks())
        client.connect(0)
    for _ in range(number):
        assert blocked.acquire(timeout=10)


@case
def blocked_listener() -> None:
    blocked_clients(1)
    ready()


@case
def twenty_blocked_listeners() -> None:
    blocked_clients(20)
    ready()


@case
def twenty_clients() -> None:
    for _ in range(20):
        joining.joined()
    ready()


@case
def sending() -> None:
    """Send an item of the outbox whose answer does not come."""
    client = joining.joined()
    joining.say("logged-in")
    joining.told_to_go_on()
    client.outbox.put(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="unanswered"))
    ready()


held: List[sqlite3.Connection] = []  # until the end of the process


@case
def outbox_file_is_locked() -> None:
    """Let another process hold the lock of the outbox's file for a while. A daemon thread waits for it."""
    client = joining.joined(outbox_path="outbox.db")
    message = TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="waits")
    client.outbox.put(message)
    assert client.outbox.flush(10)
    other = sqlite3.connect("outbox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    held.append(other)

    def put() -> None:
        with contextlib.suppress(CometChatException):
            client.outbox.put(message)

    threading.Thread(target=put, daemon=True).start()
    while client._core.outbox_store._lock.acquire(timeout=0.2):  # until that thread has the lock, and keeps it
        client._core.outbox_store._lock.release()
    ready()


@case
def daemon_waits() -> None:
    """Let a daemon thread wait in connect() without a limit."""
    client = joining.logged_in(auto_establish_socket_connection=False)
    joining.say("logged-in")
    joining.told_to_go_on()
    threading.Thread(target=client.connect, args=(None,), daemon=True).start()
    ready()


# The ways.


@case
def exit_code() -> None:
    joining.joined()
    ready()
    sys.exit(3)


@case
def error() -> None:
    joining.joined()
    ready()
    raise RuntimeError("the program's own")


@case
def hard_exit() -> None:
    joining.joined()
    ready()
    mark_the_end()
    os._exit(5)


#: The test explains this case.
NEW_THREADS = not (3, 12) <= sys.version_info < (3, 12, 2)


@case
def last_thread() -> None:
    """End the main thread first. Another one continues, and connects again."""
    client = joining.joined()

    def go_on() -> None:
        threading.main_thread().join()
        assert client.ping(10) > 0
        if NEW_THREADS:
            client.disconnect()
            client.connect(10)
            assert client.ping(10) > 0
        ready()
        mark_the_end()

    threading.Thread(target=go_on).start()


@case
def closed_at_exit() -> None:
    """Use the client at the end in functions of the program, before and after the SDK's."""
    client = joining.joined()

    def use() -> None:
        joining.say("status", client.get_connection_status())
        client.close()
        try:
            client.connect(10)
        except CometChatException as error:
            joining.say("raised", error.code)

    early_exit.at_the_very_end.append(use)
    atexit.register(client.close)
    ready()


@case
def exit_in_listener() -> None:
    """Call sys.exit() in a listener. It is logged, and does not affect the connection."""

    class Leaves(ConnectionListener):
        def on_connected(self) -> None:
            sys.exit(9)

    class Say(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
            joining.say("logged", record.levelname, kind)

    logger = logging.getLogger("cometchat.listeners")
    logger.addHandler(Say())
    logger.propagate = False
    client = joining.logged_in(auto_establish_socket_connection=False)
    client.add_connection_listener("leaves", Leaves())
    client.connect(10)
    assert client.ping(10) > 0
    ready()


@case
def thread_exits() -> None:
    """Call sys.exit() on another thread of the program, which ends only that thread."""
    client = joining.joined()
    thread = threading.Thread(target=sys.exit, args=(9,))
    thread.start()
    thread.join()
    assert client.ping(10) > 0
    ready()


# Signals.


@case
def terminated() -> None:
    joining.joined()
    ready(wait=False)
    threading.Event().wait()


@case
def terminated_politely() -> None:
    def leave(*_: object) -> None:
        mark_the_end()
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    joining.joined()
    ready(wait=False)
    threading.Event().wait()


def until_interrupted(act: Callable[[], object]) -> None:
    ready(wait=False)
    try:
        act()
    except KeyboardInterrupt:
        sys.exit(130)


@case
def interrupted_in_sleep() -> None:
    joining.joined()
    until_interrupted(lambda: time.sleep(60))


@case
def interrupted_in_connect() -> None:
    client = joining.logged_in(auto_establish_socket_connection=False)
    until_interrupted(lambda: client.connect(60))


@case
def interrupted_in_connect_without_limit() -> None:
    client = joining.logged_in(auto_establish_socket_connection=False)
    until_interrupted(lambda: client.connect(None))


@case
def interrupted_in_wait_for_status() -> None:
    client = joining.joined()
    until_interrupted(lambda: client.wait_for_status("disconnected"))


@case
def interrupted_in_ping() -> None:
    client = joining.joined()
    until_interrupted(lambda: client.ping(60))


@case
def interrupted_in_login() -> None:
    client = joining.logged_in(auto_establish_socket_connection=False)
    joining.say("logged-in")
    joining.told_to_go_on()
    until_interrupted(lambda: client.login("cometchat-uid-2", os.environ["SANDBOX_AUTH_KEY"]))


@case
def interrupted_in_flush() -> None:
    client = joining.joined()
    joining.say("logged-in")
    joining.told_to_go_on()
    client.outbox.put(TextMessage(receiver_id="cometchat-uid-2", receiver_type="user", text="unanswered"))
    until_interrupted(lambda: client.outbox.flush(60))


@case
def interrupted_unguarded() -> None:
    """End by a KeyboardInterrupt that the program does not catch."""
    joining.joined()
    ready(wait=False)
    time.sleep(60)


if __name__ == "__main__":
    try:
        CASES[sys.argv[1]]()
    finally:
        mark_the_end()
