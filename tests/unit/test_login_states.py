"""The tables of the login: each call has a result in each state, and the states are complete."""

from __future__ import annotations

import itertools

from rows import each_row

from cometchat._protocol._login_states import LOGIN_STATE, ON_CALL, Call, LoginState, Outcome

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


def test_the_login_and_the_call_in_progress_give_the_state() -> None:
    """``connect()`` makes no HTTP call of the login, so it is never in progress. Only a closed client has no row."""
    calls = (None, Call.LOGIN, Call.LOGOUT)
    assert set(LOGIN_STATE) == set(itertools.product((False, True), calls))
    assert set(LOGIN_STATE.values()) == set(LoginState) - {LoginState.CLOSED}


def test_the_state_during_a_login_says_whether_a_user_is_logged_in() -> None:
    """A login in place of another user's leaves that user logged in until it succeeds: its connect() still works."""
    for logged_in in (False, True):
        during, before = LOGIN_STATE[logged_in, Call.LOGIN], LOGIN_STATE[logged_in, None]
        assert ON_CALL[during, Call.CONNECT] is ON_CALL[before, Call.CONNECT]


def test_no_call_connects_during_a_logout() -> None:
    """It would be connected with a token that the logout has voided."""
    for logged_in in (False, True):
        assert ON_CALL[LOGIN_STATE[logged_in, Call.LOGOUT], Call.CONNECT] is Outcome.WAIT


def test_a_call_waits_only_for_a_running_call() -> None:
    """In a state without a running call, the wait would be endless."""
    idle = {LOGIN_STATE[False, None], LOGIN_STATE[True, None], LoginState.CLOSED}
    assert not idle & {state for (state, _), outcome in ON_CALL.items() if outcome is Outcome.WAIT}


def test_closed_is_final() -> None:
    """No call runs or waits."""
    assert {ON_CALL[LoginState.CLOSED, call] for call in Call} == {Outcome.REFUSE_CLOSED}
