"""The tables of the state machine, compared with the architecture's, and the promises that follow from them."""

from __future__ import annotations

import json
from typing import Iterator, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import CometChatException, CometChatWSState, ConnectionListener
from cometchat._protocol._states import (
    CALLBACKS,
    STATUS,
    TRANSITIONS,
    UP,
    WITH_ERROR,
    ConnectionMachine,
    IllegalSignal,
    Phase,
    Signal,
    Step,
)

# The table of architecture.md, written out by hand. The last row of it (DISCONNECT, CLOSE, CONNECT) is added below.
ROWS = {
    "IDLE": {"CONNECT": "OPENING"},
    "OPENING": {"OPENED": "AUTHENTICATING", "FAILED": "BACKOFF", "REFUSED": "IDLE"},
    "AUTHENTICATING": {"ACCEPTED": "ONLINE", "FAILED": "BACKOFF", "STALE": "RENEWING", "REFUSED": "IDLE"},
    "RENEWING": {"RENEWED": "OPENING", "FAILED": "BACKOFF", "REFUSED": "IDLE"},
    "ONLINE": {"THROTTLED": "THROTTLED", "LOST": "LOST"},
    "THROTTLED": {"RESTORED": "ONLINE", "LOST": "LOST"},
    "LOST": {"RETRY": "BACKOFF", "GAVE_UP": "IDLE", "CONNECT": "OPENING"},
    "BACKOFF": {"RETRY_DUE": "OPENING", "CONNECT": "OPENING", "GAVE_UP": "IDLE"},
}
for _phase, _row in ROWS.items():
    _row.update(DISCONNECT="IDLE", CLOSE="CLOSED")
    _row.setdefault("CONNECT", _phase)
    if _phase != "IDLE":
        _row.update(LOGGED_OUT="IDLE")
ROWS["CLOSED"] = {}

STATUSES = {
    "IDLE": "disconnected",
    "OPENING": "connecting",
    "AUTHENTICATING": "connecting",
    "RENEWING": "connecting",
    "ONLINE": "connected",
    "THROTTLED": "featureThrottled",
    "LOST": "disconnected",
    "BACKOFF": "connecting",
    "CLOSED": "disconnected",
}

CHANGES = {
    ("disconnected", "connecting"): "on_connecting",
    ("connecting", "connected"): "on_connected",
    ("connecting", "disconnected"): "on_disconnected",
    ("connected", "featureThrottled"): "on_feature_throttled",
    ("connected", "disconnected"): "on_disconnected",
    ("featureThrottled", "connected"): "on_connected",
    ("featureThrottled", "disconnected"): "on_disconnected",
}

# The status that each callback reports: with only this, a listener can keep its own light.
SAYS = {
    "on_connecting": "connecting",
    "on_connected": "connected",
    "on_feature_throttled": "featureThrottled",
    "on_disconnected": "disconnected",
}

ERROR = CometChatException("ERR_TEST", "For a test.")

WALKS = st.lists(st.integers(min_value=0, max_value=999), max_size=80)


def error_for(signal):
    return ERROR if signal in WITH_ERROR else None


def state_of(machine: ConnectionMachine):
    return {name: value for name, value in vars(machine).items()}


def walk(choices: List[int], without: Tuple[Signal, ...] = ()) -> Iterator[Tuple[ConnectionMachine, Signal, Step]]:
    """Yield the steps of a machine through legal signals, each chosen by a number."""
    machine = ConnectionMachine()
    for now, choice in enumerate(choices):
        legal = [s for s in Signal if (machine.phase, s) in TRANSITIONS and s not in without]
        if not legal:
            return
        signal = legal[choice % len(legal)]
        yield machine, signal, machine.handle(signal, float(now), error_for(signal))


def methods(step: Step) -> List[str]:
    return [name for name in ("on_connection_error" if step.error else None, step.transition) if name]


def test_the_transitions_are_those_of_the_architecture():
    """TRANSITIONS has exactly the rows of the architecture's table."""
    ours = {(old.name, signal.name): new.name for (old, signal), new in TRANSITIONS.items()}
    assert ours == {(old, signal): new for old, row in ROWS.items() for signal, new in row.items()}


def test_the_phases_and_their_statuses_are_those_of_the_architecture():
    """There are nine phases, each with the architecture's one public status."""
    assert {phase.name: STATUS[phase].value for phase in Phase} == STATUSES
    assert len(Phase) == 9


@each_row("phase", list(Phase))
def test_every_phase_with_every_signal_is_a_row_or_an_error(phase):
    """A signal with a row leads to that row's phase. Any other raises IllegalSignal and changes nothing."""
    for signal in Signal:
        machine = ConnectionMachine()
        machine.phase = phase
        before = state_of(machine)
        expected = ROWS[phase.name].get(signal.name)
        if expected is None:
            with pytest.raises(IllegalSignal, match=f"{signal.name} in phase {phase.name}"):
                machine.handle(signal, 1.0, error_for(signal))
            assert state_of(machine) == before, signal
        else:
            step = machine.handle(signal, 1.0, error_for(signal))
            assert (step.old, step.new.name, machine.phase) == (phase, expected, step.new), signal


