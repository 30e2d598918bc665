"""The login as tables: its state, and for each state and call, whether the call runs, waits or is refused.

Some calls take time (login and logout make HTTP calls), and other calls may arrive during them. The promise of a call
must be true when it returns, no matter which calls other threads make. So a call that arrives during another one
runs, waits for its end, or is refused, as :data:`ON_CALL` says.
"""

from __future__ import annotations

import enum
from typing import Dict, Optional, Tuple


class LoginState(enum.Enum):
    """Whether a user is logged in, and which call is in progress."""

    LOGGED_OUT = "logged out"
    LOGGING_IN = "logging in"
    LOGGED_IN = "logged in"
    SWITCHING = "logging in again"  # a user is logged in, and another login is in progress
    LOGGING_OUT = "logging out"
    CLOSED = "closed"


class Call(enum.Enum):
    """The calls that need or change the login."""

    LOGIN = "login"
    LOGOUT = "logout"
    CONNECT = "connect"


class Outcome(enum.Enum):
    """The result for a call that arrives."""

    RUN = "run"
    WAIT = "wait for the end of the call in progress, then check again"
    REFUSE_BUSY = "LOGIN_IN_PROGRESS"
    REFUSE_LOGGED_OUT = "USER_NOT_LOGGED_IN"
    REFUSE_CLOSED = "ERR_CLIENT_CLOSED"


#: (state, call) -> result for the call. ``disconnect()`` and ``close()`` run in every state, without waiting.
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

#: (whether a user is logged in, call in progress) -> the state of a client that is not closed.
LOGIN_STATE: Dict[Tuple[bool, Optional[Call]], LoginState] = {
    (False, None): LoginState.LOGGED_OUT,
    (False, Call.LOGIN): LoginState.LOGGING_IN,
    (False, Call.LOGOUT): LoginState.LOGGING_OUT,  # it has forgotten the login, and is about to end
    (True, None): LoginState.LOGGED_IN,
    (True, Call.LOGIN): LoginState.SWITCHING,
    (True, Call.LOGOUT): LoginState.LOGGING_OUT,
}
