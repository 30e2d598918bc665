"""The rows of the matrix: the phase of a client when a fault comes, and the way to bring and hold it there."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Optional

import pytest
import tenacity
from integration.conftest import DEADLINE, in_thread

from cometchat import _wiring
from cometchat._transport.net import look_up

from .matrix_faults import SOON

if TYPE_CHECKING:
    from .matrix_case import Case


class Switchboard:
    """Looks up the addresses of WebSockets. HTTP uses the usual look-up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._lock = threading.Lock()
        self._go_on = threading.Event()
        self._port: Optional[int] = None
        self._failing = False
        self._hanging = False
        #: Set by a question.
        self.asked = threading.Event()
        factory = _wiring.socket_factory
        monkeypatch.setattr(
            _wiring, "socket_factory", lambda settings, _, *more: factory(settings, self.addresses, *more)
        )

    def addresses(self, host: str, port: int) -> Any:
        """Return the addresses that the fault has set."""
        with self._lock:
            go_on, hanging, failing, other = self._go_on, self._hanging, self._failing, self._port
        self.asked.set()
        if hanging:
            go_on.wait(DEADLINE)
        if failing:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, port if other is None else other)

    def hang(self) -> None:
        """Answer no question."""
        self._change(hanging=True)

    def fail(self) -> None:
        """Know no name."""
        self._change(failing=True)

    def lead_to(self, port: int) -> None:
        """Give the address of another port."""
        self._change(port=port)

    def heal(self) -> None:
        """Give the right address, also to hanging questions."""
        self._change()

    def _change(self, *, hanging: bool = False, failing: bool = False, port: Optional[int] = None) -> None:
        with self._lock:
            self._go_on.set()
            self._go_on = threading.Event()
            self._hanging, self._failing, self._port = hanging, failing, port
            self.asked.clear()


@contextlib.contextmanager
def silent() -> Iterator[socket.socket]:
    """Yield a listening socket without a reader. The kernel accepts connections, and TLS hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        listener.setblocking(False)
        yield listener


def forget(listener: socket.socket) -> None:
    """End the connections in the queue of a :func:`silent` socket."""
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()


@dataclass(frozen=True)
class Phase:
    """A phase of a client.

    :ivar arrange: brings the client into the phase. It returns a wait that ends once the client is there.
    :ivar settings: settings of the client.
    :ivar tls: the phase exists only over wss.
    :ivar limit: seconds that connect() waits after the healing. An earlier attempt may still have failed. If the wait
        for the next one is long, only another connect() ends it.
    """

    arrange: Callable[[Case], object]
    settings: Dict[str, Any] = field(default_factory=dict)
    tls: bool = False
    limit: float = DEADLINE


def _login(case: Case) -> None:
    case.login()


def _connected(case: Case) -> None:
    _login(case)
    case.heard.wait_for("on_connected")


def _asking(prepare: Callable[[Case], object]) -> Callable[[Case], None]:
    def arrange(case: Case) -> None:
        prepare(case)
        _login(case)
        assert case.arena.switchboard.asked.wait(DEADLINE)

    return arrange


def _shaking_hands(case: Case) -> None:
    case.arena.switchboard.lead_to(case.arena.silent.getsockname()[1])
    _login(case)
    assert select.select([case.arena.silent], [], [], DEADLINE)[0]


def _names_unknown(case: Case) -> None:
    case.arena.switchboard.fail()
    _login(case)
    case.heard.wait_for("on_connection_error")


def _refused(case: Case) -> None:
    _connected(case)
    case.sandbox.refuse_connections()
    case.sandbox.drop_connections()
    case.heard.wait_for("on_connection_error", 2)


def _upgrading(case: Case) -> None:
    case.sandbox.hang_upgrades()
    _login(case)
    assert case.sandbox.wait_for_attempts(1, DEADLINE)


def _authenticating(case: Case) -> None:
    case.sandbox.ignore_auth()
    _login(case)
    assert case.sandbox.wait_for_frame(lambda frame: frame.get("type") == "auth", DEADLINE)


def _renewing(case: Case) -> None:
    _connected(case)
    case.sandbox.expire_jwts()
    case.sandbox.hang_http()
    case.sandbox.drop_connections()
    hanging = lambda: [r for r in case.sandbox.requests if (r.method, r.status) == ("PUT", 0)]  # noqa: E731
    assert case.sandbox.wait_until(hanging, DEADLINE)


def _throttled(case: Case) -> None:
    case.sandbox.set_mode("LIMITED_TRANSIENT")
    _login(case)
    case.heard.wait_for("on_feature_throttled")


def _waiting(case: Case) -> None:
    case.sandbox.refuse_upgrades()
    _login(case)
    case.heard.wait_for("on_connection_error")
    case.sandbox.heal()


def _given_up(case: Case) -> None:
    case.sandbox.refuse_auth()
    _login(case)
    case.heard.wait_for("on_disconnected")


def _closing(case: Case) -> None:
    """Disconnect, while a listener is slow in its last callback."""
    _connected(case)
    told, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        case.heard.hooks.clear()
        told.set()
        go_on.wait(DEADLINE)

    case.heard.hooks["on_disconnected"] = hold
    leaving = in_thread(case.timed_disconnect)
    case.releases.append(go_on.set)
    case.later.append(lambda: case.check_thread(*leaving))
    assert told.wait(DEADLINE)


PHASES: Dict[str, Phase] = {
    "idle": Phase(_login, {"auto_establish_socket_connection": False}),
    "DNS hangs": Phase(_asking(lambda case: case.arena.switchboard.hang())),
    "DNS fails": Phase(_names_unknown),
    # Healing does not help an attempt that hangs there: it must time out.
    "TCP silent": Phase(
        _asking(lambda case: case.arena.switchboard.lead_to(case.arena.blackhole)), {"connect_timeout": 0.15}
    ),
    "TCP refused": Phase(_refused),
    "TLS silent": Phase(_shaking_hands, tls=True),
    "upgrade hangs": Phase(_upgrading),
    "auth sent": Phase(_authenticating, {"auth_timeout": SOON}),
    "renewing": Phase(_renewing, {"connect_timeout": 0.15}),
    "authenticated": Phase(_connected),
    "throttled": Phase(_throttled),
    "backoff": Phase(_waiting, {"reconnect_wait": tenacity.wait_fixed(60)}, limit=0.5),
    "given up": Phase(_given_up),
    "closing": Phase(_closing),
}
