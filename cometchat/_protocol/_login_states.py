"""The login as a table: what each call gets in each state, and what follows when it ends.

There are calls that take time (login and logout make HTTP calls), and calls that arrive during them. What a call
promised is true when it returns, whichever calls other threads make. So a call that arrives during another one runs,
waits for its end, or is refused, as :data:`ON_CALL` says.
"""

from __future__ import annotations

import enum
from typing import Dict, Tuple


class LoginState(enum.Enum):
    """Whether a user is logged in, and what is under way."""

    LOGGED_OUT = "logged out"
    LOGGING_IN = "logging in"
    LOGGED_IN = "logged in"
    SWITCHING = "logging in again"  # a user is logged in, and another login is under way
    LOGGING_OUT = "logging out"
    CLOSED = "closed"


class Call(enum.Enum):
    """The calls that need or change the login."""

    LOGIN = "login"
    LOGOUT = "logout"
    CONNECT = "connect"


class Outcome(enum.Enum):
    """What a call gets."""

    RUN = "run"
    WAIT = "wait for the end of the call that is under way, then look again"
    REFUSE_BUSY = "LOGIN_IN_PROGRESS"
    REFUSE_LOGGED_OUT = "USER_NOT_LOGGED_IN"
    REFUSE_CLOSED = "ERR_CLIENT_CLOSED"


#: (state, call) -> what the call gets. ``disconnect()`` and ``close()`` run in every state and wait for none.
ON_CALL: Dict[Tuple[LoginState, Call], Outcome] = {
    (LoginState.LOGGED_OUT, Call.LOGIN): Outcome.RUN,
    (LoginState.LOGGED_OUT, Call.LOGOUT): Outcome.REFUSE_LOGGED_OUT,
    (LoginState.LOGGED_OUT, Call.CONNECT): Outcome.REFUSE_LOGGED_OUT,
    (LoginState.LOGGING_IN, Call.LOGIN): Outcome.REFUSE_BUSY,
    (LoginState.LOGGING_IN, Call.LOGOUT): Outcome.WAIT,
    (LoginState.LOGGING_IN, Call.CONNECT): Outcome.REFUSE_LOGGED_OUT,
    (LoginState.LOGGED_IN, Call.LOGIN): Outcome.RUN,
    (LoginState.LOGGED_IN, Call.LOGOUT): Outcome.RUN,
    (LoginState.LOGGED_IN, Call.CONNECT): Outcome.RUN,
    (LoginState.SWITCHING, Call.LOGIN): Outcome.REFUSE_BUSY,
    (LoginState.SWITCHING, Call.LOGOUT): Outcome.WAIT,
    (LoginState.SWITCHING, Call.CONNECT): Outcome.RUN,
    (LoginState.LOGGING_OUT, Call.LOGIN): Outcome.WAIT,
    (LoginState.LOGGING_OUT, Call.LOGOUT): Outcome.WAIT,
    (LoginState.LOGGING_OUT, Call.CONNECT): Outcome.WAIT,
    (LoginState.CLOSED, Call.LOGIN): Outcome.REFUSE_CLOSED,
    (LoginState.CLOSED, Call.LOGOUT): Outcome.REFUSE_CLOSED,
    (LoginState.CLOSED, Call.CONNECT): Outcome.REFUSE_CLOSED,
}

#: (state, call that runs) -> the state while it runs.
DURING: Dict[Tuple[LoginState, Call], LoginState] = {
    (LoginState.LOGGED_OUT, Call.LOGIN): LoginState.LOGGING_IN,
    (LoginState.LOGGED_IN, Call.LOGIN): LoginState.SWITCHING,
    (LoginState.LOGGED_IN, Call.LOGOUT): LoginState.LOGGING_OUT,
}

#: (state, it succeeded) -> the state after it. ``close()`` may have come first: CLOSED stays.
AFTER: Dict[Tuple[LoginState, bool], LoginState] = {
    (LoginState.LOGGING_IN, True): LoginState.LOGGED_IN,
    (LoginState.LOGGING_IN, False): LoginState.LOGGED_OUT,
    (LoginState.SWITCHING, True): LoginState.LOGGED_IN,
    (LoginState.SWITCHING, False): LoginState.LOGGED_IN,
    (LoginState.LOGGING_OUT, True): LoginState.LOGGED_OUT,
    (LoginState.LOGGING_OUT, False): LoginState.LOGGED_IN,
    (LoginState.CLOSED, True): LoginState.CLOSED,
    (LoginState.CLOSED, False): LoginState.CLOSED,
}

#: State -> the state after the service has refused the login's auth token as unknown. A login or logout that is under
#: way keeps its state: it makes a call with the same token, and handles the refusal.
ON_DEAD_TOKEN: Dict[LoginState, LoginState] = {
    **{state: state for state in LoginState},
    LoginState.LOGGED_IN: LoginState.LOGGED_OUT,
}

#: The states in which a call is under way.
BUSY = frozenset({LoginState.LOGGING_IN, LoginState.SWITCHING, LoginState.LOGGING_OUT})
