"""Many clients that return at once, and many threads that make all calls at once."""

from __future__ import annotations

import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterator, List, Optional, Set

import pytest
import tenacity
from integration.conftest import DEADLINE, OTHER_UID, QUICK, UID, Party, Recorder

from cometchat import AppSettings, Client, CometChat, CometChatException, CometChatWSState, TextMessage
from cometchat.sandbox import Sandbox

from .conftest import SOAK
from .flood_limits import raise_descriptors
from .flood_support import program
from .network_program import Program

#: Number of clients in this process, and the duration of the threads' hammering in seconds.
CROWDS, HAMMERING = ([300, 1000], 20.0) if SOAK else ([60], 2.0)

#: Maximum number of open files of a client, and of everything else.
FILES_EACH, FILES_ELSE = 8, 200

THREADS = 50

#: Time for which the server is away, in seconds.
DOWN = 0.3

#: Width of a bucket of the histograms of the attempts, in seconds: for the check, and for the docs.
FINE, COARSE = 0.05, 0.1

#: Maximum share of the attempts in one fine bucket, if they are spread over a second. An even spread is a twentieth. Of
#: few clients more fall together, and this machine may be busy.
FULLEST = 0.2 if SOAK else 0.35

#: More clients than this return only as fast as their process can, not as they would from as many machines.
COMPARABLE = 300

#: Maximum time of one test, in seconds.
LIMIT = 900.0 if SOAK else 180.0

pytestmark = pytest.mark.timeout(LIMIT)


#: Time for which a thread has the interpreter before a waiting one asks for it, in seconds. By default waiting threads
#: ask every 5 ms: hundreds of threads that wake up at once leave no time for other work. Hundreds of clients in one
#: process need this setting in production too.
SWITCH = 0.05


@pytest.fixture
def unhurried() -> Iterator[None]:
    """Let threads take turns less often."""
    before = sys.getswitchinterval()
    if SOAK:
        sys.setswitchinterval(SWITCH)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def server() -> Iterator[Program]:
    """The sandbox in a separate process."""
    running = program("flood_server.py")
    yield running
    violations = running.call("violations")
    running.close()
    assert violations == []


class Crowd:
    """Many clients of one user, without presence, since the server has enough to do."""

    def __init__(self, server: Program, count: int, wait: Optional[Callable[[Any], float]]) -> None:
        where = server.call("where")
        settings = AppSettings(
            admin_host=where["url"],
            client_host=where["url"],
            subscription_type="NONE",
            reconnect_wait=wait,
            connect_timeout=60.0,
            auth_timeout=60.0,
        )
        self._clients = [Client(where["app_id"], settings) for _ in range(count)]
        self._auth_key = where["auth_key"]
        self._workers = ThreadPoolExecutor(16, "test-crowd")

    def __enter__(self) -> Crowd:
        self.each(lambda client: client.login(UID, self._auth_key))
        self.each(lambda client: client.connect(LIMIT))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.each(Client.close)
        self._workers.shutdown()

    def each(self, act: Callable[[Client], Any]) -> List[Any]:
        return list(self._workers.map(act, self._clients))


