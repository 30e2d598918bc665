"""The callers of requests. Their credentials identify them, and decide which routes they may call.

A client has an auth token of its user. A back end has the app's API key, and acts as the app, or as a user with
``onBehalfOf``. The auth key is an API key that may only create and change users, and create their auth tokens.
"""

from __future__ import annotations

from typing import FrozenSet, Mapping, NamedTuple, Tuple

from .._app import App
from ..chat._credentials import is_same
from ..chat._errors import bad_request, refusal
from ..chat._users import User
from ._request import ApiRequest

#: The kinds of callers.
USER, THE_APP, AUTH_KEY, NO_ONE = "user", "app", "auth key", "no one"

#: The audiences of routes: users, the app, both, every API key, or all callers.
FOR_USERS: FrozenSet[str] = frozenset({USER})
FOR_APP: FrozenSet[str] = frozenset({THE_APP})
FOR_BOTH: FrozenSet[str] = FOR_USERS | FOR_APP
FOR_KEYS: FrozenSet[str] = FOR_APP | {AUTH_KEY}
FOR_ALL: FrozenSet[str] = FOR_BOTH | FOR_KEYS | {NO_ONE}


class Caller(NamedTuple):
    """The sender of a request.

    :ivar kinds: the kinds of this caller. A back end that acts as a user has two kinds.
    :ivar user: the acting user, or the app itself.
    """

    kinds: FrozenSet[str]
    user: User


#: By a caller's kind, and whether the route is for users: the refusal of a route for other callers.
_REFUSALS: Mapping[Tuple[str, bool], str] = {
    (NO_ONE, True): "AUTH_ERR_EMPTY_AUTH_TOKEN",
    (NO_ONE, False): "AUTH_ERR_EMPTY_APIKEY",
    (USER, False): "AUTH_ERR_EMPTY_APIKEY",
    (AUTH_KEY, True): "AUTH_ERR_NO_ACCESS",
    (AUTH_KEY, False): "AUTH_ERR_NO_ACCESS",
}


class Callers:
    """Tells the callers of one app apart."""

    def __init__(self, app: App) -> None:
        self._app = app

    def find(self, request: ApiRequest, audience: FrozenSet[str]) -> User:
        """Return the caller of a request to a route of this audience.

        :raises ApiError: a credential is missing or not valid, or the route is for other callers.
        """
        if NO_ONE in audience:
            return self._app.chat.users.app
        caller = self._caller(request)
        if caller.kinds & audience:
            return caller.user
        (kind,) = caller.kinds  # a caller of two kinds may use every route
        if kind == THE_APP:
            raise bad_request("onBehalfOf", "is missing: only users can do that")
        raise refusal(_REFUSALS[kind, USER in audience])

    def _caller(self, request: ApiRequest) -> Caller:
        users = self._app.chat.users
        text, key = request.headers.get("authToken", ""), request.headers.get("apiKey", "")
        if text:
            return Caller(FOR_USERS, users.get(self._uid_of_token(text)))
        if not key:
            return Caller(frozenset({NO_ONE}), users.app)
        kind = self._kind_of(key)
        if kind == NO_ONE:
            raise refusal("AUTH_ERR_APIKEY_NOT_FOUND", api_key=key)
        uid = request.headers.get("onBehalfOf")
        if kind == THE_APP and uid is not None:
            return Caller(FOR_BOTH, users.get(uid))
        return Caller(frozenset({kind}), users.app)

    def _uid_of_token(self, text: str) -> str:
        token = self._app.chat.credentials.token(text, self._app.faults.tokens_that_count)
        if token is None:
            raise refusal("AUTH_ERR_AUTH_TOKEN_NOT_FOUND", token=text)
        return token.uid

    def _kind_of(self, key: str) -> str:
        keys: Tuple[Tuple[str, str], ...] = ((THE_APP, self._app.api_key), (AUTH_KEY, self._app.auth_key))
        return next((kind for kind, known in keys if is_same(key, known)), NO_ONE)