def test_only_seven_status_changes_exist_and_each_has_its_callback():
    """The transitions can produce seven changes of status, and CALLBACKS has a method for each of them."""
    possible = {(STATUS[old].value, STATUS[new].value) for (old, _), new in TRANSITIONS.items()}
    possible = {(old, new) for old, new in possible if old != new}
    assert possible == set(CHANGES) and len(possible) == 7
    assert {(old.value, new.value): method for (old, new), method in CALLBACKS.items()} == CHANGES


@pytest.mark.parametrize("method", sorted({*CALLBACKS.values(), "on_connection_error"}))
def test_every_callback_is_a_method_of_the_listener(method):
    """ConnectionListener has every method that the machine calls."""
    assert callable(getattr(ConnectionListener, method))


def test_online_is_entered_by_acceptance_or_the_end_of_throttling_alone():
    """Only ACCEPTED and RESTORED lead to ONLINE from another phase."""
    entries = {s.name for (old, s), new in TRANSITIONS.items() if new is Phase.ONLINE and old is not Phase.ONLINE}
    assert entries == {"ACCEPTED", "RESTORED"}


def test_closed_is_final():
    """No signal leads out of CLOSED."""
    assert not [signal for signal in Signal if (Phase.CLOSED, signal) in TRANSITIONS]


def test_every_phase_can_be_reached():
    """A walk from IDLE reaches each of the nine phases."""
    seen, todo = {Phase.IDLE}, [Phase.IDLE]
    while todo:
        old = todo.pop()
        new = {TRANSITIONS[old, signal] for signal in Signal if (old, signal) in TRANSITIONS} - seen
        seen |= new
        todo.extend(new)
    assert seen == set(Phase)


def test_errors_go_with_failures_only():
    """FAILED, LOST and REFUSED have an error, and no other does. A socket may be used in ONLINE and THROTTLED."""
    assert {signal.name for signal in WITH_ERROR} == {"FAILED", "LOGGED_OUT", "LOST", "REFUSED"}
    assert {phase.name for phase in UP} == {"ONLINE", "THROTTLED"}


@given(WALKS)
def test_promise_1_the_callbacks_are_exactly_the_transitions(choices):
    """A listener knows the status after every step from its callbacks alone, and gets no call without a change."""
    light = "disconnected"
    for machine, _, step in walk(choices):
        heard = [SAYS[method] for method in methods(step) if method in SAYS]
        changed = STATUS[step.old] is not STATUS[step.new]
        assert len(heard) == (1 if changed else 0)
        light = heard[-1] if heard else light
        assert light == machine.status.value


@given(WALKS)
def test_promise_2_connected_is_true(choices):
    """The status is connected (or throttled) exactly from ACCEPTED until the loss or the end."""
    accepted = False
    for machine, signal, step in walk(choices):
        if signal is Signal.ACCEPTED:
            accepted = True
        elif signal in (Signal.LOST, Signal.LOGGED_OUT, Signal.DISCONNECT, Signal.CLOSE):
            accepted = False
        assert (machine.status.value in ("connected", "featureThrottled")) == accepted
        if "on_connected" in methods(step):
            assert signal in (Signal.ACCEPTED, Signal.RESTORED) and accepted


@given(WALKS)
def test_promise_3_a_loss_reads_disconnected_connecting_connected(choices):
    """From a loss to the next connection, the statuses are these three in this order, unless the attempts end."""
    cycle: List[str] = []
    for machine, signal, step in walk(choices, without=(Signal.DISCONNECT, Signal.CLOSE)):
        if signal is Signal.LOST:
            assert methods(step) == ["on_connection_error", "on_disconnected"]
            cycle = ["disconnected"]
        elif signal in (Signal.GAVE_UP, Signal.REFUSED, Signal.LOGGED_OUT):
            cycle = []
        elif cycle and STATUS[step.old] is not STATUS[step.new]:
            cycle.append(machine.status.value)
        if signal is Signal.ACCEPTED and cycle:
            assert cycle == ["disconnected", "connecting", "connected"]
            cycle = []


@given(WALKS)
def test_promise_3_a_failed_attempt_is_an_error_and_no_change(choices):
    """A failed attempt gives only on_connection_error, and leaves the status connecting. A refusal also disconnects."""
    for machine, signal, step in walk(choices):
        if signal is Signal.FAILED:
            assert methods(step) == ["on_connection_error"]
            assert STATUS[step.old].value == machine.status.value == "connecting"
        elif signal is Signal.REFUSED:
            assert methods(step) == ["on_connection_error", "on_disconnected"]
        else:
            assert ("on_connection_error" in methods(step)) == (signal in (Signal.LOST, Signal.LOGGED_OUT))


@pytest.mark.parametrize(
    "member, text",
    [
        (CometChatWSState.CONNECTED, "connected"),
        (CometChatWSState.CONNECTING, "connecting"),
        (CometChatWSState.DISCONNECTED, "disconnected"),
        (CometChatWSState.FEATURE_THROTTLED, "featureThrottled"),
    ],
)
def test_a_status_is_the_vendors_string(member, text):
    """A member equals, prints, formats, hashes and serializes as the vendor's string."""
    assert member == text and hash(member) == hash(text)
    assert str(member) == f"{member}" == "%s" % member == "{}".format(member) == text
    assert f"{member:>20}" == text.rjust(20)
    assert json.loads(json.dumps(member)) == text
    assert CometChatWSState(text) is member


def test_there_are_four_statuses():
    """The public statuses are four."""
    assert len(CometChatWSState) == 4
