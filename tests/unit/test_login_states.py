"""The table of login states: each call has a result in each state, and the states during calls are complete."""

from __future__ import annotations

import itertools

import pytest

from cometchat._protocol._login_states import BUSY, DURING, ON_CALL, Call, LoginState, Outcome

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


def named(pair: "tuple[LoginState, Call]") -> str:
    return f"{pair[1].value} while {pair[0].value}"


@pytest.mark.parametrize("pair", PAIRS, ids=named)
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


def test_a_call_waits_only_for_a_running_call() -> None:
    """In a state without a running call, the wait would be endless."""
    assert {state for (state, _), outcome in ON_CALL.items() if outcome is Outcome.WAIT} <= BUSY


def test_closed_is_final() -> None:
    """No call runs or waits."""
    assert {ON_CALL[LoginState.CLOSED, call] for call in Call} == {Outcome.REFUSE_CLOSED}
