"""The table of login states: each call has a result in each state, and the next states are complete."""

from __future__ import annotations

import itertools

import pytest
from rows import each_row

from cometchat._protocol._login_states import AFTER, BUSY, DURING, ON_CALL, Call, LoginState, Outcome

#: The result of each call in each state, written again by hand.
EXPECTED = {
    #                          login, logout, connect
    LoginState.LOGGED_OUT: ("RUN", "REFUSE_LOGGED_OUT", "REFUSE_LOGGED_OUT"),
    LoginState.LOGGING_IN: ("REFUSE_BUSY", "WAIT", "REFUSE_LOGGED_OUT"),
    LoginState.LOGGED_IN: ("RUN", "RUN", "RUN"),
    LoginState.SWITCHING: ("REFUSE_BUSY", "WAIT", "RUN"),
    LoginState.LOGGING_OUT: ("WAIT", "WAIT", "WAIT"),
    LoginState.CLOSED: ("REFUSE_CLOSED", "REFUSE_CLOSED", "REFUSE_CLOSED"),
}

PAIRS = list(itertools.product(LoginState, Call))


@each_row("pair", PAIRS)
def test_each_call_has_its_outcome_in_each_state(pair: "tuple[LoginState, Call]") -> None:
    """The table has a row for each call in each state."""
    state, call = pair
    assert ON_CALL[pair] is Outcome[EXPECTED[state][list(Call).index(call)]]


def test_the_table_has_no_other_rows() -> None:
    """A row for a state or a call that does not exist would be dead."""
    assert set(ON_CALL) == set(PAIRS)


def test_each_call_that_runs_and_takes_time_has_a_state_of_its_own() -> None:
    """``connect()`` makes no HTTP call of the login, and changes no state. Each other running call is in DURING."""
    runs = {pair for pair, outcome in ON_CALL.items() if outcome is Outcome.RUN and pair[1] is not Call.CONNECT}
    assert set(DURING) == runs
    assert set(DURING.values()) == BUSY


def test_the_state_during_a_call_says_whether_a_user_is_logged_in() -> None:
    """A login in place of another user's leaves that user logged in until it succeeds: its connect() still works."""
    for (before, call), during in DURING.items():
        if call is Call.LOGIN:
            assert ON_CALL[during, Call.CONNECT] is ON_CALL[before, Call.CONNECT]
        else:
            assert ON_CALL[during, Call.CONNECT] is Outcome.WAIT


@each_row("succeeded", [True, False])
@each_row("state", LoginState)
def test_each_busy_state_ends_in_one_that_is_not(state: LoginState, succeeded: bool) -> None:
    """A busy state ends if the call succeeds or fails. After ``close()``, the end of a call changes nothing."""
    if state in BUSY or state is LoginState.CLOSED:
        assert AFTER[state, succeeded] not in BUSY
    else:
        assert (state, succeeded) not in AFTER


@pytest.mark.parametrize("before, call", sorted(DURING, key=str), ids=str)
def test_a_call_that_fails_leaves_the_login_as_it_was(before: LoginState, call: Call) -> None:
    """A failed login in place of another user's keeps that user. A failed logout can be repeated."""
    assert AFTER[DURING[before, call], False] is before


@pytest.mark.parametrize("before, call", sorted(DURING, key=str), ids=str)
def test_a_successful_call_reaches_its_state(before: LoginState, call: Call) -> None:
    """A login ends logged in, and a logout logged out."""
    done = LoginState.LOGGED_IN if call is Call.LOGIN else LoginState.LOGGED_OUT
    assert AFTER[DURING[before, call], True] is done


def test_a_call_waits_only_for_a_running_call() -> None:
    """In a state without a running call, the wait would be endless."""
    assert {state for (state, _), outcome in ON_CALL.items() if outcome is Outcome.WAIT} <= BUSY


def test_closed_is_final() -> None:
    """No call runs or waits, and the end of a call does not leave the state."""
    assert {ON_CALL[LoginState.CLOSED, call] for call in Call} == {Outcome.REFUSE_CLOSED}
    assert {AFTER[LoginState.CLOSED, succeeded] for succeeded in (True, False)} == {LoginState.CLOSED}
    assert [row for row, after in AFTER.items() if after is LoginState.CLOSED and row[0] is not after] == []
