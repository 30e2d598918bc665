"""The machine that follows the tables: callbacks, the one renewal, the count of attempts."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometchat import CometChatException, CometChatWSState
from cometchat._protocol._states import (
    STABLE_AFTER,
    TRANSITIONS,
    WITH_ERROR,
    ConnectionMachine,
    IllegalSignal,
    Phase,
    Signal,
)

ERROR = CometChatException("ERR_TEST", "For a test.")


def drive(machine, *names, now=0.0):
    """Send signals by their names. Returns the last step."""
    step = None
    for name in names:
        signal = Signal[name]
        step = machine.handle(signal, now, ERROR if signal in WITH_ERROR else None)
    return step


@pytest.fixture
def machine():
    return ConnectionMachine()


def test_a_new_machine_is_idle(machine):
    """A machine begins disconnected."""
    assert (machine.phase, machine.status) == (Phase.IDLE, CometChatWSState.DISCONNECTED)


@pytest.mark.parametrize(
    "before, signal, expected",
    [
        ([], "CONNECT", ["on_connecting"]),
        (["CONNECT"], "CONNECT", []),
        (["CONNECT"], "OPENED", []),
        (["CONNECT"], "FAILED", ["on_connection_error"]),
        (["CONNECT"], "REFUSED", ["on_connection_error", "on_disconnected"]),
        (["CONNECT", "OPENED"], "ACCEPTED", ["on_connected"]),
        (["CONNECT", "OPENED"], "STALE", []),
        (["CONNECT", "OPENED", "STALE"], "RENEWED", []),
        (["CONNECT", "OPENED", "ACCEPTED"], "THROTTLED", ["on_feature_throttled"]),
        (["CONNECT", "OPENED", "ACCEPTED", "THROTTLED"], "RESTORED", ["on_connected"]),
        (["CONNECT", "OPENED", "ACCEPTED"], "LOST", ["on_connection_error", "on_disconnected"]),
        (["CONNECT", "OPENED", "ACCEPTED", "THROTTLED"], "LOST", ["on_connection_error", "on_disconnected"]),
        (["CONNECT", "OPENED", "ACCEPTED", "LOST"], "RETRY", ["on_connecting"]),
        (["CONNECT", "OPENED", "ACCEPTED", "LOST"], "GAVE_UP", []),
        (["CONNECT", "OPENED", "ACCEPTED", "LOST"], "CONNECT", ["on_connecting"]),
        (["CONNECT", "FAILED"], "RETRY_DUE", []),
        (["CONNECT", "FAILED"], "GAVE_UP", ["on_disconnected"]),
        (["CONNECT", "OPENED", "ACCEPTED"], "LOGGED_OUT", ["on_connection_error", "on_disconnected"]),
        (["CONNECT", "FAILED"], "LOGGED_OUT", ["on_connection_error", "on_disconnected"]),
        (["CONNECT", "OPENED", "ACCEPTED", "LOST"], "LOGGED_OUT", ["on_connection_error"]),
        (["CONNECT", "OPENED", "ACCEPTED"], "DISCONNECT", ["on_disconnected"]),
        (["CONNECT", "OPENED", "ACCEPTED", "LOST"], "DISCONNECT", []),
        ([], "DISCONNECT", []),
        ([], "CLOSE", []),
        (["CONNECT"], "CLOSE", ["on_disconnected"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_callbacks_of_a_signal(machine, before, signal, expected):
    """Each signal leads to these calls of the listeners, in this order: the error first, then the change."""
    drive(machine, *before)
    step = drive(machine, signal)
    assert [name for name in ("on_connection_error" if step.error else None, step.transition) if name] == expected


def test_the_error_goes_to_on_connection_error_alone(machine):
    """on_connection_error gets exactly this error. A change of status has no error."""
    step = drive(machine, "CONNECT", "OPENED", "ACCEPTED", "LOST")
    assert step.error is ERROR and step.transition == "on_disconnected"


def test_an_error_that_is_missing_or_out_of_place_is_illegal():
    """FAILED, LOST and REFUSED without an error, or any other with an error, raise and change nothing."""
    for (old, signal), new in TRANSITIONS.items():
        right, wrong = (ERROR, None) if signal in WITH_ERROR else (None, ERROR)
        machine = ConnectionMachine()
        machine.phase = old
        before = dict(vars(machine))
        with pytest.raises(IllegalSignal, match=f"{signal.name} {'with an' if wrong else 'without an'} error"):
            machine.handle(signal, 0.0, wrong)
        assert vars(machine) == before, (old, signal)
        machine.handle(signal, 0.0, right)
        assert machine.phase is new


@pytest.mark.parametrize(
    "lived, restarts", [(0.0, False), (STABLE_AFTER - 0.001, False), (STABLE_AFTER, True), (1e6, True)]
)
@pytest.mark.parametrize("throttled", [[], ["THROTTLED"], ["THROTTLED", "RESTORED"]])
def test_the_count_restarts_once_a_connection_has_lived_ten_seconds(machine, lived, restarts, throttled):
    """A loss restarts the count from 10 s after the acceptance on, also with throttling in between."""
    drive(machine, "CONNECT", "OPENED", "ACCEPTED", now=100.0)
    drive(machine, *throttled, now=100.0 + lived / 2)
    step = drive(machine, "LOST", now=100.0 + lived)
    assert step.restart_count is restarts


def test_the_connections_life_begins_with_each_acceptance(machine):
    """A long life before a loss does not count for the connection after it."""
    drive(machine, "CONNECT", "OPENED", "ACCEPTED", now=0.0)
    drive(machine, "LOST", "CONNECT", "OPENED", "ACCEPTED", now=50.0)
    assert drive(machine, "LOST", now=59.0).restart_count is False
    assert STABLE_AFTER == 10.0


@pytest.mark.parametrize("signal", ["FAILED", "REFUSED", "DISCONNECT", "CLOSE"])
def test_nothing_but_a_loss_restarts_the_count(machine, signal):
    """A failure long after the last connection does not restart the count."""
    drive(machine, "CONNECT", "OPENED", "ACCEPTED", now=0.0)
    drive(machine, "LOST", "CONNECT", now=1.0)
    assert drive(machine, signal, now=1000.0).restart_count is False


@given(st.lists(st.tuples(st.sampled_from(list(Signal)), st.booleans()), max_size=60))
def test_any_sequence_of_signals_is_survived(signals):
    """For random signals and errors, each is a row, or an IllegalSignal that does not change the machine."""
    machine = ConnectionMachine()
    for signal, with_error in signals:
        before = dict(vars(machine))
        legal = (machine.phase, signal) in TRANSITIONS and with_error == (signal in WITH_ERROR)
        try:
            step = machine.handle(signal, 1.0, ERROR if with_error else None)
        except IllegalSignal:
            assert not legal and vars(machine) == before
        else:
            assert legal and step.new is machine.phase is TRANSITIONS[before["phase"], signal]


def test_steps_can_not_be_changed(machine):
    """A finished step does not change."""
    step = drive(machine, "CONNECT")
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.new = Phase.ONLINE