def affordable(wanted: int) -> int:
    """Return as many clients as the system permits this process, or skip the test."""
    files = raise_descriptors()
    count = min(wanted, (files - FILES_ELSE) // FILES_EACH)
    if count < 50:
        pytest.skip(f"the system permits this process {files} open files only")
    return count


def histogram(moments: List[float], width: float) -> List[int]:
    """Return the number of values in each interval of time, from 0 on."""
    counts = [0] * (int(max(moments, default=0.0) / width) + 1)
    for moment in moments:
        counts[int(moment / width)] += 1
    return counts


def restarted(server: Program, count: int, wait: Optional[Callable[[Any], float]]) -> List[float]:
    """Restart the server under a crowd, which returns.

    Returns the times, in seconds, at which its attempts reached the server.
    """
    with Crowd(server, count, wait) as crowd:
        assert server.call("wait_for_connections", count=count, within=DEADLINE) == count
        dropped_at = server.call("restart", down=DOWN, timeout=LIMIT / 3)
        crowd.each(wait_until_back)
        connects = crowd.each(lambda client: client.stats().connects)
        assert set(connects) == {2}, [vars(s) for s in crowd.each(Client.stats) if s.connects != 2][:3]
        assert server.call("wait_for_connections", count=count, within=DEADLINE) == count
        assert crowd.each(Client.get_connection_status) == [CometChatWSState.CONNECTED] * count
        assert crowd.each(lambda client: dict(client.stats().drops)) == [{"WS_CONNECTION_FAIL": 1}] * count
        return [moment - dropped_at for moment in server.call("attempts")]


def wait_until_back(client: Client) -> None:
    """Wait for the second connection. A wait for the loss could come too late."""
    deadline = time.monotonic() + LIMIT / 3
    while client.stats().connects < 2 and time.monotonic() < deadline:
        client.wait_for_status("disconnected", 0.05)
        client.wait_for_status("connected", 0.5)


@pytest.mark.alone  # if other processes use the processor, attempts bunch together
@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("wanted", CROWDS)
def test_a_crowd_comes_back_and_not_all_at_once(server: Program, wanted: int, figures: Callable[..., None]) -> None:
    """The server restarts. Every client returns, and their attempts are spread over the seconds after it.

    The long form also has the figures without jitter. Then no attempt comes before the wait has passed.
    """
    count = affordable(wanted)
    spread = restarted(server, count, None)
    assert len(spread) == count
    if count <= COMPARABLE:
        assert max(histogram(spread, FINE)) < FULLEST * count, histogram(spread, FINE)
        # The jitter's first window is a second, and the server was away for a part of it.
        assert sum(moment < 1.1 for moment in spread) > 0.4 * count
    together = restarted(server, count, tenacity.wait_fixed(1)) if SOAK else []
    assert not SOAK or (len(together) == count and min(together) > 0.9)
    figures(
        clients=count,
        fullest_50_ms=max(histogram(spread, FINE)),
        fullest_50_ms_without_jitter=max(histogram(together, FINE)),
        last_s=round(max(spread), 1),
        per_100_ms=histogram(spread, COARSE),
        per_100_ms_without_jitter=histogram(together, COARSE),
    )


#: Allowed exceptions of the hammer's calls: the documented ones, and the service's for a token that another thread's
#: logout has voided.
DOCUMENTED = {
    "COMETCHAT_INITIALIZATION_NOT_DONE",
    "USER_NOT_LOGGED_IN",
    "LOGIN_IN_PROGRESS",
    "NO_WEBSOCKET_CONNECTION",
    "ERR_CONNECT_TIMEOUT",
    "ERR_PONG_TIMEOUT",
    "ERR_CLIENT_CLOSED",
    "WS_CONNECTION_FAIL",
    "WS_AUTH_FAIL",
    "AUTH_ERR_AUTH_TOKEN_NOT_FOUND",
}


class Hammer:
    """Threads that make random calls of one API at once.

    :param api: ``CometChat`` or a client.
    :param calls: name of each -> the function that makes it.
    """

    def __init__(self, calls: Dict[str, Callable[[random.Random], Any]]) -> None:
        self._calls = calls
        self._ended = threading.Event()
        self._start = threading.Barrier(THREADS)
        self.codes: Set[str] = set()
        self.unexpected: List[str] = []
        self.count = 0
        self.slowest = 0.0
        self._counting = threading.Lock()

    def strike(self, seconds: float) -> None:
        """Make calls for this time. No call takes longer than the deadline."""
        threads = [
            threading.Thread(target=self._work, args=(seed,), name="test-hammer", daemon=True)
            for seed in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        self._ended.wait(seconds)
        self._ended.set()
        deadline = time.monotonic() + 3 * DEADLINE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in threads), "a deadlock"
        assert self.unexpected == []

    def _work(self, seed: int) -> None:
        chance = random.Random(seed)
        self._start.wait(DEADLINE)
        while not self._ended.is_set():
            name = chance.choice(list(self._calls))
            began = time.monotonic()
            code = None
            try:
                self._calls[name](chance)
            except CometChatException as error:
                code = error.code
                if code not in DOCUMENTED:
                    self.unexpected.append(f"{name}: {error}")
            except BaseException as error:
                self.unexpected.append(f"{name}: {error!r}")
            with self._counting:
                self.count += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.codes |= {code} if code is not None else set()


def calls_of(api: Any, sandbox: Sandbox) -> Dict[str, Callable[[random.Random], Any]]:
    """Return the calls of ``CometChat`` or of a client."""
    message = TextMessage(receiver_id=OTHER_UID, receiver_type="user", text="hammer")
    ids = [f"listener {number}" for number in range(20)]
    return {
        "login": lambda chance: api.login(chance.choice([UID, UID, OTHER_UID]), sandbox.auth_key),
        "login_with_auth_token": lambda chance: api.login_with_auth_token(sandbox.auth_token(UID)),
        "logout": lambda chance: api.logout(),
        "connect": lambda chance: api.connect(chance.choice([0, 0.05, 1.0])),
        "disconnect": lambda chance: api.disconnect(),
        "add": lambda chance: api.add_connection_listener(chance.choice(ids), Recorder()),
        "remove": lambda chance: api.remove_connection_listener(chance.choice(ids)),
        "ping": lambda chance: api.ping(0.2),
        "wait_for_status": lambda chance: api.wait_for_status("connected", 0.05),
        "get_connection_status": lambda chance: api.get_connection_status(),
        "get_logged_in_user": lambda chance: api.get_logged_in_user(),
        "stats": lambda chance: api.stats(),
        "send_message": lambda chance: api.send_message(message),
    }


def works(api: Any, sandbox: Sandbox) -> None:
    """Check that it logs in, connects, calls the listeners, and answers."""
    heard = Recorder()
    with api.connection_listener(heard):
        api.disconnect()
        api.login(UID, sandbox.auth_key)
        api.connect(DEADLINE)
        assert api.ping(DEADLINE) >= 0
        heard.wait_for("on_connected")
        api.disconnect()
        assert api.get_connection_status() == "disconnected"


def test_a_client_with_many_threads(sandbox: Sandbox, party: Party, figures: Callable[..., None]) -> None:
    """50 threads log in and out, connect and disconnect, add and remove, without deadlocks and unknown errors."""
    client = party.client()
    hammer = Hammer(calls_of(client, sandbox))
    hammer.strike(HAMMERING)
    works(client, sandbox)
    client.close()
    figures(threads=THREADS, calls=hammer.count, slowest_s=round(hammer.slowest, 2), codes=sorted(hammer.codes))


@pytest.mark.usefixtures("facade")
def test_the_facade_with_many_threads(sandbox: Sandbox, figures: Callable[..., None]) -> None:
    """The same holds for ``CometChat``, which is also initialized again, with the same settings and with others."""
    same, other = (sandbox.settings(reconnect_wait=QUICK, ping_interval=interval) for interval in (15.0, 14.0))
    calls = calls_of(CometChat, sandbox)
    calls["init"] = lambda chance: CometChat.init(sandbox.app_id, other if chance.random() < 0.1 else same)
    hammer = Hammer(calls)
    hammer.strike(HAMMERING)
    CometChat.init(sandbox.app_id, same)
    works(CometChat, sandbox)
    figures(threads=THREADS, calls=hammer.count, slowest_s=round(hammer.slowest, 2), codes=sorted(hammer.codes))
