"""One case of the matrix: a phase, a fault in it, a call at that moment, and the promises for then and afterwards."""

from __future__ import annotations

import gc
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

import tenacity
from integration.conftest import DEADLINE, OTHER_UID, UID, Recorder, eventually, finished

from cometchat import Client, CometChatException, CometChatWSState
from cometchat.sandbox import Sandbox

from . import matrix_witness
from .matrix_faults import Fault
from .matrix_phases import Phase, Switchboard, forget
from .matrix_witness import CONNECTION_CODES, HTTP_CODES, SOCKET_CODES, Replay, Witness, names, walk

#: Maximum time of disconnect(), in seconds: 0.2, and the delay of a busy machine.
AT_ONCE = 0.5

#: Time to notice a fault before the call, in seconds.
NOTICE = 0.015

UP = ("connected", "featureThrottled")


class TooSlow(AssertionError):
    """A call took too long. On a busy machine, the SDK may not be the cause."""


@dataclass
class Arena:
    """The shared parts of a phase's cases.

    :ivar silent: a listening socket that accepts no connection.
    :ivar blackhole: a port that never answers SYN.
    :ivar sockets: number of sockets without a client.
    """

    sandbox: Sandbox
    switchboard: Switchboard
    silent: socket.socket
    blackhole: int
    sockets: int = 0
    slowest_disconnect: float = 0.0
    #: connect() after the healing did not succeed at once: an earlier attempt was still running, and was refused.
    repeats: int = 0


@dataclass(frozen=True)
class UserCall:
    """The user's call.

    :ivar act: makes the call, and the checks that are possible at once.
    :ivar prepare: makes the preparations before the login.
    """

    act: Callable[[Case], object]
    prepare: Callable[[Case], object] = lambda case: None


