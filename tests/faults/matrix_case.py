"""One case of the matrix: a phase, a fault in it, a call at that moment; and what has to hold then and afterwards."""

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

#: Seconds that disconnect() may take: 0.2, and what a busy machine adds.
AT_ONCE = 0.5

#: Seconds to see whether a fault is noticed before the call.
NOTICE = 0.015

UP = ("connected", "featureThrottled")


class TooSlow(AssertionError):
    """A call took longer than it may; on a busy machine it need not have been the SDK."""


@dataclass
class Arena:
    """What the cases of a phase share.

    :ivar silent: a listening socket that accepts no connection.
    :ivar blackhole: a port that never answers SYN.
    :ivar sockets: how many sockets there are without a client.
    """

    sandbox: Sandbox
    switchboard: Switchboard
    silent: socket.socket
    blackhole: int
    sockets: int = 0
    slowest_disconnect: float = 0.0
    #: connect() after the healing did not do at once: an attempt of before it was still under way, and was refused.
    repeats: int = 0


@dataclass(frozen=True)
class UserCall:
    """What the user does.

    :ivar act: does it, and checks what can be checked at once.
    :ivar prepare: before the login; what has to be there then.
    """

    act: Callable[[Case], object]
    prepare: Callable[[Case], object] = lambda case: None


class Case:
    """One client's short life."""

    def __init__(self, arena: Arena, phase: Phase, fault: Fault, call: UserCall, *, notice: bool) -> None:
        self.arena = arena
        self.sandbox = arena.sandbox
        self._phase, self._fault, self._call, self._notice = phase, fault, call, notice
        usual = {"reconnect_wait": tenacity.wait_fixed(0.02), "connect_timeout": 5.0}
        settings = arena.sandbox.settings(**{**usual, **fault.settings, **phase.settings})
        self.client = Client(arena.sandbox.app_id, settings)
        self.witness = Witness(self.client)
        self.heard = Recorder()
        #: Checked in the end: other listeners, and from which statuses on their calls are to be a legal walk.
        self.others: List[Any] = []
        #: The listener of the calls that come from callbacks.
        self.misbehaving: Any = None
        #: Released before the first wait.
        self.releases: List[Callable[[], object]] = []
        #: Checked after the release, when all callbacks have been made.
        self.later: List[Callable[[], object]] = []
        #: What the listeners' errors in the log are to begin with; None: there are to be none.
        self.loud: Optional[str] = None
        self.closed = False
        #: The user may be logged out at any moment from the fault on.
        self.ends_login = fault.ends_login
        #: The same listener removed: (recorder, how many calls it had).
        self.removed: List[Any] = []
        self._off_at: Optional[int] = None
        self._errors = matrix_witness.WithErrors()

    def run(self) -> None:
        """All of it. Raises AssertionError for a promise that is broken."""
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

    # What calls use.

    def login(self) -> None:
        """login(), again where a busy machine takes longer for it than the case's short connect_timeout."""
        started = time.monotonic()
        while True:
            try:
                self.client.login(UID, self.sandbox.auth_key)
                return
            except CometChatException as error:
                if error.code != "FAILED_TO_FETCH" or time.monotonic() - started > DEADLINE:
                    raise

    def timed_disconnect(self) -> None:
        """disconnect(), at once."""
        started = time.monotonic()
        self.client.disconnect()
        took = time.monotonic() - started
        self.arena.slowest_disconnect = max(self.arena.slowest_disconnect, took)
        if took >= AT_ONCE:
            raise TooSlow(f"disconnect() took {took:.3f} s")

    def check_thread(self, thread: threading.Thread, outcome: List[Any]) -> None:
        """What was run on another thread has ended, and well."""
        error = finished(thread, outcome)
        # It may have been closed before it began.
        if error is not None and not (self.closed and getattr(error, "code", "") == "ERR_CLIENT_CLOSED"):
            raise error

    def leave(self) -> None:
        """disconnect(), after which the status is ``disconnected``, and nothing but the last callback comes."""
        self.timed_disconnect()
        self.note_off()

    def note_off(self) -> None:
        """From here on nothing is heard but a last on_disconnected, until the connection is wanted again."""
        assert self.status() is CometChatWSState.DISCONNECTED
        self._off_at = len(self.heard.calls)

    def status(self) -> CometChatWSState:
        """The status."""
        return self.client.get_connection_status()

    def wanted_again(self) -> None:
        """What is heard from here on is another connection's: there is nothing to say about it yet."""
        self._off_at = None

    def may_raise(self, codes: Any, call: Callable[[], Any]) -> Any:
        """The call's result, or the exception that it raised, whose code has to be one of these."""
        try:
            return call()
        except CometChatException as error:
            is_logged_out = self.ends_login and error.code == "USER_NOT_LOGGED_IN"
            assert is_logged_out or error.code in codes, f"raised {error!r}"
            return error

    def all_told(self) -> None:
        """Wait until the listeners have heard of all that has happened."""
        if self.client._core.lifecycle.closed:
            self.client._core.dispatcher.join(DEADLINE)
        else:
            self.client._core.dispatcher.drain(DEADLINE)

    def release(self) -> None:
        """Let go of what the case holds."""
        while self.releases:
            self.releases.pop(0)()

    # The parts of a case.

    def _break(self) -> None:
        """Cause the fault; every second time the call comes before the client can have noticed."""
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
        """The service is well again, and connect() connects."""
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
        """The status that the callbacks tell, once it is the client's."""
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
        assert threads <= {self.client._core.dispatcher._name}, f"called on {threads}"
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
        """close(), after which no thread is left, and no socket."""
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
            gc.collect()  # for the cases to come: what is left may be held by a cycle only
        assert not left, f"{left} sockets, not {self.arena.sockets}"
