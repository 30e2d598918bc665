"""The end of a process: quick, silent, with the program's exit code, and with a close frame for the server."""

from __future__ import annotations

import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import pytest
from integration.conftest import eventually
from machine import waited

from cometchat.sandbox import Sandbox

from .conftest import FIGURES, SOAK
from .programs.running import Program, diary, environment

#: Maximum time from the program's last statement, or the signal, to the end of the process, in seconds. 1 s is
#: promised. The rest is for the interpreter's own end. The time in which programs wait for a processor does not count.
LIMIT = 1.5

pytestmark = pytest.mark.timeout(3600 if SOAK else 300)

#: Python 3.12.0 and 3.12.1 cannot start threads after the main thread has ended (gh-113964).
NEW_THREADS = not (3, 12) <= sys.version_info < (3, 12, 2)

REPEATS = 15 if SOAK else 1

#: Cases that run at the same time. Most of a case is the start of its program, and all other tests wait meanwhile.
AT_ONCE = 1 if SOAK else 2

#: Close codes of the sandbox: with a close frame, and without.
GOODBYE, NO_CLOSE = [1000], [1006]


class Measured:
    """The measurements of this module's tests."""

    def __init__(self) -> None:
        self.seconds: List[float] = []
        self.slowest = ""
        self.goodbyes = 0

    def add(self, name: str, seconds: float, goodbyes: int) -> None:
        if seconds > max(self.seconds, default=0.0):
            self.slowest = name
        self.seconds.append(seconds)
        self.goodbyes += goodbyes


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    """Yield the measurements, and record the figures of the whole module in one line."""
    together = Measured()
    yield together
    if together.seconds:
        FIGURES["test_ends"] = {
            "exits": len(together.seconds),
            "slowest exit s": round(max(together.seconds), 2),
            "in": together.slowest,
            "median s": round(sorted(together.seconds)[len(together.seconds) // 2], 3),
            "goodbyes": together.goodbyes,
        }


class Case(NamedTuple):
    """A way in which a program ends, and the expected result."""

    #: Its name in ends.py.
    name: str
    code: int = 0
    #: As the sandbox records them. None if they depend on the moment.
    closes: Optional[List[int]] = GOODBYE
    #: A fault of the sandbox, set before the program starts.
    before: Callable[[Sandbox], object] = lambda sandbox: None
    #: A fault of the sandbox, set once the program has logged in. The test then waits for its next line.
    midway: Optional[Callable[[Sandbox], object]] = None
    #: The sandbox must see this before the program continues, or gets its signal.
    seen: Callable[[Sandbox], object] = lambda sandbox: True
    #: In place of a line to its standard input.
    signal: Optional[int] = None
    #: The measurement starts at the signal, since the program has no last statement.
    from_signal: bool = False
    #: Further lines of its output.
    lines: List[str] = []
    #: The end of its standard error, after a traceback of the program's own.
    error: str = ""
    #: Its standard error warns that an item of the outbox ends with the client.
    warns: bool = False
    #: The close frame is encrypted.
    tls: bool = False
    settings: Dict[str, Any] = {}
    #: All callbacks, where the case is about them: the last one comes before the process ends.
    heard: List[str] = []


def hanging_request(sandbox: Sandbox) -> bool:
    return any(request.status == 0 for request in sandbox.requests)


def attempted(sandbox: Sandbox) -> bool:
    return len(sandbox.attempts) >= 1


def authenticating(sandbox: Sandbox) -> bool:
    return any(frame.get("type") == "auth" for _, frame in sandbox.frames)


def expire(sandbox: Sandbox) -> None:
    sandbox.jwt_lifetime = -10.0


def refuse(sandbox: Sandbox) -> None:
    sandbox.refuse_upgrades(503)


def ignore_auth(sandbox: Sandbox) -> None:
    sandbox.ignore_auth()


def hang_http(sandbox: Sandbox) -> None:
    sandbox.hang_http()


def hang_upgrades(sandbox: Sandbox) -> None:
    sandbox.hang_upgrades()


def throttle(sandbox: Sandbox) -> None:
    sandbox.set_mode("NO_TRANSIENT")


def pinged(sandbox: Sandbox) -> bool:
    return any(frame.get("action") == "ping" for _, frame in sandbox.frames)


def ignore_pings(sandbox: Sandbox) -> None:
    sandbox.ignore_pings()


STATES = {
    "connected": Case("connected", heard=["on_connecting", "on_connected", "on_disconnected"]),
    "connected, over TLS": Case("connected", tls=True),
    "connected, without a reference to the client": Case("without_a_reference"),
    "connecting, the upgrade hangs": Case("connecting", closes=[], midway=hang_upgrades, seen=attempted),
    "connecting, auth is not answered": Case("connecting", midway=ignore_auth, seen=authenticating),
    "connecting, HTTP hangs": Case("connecting", closes=[], before=expire, midway=hang_http, seen=hanging_request),
    "connecting, DNS hangs": Case("in_dns", closes=[]),
    "in backoff": Case("in_backoff", closes=[], before=refuse, seen=attempted, settings={"reconnect_wait": 60}),
    "throttled": Case("throttled", before=throttle),
    "a listener never returns": Case("blocked_listener"),
    "twenty clients": Case("twenty_clients", closes=GOODBYE * 20),
    "twenty clients, no listener returns": Case("twenty_blocked_listeners", closes=GOODBYE * 20),
    "the outbox is sending": Case("sending", midway=hang_http, seen=hanging_request, warns=True),
    "another process locks the outbox's file": Case("outbox_file_is_locked"),
    "a daemon thread waits in connect()": Case("daemon_waits", closes=[], midway=hang_upgrades, seen=attempted),
}

WAYS = {
    "sys.exit(3)": Case("exit_code", 3),
    "an error": Case("error", 1, error="RuntimeError: the program's own"),
    "os._exit(5)": Case("hard_exit", 5, closes=NO_CLOSE),
    "the main thread is not the last": Case("last_thread", closes=GOODBYE * (2 if NEW_THREADS else 1)),
    "the program's own atexit functions use the client": Case(
        "closed_at_exit", lines=["status disconnected", "raised ERR_CLIENT_CLOSED"]
    ),
    "sys.exit() in a listener": Case("exit_in_listener", lines=["logged ERROR SystemExit"]),
    "sys.exit() on another thread": Case("thread_exits"),
}

SIGNALS = {
    "SIGTERM": Case("terminated", -signal.SIGTERM, NO_CLOSE, signal=signal.SIGTERM, from_signal=True),
    "SIGTERM, handled by sys.exit()": Case("terminated_politely", signal=signal.SIGTERM),
    "SIGKILL": Case("terminated", -signal.SIGKILL, NO_CLOSE, signal=signal.SIGKILL, from_signal=True),
    "Ctrl-C in sleep()": Case("interrupted_in_sleep", 130, signal=signal.SIGINT),
    "Ctrl-C in connect()": Case(
        "interrupted_in_connect", 130, [], before=hang_upgrades, seen=attempted, signal=signal.SIGINT
    ),
    "Ctrl-C in connect(None)": Case(
        "interrupted_in_connect_without_limit", 130, [], before=hang_upgrades, seen=attempted, signal=signal.SIGINT
    ),
    "Ctrl-C in wait_for_status()": Case("interrupted_in_wait_for_status", 130, signal=signal.SIGINT),
    "Ctrl-C in ping()": Case("interrupted_in_ping", 130, before=ignore_pings, seen=pinged, signal=signal.SIGINT),
    "Ctrl-C in login()": Case(
        "interrupted_in_login", 130, [], midway=hang_http, seen=hanging_request, signal=signal.SIGINT
    ),
    "Ctrl-C in flush()": Case(
        "interrupted_in_flush", 130, midway=hang_http, seen=hanging_request, signal=signal.SIGINT, warns=True
    ),
    "Ctrl-C that nothing catches": Case(
        "interrupted_unguarded", -signal.SIGINT, signal=signal.SIGINT, from_signal=True, error="KeyboardInterrupt"
    ),
}


def asleep(pid: int) -> bool:
    """Return whether the main thread sleeps."""
    psutil = pytest.importorskip("psutil")
    return bool(psutil.Process(pid).status() == psutil.STATUS_SLEEPING)


def run_to_the_end(case: Case, sandbox: Sandbox, folder: Path) -> float:
    """Run a case's program and check its end. Returns the seconds that it took."""
    case.before(sandbox)
    with Program(["ends.py", case.name], environment(sandbox, folder, **case.settings), folder) as program:
        if case.midway is not None:
            program.expect("logged-in")
            case.midway(sandbox)
            program.go_on()
        program.expect("ready")
        assert sandbox.wait_until(lambda: case.seen(sandbox), 10.0), "the sandbox has not seen what was expected"
        if case.signal is not None:
            assert eventually(lambda: asleep(program.pid))
        sent_at, waited_before = program.clock(), waited()
        if case.signal is None:
            program.go_on()
        else:
            program.send(case.signal)
        code = program.end()
        busy = waited() - waited_before
        lines, errors = program.said(), program.errors()
    warnings = [line for line in errors.splitlines() if "of the outbox ends with this client" in line]
    assert len(warnings) == case.warns
    errors = "\n".join(line for line in errors.splitlines() if line not in warnings)
    assert code == case.code, errors
    said = [float(line.split()[1]) for line in lines if line.startswith("end ")]
    assert [line for line in lines if not line.startswith(("logged-in", "ready", "end "))] == case.lines
    assert (errors.count("Traceback"), errors.strip().splitlines()[-1:]) == (
        (1, [case.error]) if case.error else (0, [])
    ), errors
    return max(0.0, program.ended_at - (sent_at if case.from_signal else said[-1]) - busy)


@pytest.mark.alone
def test_a_process_ends_at_once_and_quietly(tmp_path: Path, measured: Measured) -> None:
    """In each state and way, it ends in time, with a silent standard error, the exit code and a close frame.

    One test, so that the other tests wait for it only once.
    """

    def repeat(name: str, case: Case) -> None:
        for turn in range(REPEATS):
            check_end(name, case, Path(tempfile.mkdtemp(prefix=f"{turn}-", dir=tmp_path)), measured)

    with ThreadPoolExecutor(AT_ONCE, "test-case") as pool:
        running = {name: pool.submit(repeat, name, case) for name, case in {**STATES, **WAYS, **SIGNALS}.items()}
    errors = {name: future.exception() for name, future in running.items()}
    failed = {name: error for name, error in errors.items() if error is not None}
    if failed:
        raise AssertionError(repr(failed)) from next(iter(failed.values()))


def check_end(name: str, case: Case, folder: Path, measured: Measured) -> None:
    with Sandbox(tls=case.tls) as sandbox:
        seconds = run_to_the_end(case, sandbox, folder)
        assert sandbox.wait_until(lambda: sandbox.sockets == 0)
        closes = case.closes
        assert closes is None or sandbox.wait_until(lambda: sandbox.close_codes == closes), sandbox.close_codes
        assert sandbox.violations == []
        assert not case.heard or list(diary(folder).values()) == [case.heard]
        measured.add(name, seconds, sandbox.close_codes.count(1000))
    assert seconds < LIMIT
