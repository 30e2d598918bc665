"""Random users and faults, against a model of the contract. ``COMETCHAT_SOAK=1`` runs hundreds of lives."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Dict, List, Optional

import hypothesis
import pytest
import tenacity
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from integration.conftest import DEADLINE, OTHER_UID, UID, Recorder, eventually
from machine import clock

from cometchat import Client, CometChatException, CometChatWSState
from cometchat._protocol._states import WITH_ERROR, ConnectionMachine, IllegalSignal, Signal
from cometchat.sandbox import Sandbox

from . import matrix_witness
from .conftest import SOAK
from .matrix_calls import WAITING_CODES
from .matrix_case import AT_ONCE, UP
from .matrix_faults import FAULTS, SOON
from .matrix_witness import CONNECTION_CODES, HTTP_CODES, Replay, Witness, names, notes_of, walk
from .model_contract import Contract

LIVES, STEPS = (600, 50) if SOAK else (60, 30)

ERROR = CometChatException("ERR_TEST", "For a test.")

#: Settings of a client that notices faults soon.
SETTINGS: Dict[str, Any] = {
    "reconnect_wait": tenacity.wait_fixed(0.02),
    "connect_timeout": SOON,
    "auth_timeout": SOON,
    "ping_interval": 0.1,
    "pong_timeout": SOON,
}

ACTIONS = ("disconnect", "connect", "raise", "remove")


@settings(
    max_examples=5000 if SOAK else 150,
    suppress_health_check=list(HealthCheck),
)
@hypothesis.given(st.lists(st.tuples(st.integers(0, 999), st.floats(0.0, 12.0)), min_size=20, max_size=120))
def test_the_machine_is_the_contract(picks: List[Any]) -> None:
    """For random signals, the machine accepts those that the contract allows, and makes the same calls of listeners."""
    machine, contract, now = ConnectionMachine(), Contract(), 0.0
    for pick, pause in picks:
        now += pause
        # Most are possible signals, to get far, and the end does not come too soon.
        allowed = [signal for signal in Signal if contract.allows(signal.name) and signal is not Signal.CLOSE]
        some = allowed if allowed and pick % 4 else list(Signal)
        signal = some[pick // 4 % len(some)]
        error = ERROR if signal in WITH_ERROR else None
        if not contract.allows(signal.name):
            with pytest.raises(IllegalSignal):
                machine.handle(signal, now, error)
            continue
        restarts = contract.restarts(signal.name, now)
        owed = contract.take(signal.name, now)
        step = machine.handle(signal, now, error)
        assert [note.method for note in notes_of(step)] == owed
        assert machine.status == contract.status
        assert step.restart_count is restarts


class Life(RuleBasedStateMachine):
    """One client, its user, and a world with any fault."""

    sandbox: Sandbox
    count: Dict[str, int]

    @initialize(auto=st.booleans())
    def begin(self, auto: bool) -> None:
        """Make a client that is not logged in."""
        self.sandbox.heal()
        self.sandbox.clear_records()
        self.sockets = matrix_witness.open_sockets()
        self.auto = auto
        fields = {**SETTINGS, "auto_establish_socket_connection": auto}
        self.client = Client(self.sandbox.app_id, self.sandbox.settings(**fields))
        self.witness = Witness(self.client)
        self.replay = Replay(self.witness)
        self.heard = Recorder()
        self.client.add_connection_listener("heard", self.heard)
        self.uid: Optional[str] = None
        #: The service has voided the token, which ends the login at the next call.
        self.revoked = False
        #: None: a callback may have made the last call.
        self.wanted: Optional[bool] = False
        self.others: Dict[str, Any] = {}
        self.count["lives"] += 1

    # The user.

    @rule(timeout=st.sampled_from([0, 0.05]))
    def connect(self, timeout: float) -> None:
        """Call connect(), with or without waiting."""
        error = self._call(lambda: self.client.connect(timeout), WAITING_CODES if timeout else set())
        if self.uid is not None:
            self.wanted = True
            assert timeout or error is None or self.revoked

    @rule()
    def disconnect(self) -> None:
        """Call disconnect(): it takes effect at once, and stays."""
        self._disconnect()
        self.wanted = False

    @rule(uid=st.sampled_from([UID, OTHER_UID]))
    def login(self, uid: str) -> None:
        """Call login(), also in place of another user."""
        error = self._call(lambda: self.client.login(uid, self.sandbox.auth_key), HTTP_CODES)
        if error is None:
            if self.auto:
                self.wanted = True
            elif self.uid not in (None, uid):
                self.wanted = False
            self.uid, self.revoked = uid, False

    @rule()
    def logout(self) -> None:
        """Call logout(), which disconnects even if it fails."""
        error = self._call(self.client.logout, HTTP_CODES)
        self.wanted = False
        self.uid = self.uid if error and error.code != "USER_NOT_LOGGED_IN" else None

    @rule()
    def ping(self) -> None:
        """Call ping(), connected or not."""
        self._call(lambda: self.client.ping(0.05), WAITING_CODES)

    @rule(status=st.sampled_from(list(CometChatWSState)))
    def wait(self, status: CometChatWSState) -> None:
        """Call wait_for_status(): the status is reached, or the time is over."""
        assert self.client.wait_for_status(status, 0.03) in (True, False)

    @rule(name=st.sampled_from("ab"))
    def add_listener(self, name: str) -> None:
        """Add a listener, perhaps in place of another one."""
        late, before = Recorder(), self._status()
        self.client.add_connection_listener(name, late)
        starts = {before, self._status()}
        self.others[name] = late, starts if len(starts) == 1 else set(CometChatWSState)

    @rule(name=st.sampled_from("ab"))
    def remove_listener(self, name: str) -> None:
        """Remove a listener. It gets no more events."""
        self.client.remove_connection_listener(name)
        self.client._core.dispatcher.drain(DEADLINE)
        removed, _ = self.others.pop(name, (None, None))
        self.removed = (removed, len(removed.calls)) if removed is not None else None

    removed: Any = None

    @precondition(lambda self: self.uid is not None)
    @rule(
        callback=st.sampled_from(["on_connecting", "on_disconnected", "on_connection_error"]),
        act=st.sampled_from(ACTIONS),
    )
    def from_within(self, callback: str, act: str) -> None:
        """Let the next callback make a call, or raise."""

        def hook() -> None:
            self.heard.hooks.clear()
            if act == "disconnect":
                self._disconnect(quiet=False)
            elif act == "connect":
                self.client.connect(timeout=0)
            elif act == "remove":
                self.client.remove_connection_listener("a")
            else:
                raise SystemExit("from a callback")

        if act == "remove":
            self.others.pop("a", None)
        self.heard.hooks[callback] = hook
        self._call(self.client.disconnect, set(), login=False)
        self._call(lambda: self.client.connect(timeout=0), set())
        self.client._core.dispatcher.drain(DEADLINE)
        self.heard.hooks.clear()
        self.client._core.dispatcher.drain(DEADLINE)  # the callback may have begun just before
        self.wanted = None if act in ("connect", "disconnect") else True

    # The world.

    @rule(name=st.sampled_from(list(FAULTS)))
    def fail(self, name: str) -> None:
        """Cause a fault."""
        FAULTS[name].cause(self.sandbox)
        self.revoked = self.revoked or FAULTS[name].ends_login
        self.count["faults"] += 1

    @rule()
    def heal(self) -> None:
        """Heal all faults, except revoked credentials."""
        self.sandbox.heal()

    @rule()
    def settle(self) -> None:
        """Heal the service and connect: the client is connected."""
        self.sandbox.heal()
        deadline = time.monotonic() + DEADLINE
        error: Any = "never tried"
        while error is not None and time.monotonic() < deadline:
            if self.client.get_logged_in_user() is None or self.revoked:
                self.login(UID)
            # Two or more only if an attempt was running, and had met the fault.
            error = self._call(lambda: self.client.connect(DEADLINE), WAITING_CODES | {"USER_NOT_LOGGED_IN"})
        self.wanted = True
        assert error is None and eventually(lambda: str(self._status()) in UP), f"{self._status()}: {error}"

    # Invariants after each step.

    @invariant()
    def the_status_is_permitted(self) -> None:
        """The status is the model's. No client is connected that was disconnected, or has no login."""
        assert eventually(
            lambda: str(self._status()) == self.replay.status()
        ), f"{self._status()}, not {self.replay.status()}"
        if self.wanted is False or self.uid is None:
            assert self._status() is CometChatWSState.DISCONNECTED
        user = self.client.get_logged_in_user()
        assert (user and user.uid) == self.uid or (user is None and self.revoked)

    @invariant()
    def the_callbacks_are_a_legal_walk(self) -> None:
        """Each transition is reported once, in order, on one thread, with only documented errors."""
        calls = self.heard.calls
        wrong = matrix_witness.unheard(self.witness, calls, whole=False)
        assert wrong is None, wrong
        assert walk(names(calls), CometChatWSState.DISCONNECTED) is not None, names(calls)
        assert {call.thread for call in calls} <= {self.client._core.dispatcher._thread.name}
        assert {error.code for error in self.heard.errors} <= CONNECTION_CODES
        for other, starts in self.others.values():
            assert any(walk(other.names, start) is not None for start in starts), f"{other.names} from {starts}"
        if self.removed is not None:
            assert len(self.removed[0].calls) == self.removed[1]

    def teardown(self) -> None:
        """Call close(). All events are delivered, and nothing is left over."""
        if not hasattr(self, "heard"):
            return
        self.sandbox.heal()
        self.client.close()
        client, sockets = self.client, matrix_witness.open_sockets
        assert eventually(lambda: not matrix_witness.threads_of(client)), matrix_witness.threads_of(client)
        wrong = matrix_witness.unheard(self.witness, self.heard.calls)
        assert wrong is None, wrong
        assert self.replay.status() == walk(self.heard.names, CometChatWSState.DISCONNECTED) == "disconnected"
        assert eventually(lambda: sockets() <= self.sockets), f"{sockets()} sockets, not {self.sockets}"
        assert self.sandbox.violations == []
        self.count["signals"] += len(self.witness.signals)

    def _status(self) -> CometChatWSState:
        return self.client.get_connection_status()

    def _call(self, call: Callable[[], Any], codes: Any, *, login: bool = True) -> Optional[CometChatException]:
        """Make a call of the user. Returns its exception, which must be documented."""
        self.count["calls"] += 1
        try:
            call()
        except CometChatException as error:
            needs_login = login and (self.uid is None or self.revoked) and error.code == "USER_NOT_LOGGED_IN"
            assert needs_login or error.code in codes, f"raised {error!r}"
            return error
        return None

    def _disconnect(self, quiet: bool = True) -> None:
        started = clock()
        self.client.disconnect()
        assert clock() - started < AT_ONCE
        if quiet:
            assert self._status() is CometChatWSState.DISCONNECTED
            heard = len(self.heard.calls)
            self.client._core.dispatcher.drain(DEADLINE)
            assert names(self.heard.calls)[heard:] in ([], ["on_disconnected"])


@pytest.mark.timeout(3600 if SOAK else 180)
def test_any_life_keeps_the_promises(sandbox: Sandbox, figures: Callable[..., None], caplog: Any) -> None:
    """For any order of calls and faults, callbacks are legal, statuses permitted, and healing leads to a connection."""
    caplog.set_level(logging.CRITICAL, "cometchat.listeners")
    counts = {"lives": 0, "calls": 0, "faults": 0, "signals": 0}
    life = type("Life", (Life,), {"sandbox": sandbox, "count": counts})
    run_state_machine_as_test(
        life,
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )
    figures(**counts)
    assert counts["lives"] >= LIVES // 2