class Case:
    """The short life of one client."""

    def __init__(self, arena: Arena, phase: Phase, fault: Fault, call: UserCall, *, notice: bool) -> None:
        self.arena = arena
        self.sandbox = arena.sandbox
        self._phase, self._fault, self._call, self._notice = phase, fault, call, notice
        usual = {"reconnect_wait": tenacity.wait_fixed(0.02), "connect_timeout": 5.0}
        settings = arena.sandbox.settings(**{**usual, **fault.settings, **phase.settings})
        self.client = Client(arena.sandbox.app_id, settings)
        self.witness = Witness(self.client)
        self.heard = Recorder()
        #: Checked at the end: other listeners, and the statuses from which their calls must be a legal walk.
        self.others: List[Any] = []
        #: The listener of the calls that come from callbacks.
        self.misbehaving: Any = None
        #: Released before the first wait.
        self.releases: List[Callable[[], object]] = []
        #: Checked after the release, after all callbacks.
        self.later: List[Callable[[], object]] = []
        #: The beginnings of the listeners' errors in the log. None means that there must be no errors.
        self.loud: Optional[str] = None
        self.closed = False
        #: From the fault on, the user may be logged out at any moment.
        self.ends_login = fault.ends_login
        #: The same listener removed: (recorder, number of its calls).
        self.removed: List[Any] = []
        self._off_at: Optional[int] = None
        self._errors = matrix_witness.WithErrors()

    def run(self) -> None:
        """Run the case. Raises AssertionError for a broken promise."""
        with self._errors as logged:
            try:
                self._call.prepare(self)
                self.client.add_connection_listener("heard", self.heard)
                self._phase.arrange(self)
                self._break()
                self._call.act(self)
                self.release()
                self._check_silence()
                self.all_told()
                for check in self.later:
                    check()
                self._check_walks()
                if not self.closed:
                    self._come_back()
                    self._check_walks()
            finally:
                self.release()
                self._end()
        self._check_walks(final=True)
        expected = [text for text in logged if self.loud is None or not text.partition("] ")[2].startswith(self.loud)]
        assert not expected, f"logged: {expected}"
        assert self.sandbox.violations == []

    # Helpers of the calls.

    def login(self) -> None:
        """Log in. Try again if a busy machine takes longer than the case's short connect_timeout."""
        started = time.monotonic()
        while True:
            try:
                self.client.login(UID, self.sandbox.auth_key)
                return
            except CometChatException as error:
                if error.code != "FAILED_TO_FETCH" or time.monotonic() - started > DEADLINE:
                    raise

    def timed_disconnect(self) -> None:
        """Disconnect, and check that it is quick."""
        started = time.monotonic()
        self.client.disconnect()
        took = time.monotonic() - started
        self.arena.slowest_disconnect = max(self.arena.slowest_disconnect, took)
        if took >= AT_ONCE:
            raise TooSlow(f"disconnect() took {took:.3f} s")

    def check_thread(self, thread: threading.Thread, outcome: List[Any]) -> None:
        """Check that the other thread has ended without an error."""
        error = finished(thread, outcome)
        # The client may have been closed before the call began.
        if error is not None and not (self.closed and getattr(error, "code", "") == "ERR_CLIENT_CLOSED"):
            raise error

    def leave(self) -> None:
        """Call disconnect(). Afterwards the status is ``disconnected``, and only the last callback follows."""
        self.timed_disconnect()
        self.note_off()

    def note_off(self) -> None:
        """Expect no callback but a last on_disconnected until the user connects again."""
        assert self.status() is CometChatWSState.DISCONNECTED
        self._off_at = len(self.heard.calls)

    def status(self) -> CometChatWSState:
        """Return the status."""
        return self.client.get_connection_status()

    def wanted_again(self) -> None:
        """Expect callbacks of another connection from here on, without a check."""
        self._off_at = None

    def may_raise(self, codes: Any, call: Callable[[], Any]) -> Any:
        """Return the call's result or its exception, whose code must be one of these."""
        try:
            return call()
        except CometChatException as error:
            is_logged_out = self.ends_login and error.code == "USER_NOT_LOGGED_IN"
            assert is_logged_out or error.code in codes, f"raised {error!r}"
            return error

    def all_told(self) -> None:
        """Wait until the listeners have got all events."""
        if self.client._core.lifecycle.closed:
            self.client._core.dispatcher.join(DEADLINE)
        else:
            self.client._core.dispatcher.drain(DEADLINE)

    def release(self) -> None:
        """Release the listeners that the case blocks."""
        while self.releases:
            self.releases.pop(0)()

    # The parts of a case.

    def _break(self) -> None:
        """Cause the fault. In every second case the call comes before the client can have noticed the fault."""
        before, was_up = len(self.heard.calls), str(self.status()) in UP
        self._fault.cause(self.sandbox)
        if not self._notice:
            return
        sure = was_up and self._fault.when_up
        seen = eventually(lambda: len(self.heard.calls) > before, DEADLINE if sure else NOTICE)
        assert seen or not sure, "the fault was not noticed"

    def _check_silence(self) -> None:
        if self._off_at is None:
            return
        self.all_told()
        late = names(self.heard.calls)[self._off_at :]
        assert late in ([], ["on_disconnected"]), f"after disconnect() came {late}"
        assert self.status() is CometChatWSState.DISCONNECTED
        self._off_at = None

    def _come_back(self) -> None:
        """Heal the service, and check that connect() connects."""
        self._heal()
        for _ in range(3):
            if self.client.get_logged_in_user() is None:
                self.login()
            error = self.may_raise(SOCKET_CODES | HTTP_CODES, lambda: self.client.connect(self._phase.limit))
            if error is None:
                break
            if error.code == "AUTH_ERR_AUTH_TOKEN_NOT_FOUND":  # revoked, and not healed
                self.login()
            else:
                self.arena.repeats += 1
        assert error is None, f"does not come back: {error}"
        assert eventually(lambda: str(self.status()) in UP)
        assert self._last_status() in UP, f"{self.status()}, but heard {self.heard.names}"
        user = self.client.get_logged_in_user()
        assert user is not None and user.uid in (UID, OTHER_UID)

    def _heal(self) -> None:
        self.sandbox.heal()
        self.arena.switchboard.heal()
        forget(self.arena.silent)

    def _last_status(self) -> str:
        """Return the last status of the callbacks, once it is the client's."""
        heard: Dict[str, Any] = {}

        def agree() -> bool:
            heard["status"] = walk(self.heard.names, CometChatWSState.DISCONNECTED)
            return heard["status"] is self.status()

        eventually(agree)
        return str(heard["status"])

    def _check_walks(self, final: bool = False) -> None:
        self.all_told()
        calls = self.heard.calls
        assert walk(names(calls), CometChatWSState.DISCONNECTED) is not None, f"no legal walk: {names(calls)}"
        threads = {call.thread for call in calls}
        assert threads <= {self.client._core.dispatcher._thread.name}, f"called on {threads}"
        for error in self.heard.errors:
            assert isinstance(error, CometChatException) and error.code in CONNECTION_CODES, f"heard {error!r}"
            assert "interrupted" not in error.message, f"heard {error!r}"
        for other, starts in self.others:
            assert any(walk(other.names, start) is not None for start in starts), f"{other.names} from {starts}"
        for removed, count in self.removed:
            assert len(removed.calls) == count, f"after its removal a listener heard {removed.names[count:]}"
        if final:
            assert self._last_status() == Replay(self.witness).status() == "disconnected"
            wrong = matrix_witness.unheard(self.witness, calls)
            assert wrong is None, wrong

    def _end(self) -> None:
        """Call close(). Afterwards no thread and no socket is left."""
        self._heal()
        started = time.monotonic()
        self.client.close()
        if time.monotonic() - started >= 1.5:
            raise TooSlow(f"close() took {time.monotonic() - started:.3f} s")
        threads = lambda: matrix_witness.threads_of(self.client)  # noqa: E731
        assert eventually(lambda: not threads()), f"left: {threads()}"
        sockets = matrix_witness.open_sockets
        left = 0 if eventually(lambda: sockets() <= self.arena.sockets) else sockets()
        if left:
            gc.collect()  # for later cases: only a cycle may still hold objects
        assert not left, f"{left} sockets, not {self.arena.sockets}"
