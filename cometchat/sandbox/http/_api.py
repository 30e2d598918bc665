"""The HTTP API: which call is which, who may make it, and what it answers. Loop thread only."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Callable, Dict, List, Optional, Pattern, Tuple
from urllib.parse import unquote

from .. import _shapes as shapes
from .._state import State
from ..chat import _errors as errors
from ..chat._calls import Calling
from ..chat._errors import ApiError
from ..chat._groups import Grouping
from ..chat._messages import Messaging
from ..chat._users import DETAILS, Account, RefusedJwt, Token
from ..socket._hub import Hub
from ._calls import CallRoutes
from ._conversations import ConversationRoutes
from ._groups import GroupRoutes
from ._messages import MessageRoutes
from ._request import Call, Listing, Route
from ._users import UserRoutes

#: Sent to ``ANALYTICS_HOST`` of the settings, unless a test has set ``ANALYTICS_PING_DISABLED`` there. It goes without
#: the headers that go with every other call.
_PING = "/ping"


class HttpApi:
    """Answers calls with the ``data`` of the success envelope; refuses them with ``ApiError``."""

    def __init__(self, state: State, hub: Hub) -> None:
        self._state = state
        routes: List[Route] = [
            ("POST", r"/users/([^/]+)/auth_tokens", self._create_auth_token),
            ("PUT", r"/me", self._put_me),
            ("GET", r"/me", self._me),
            ("DELETE", r"/me", self._log_out),
            ("GET", r"/settings", self._settings),
            *UserRoutes(state, hub.is_online, self._who_is).routes,
            *ConversationRoutes(state, hub.is_online, self._who_is).routes,
            *MessageRoutes(state, Messaging(state, hub.bring), self._who_is).routes,
            *GroupRoutes(state, Grouping(state, hub.bring), self._who_is).routes,
            *CallRoutes(Calling(state, hub.bring), self._who_is).routes,
            ("POST", r"/(?:.+/)?user_sessions", self._user_session),
            ("POST", _PING, self._ping),
        ]
        self._routes: List[Tuple[str, Pattern[str], Callable[..., Any]]] = [
            (method, re.compile(pattern), answer) for method, pattern, answer in routes
        ]

    def answer(self, call: Call) -> Any:
        """The ``data`` that the call is answered with.

        :raises ApiError: it is refused.
        """
        app_id = call.headers.get("appId", "")
        if not app_id:
            raise errors.empty_app_id()
        if app_id != self._state.app_id:
            raise errors.invalid_app_id(app_id)
        if call.path != _PING:
            self._violations(call, shapes.request_headers(call.headers))
        answer, arguments = self._find(call)
        return answer(call, *arguments)

    def _find(self, call: Call) -> Tuple[Callable[..., Any], List[str]]:
        found = False
        for method, pattern, answer in self._routes:
            match = pattern.fullmatch(call.path)
            if match and method == call.method:
                return answer, [unquote(group) for group in match.groups()]
            found = found or match is not None
        raise errors.method_not_allowed(call.method, call.path) if found else errors.not_found(call.path)

    def _create_auth_token(self, call: Call, uid: str) -> Dict[str, Any]:
        api_key = call.headers.get("apiKey", "")
        if not api_key:
            raise errors.empty_api_key()
        if api_key != self._state.auth_key:
            raise errors.api_key_not_found(api_key)
        if uid not in self._state.accounts.users:
            raise errors.uid_not_found(uid)
        self._violations(call, shapes.device_body(call.body, self._state.app_id))
        token = self._state.accounts.issue_token(uid)
        return {"uid": uid, "authToken": token, "createdAt": self._state.accounts.tokens[token].created_at}

    def _put_me(self, call: Call) -> Dict[str, Any]:
        _, _, account = self._logged_in(call)
        body = call.body
        # One call for two things: a login brings a device, a user who changes something about themselves brings that.
        if isinstance(body, dict) and "deviceId" not in body and any(key in body for key in ("uid", "name", *DETAILS)):
            account.update(body)
            return self._me(call)
        self._violations(call, shapes.device_body(body, self._state.app_id))
        device_id = body.get("deviceId") if isinstance(body, dict) else None
        return self._me(call, device_id if isinstance(device_id, str) else None)

    def _me(self, call: Call, device_id: Optional[str] = None) -> Dict[str, Any]:
        # The vendor's client renews its jwt with a GET, without a body, once its ping is answered with ERR_NO_AUTH.
        text, token, account = self._logged_in(call)
        account.last_active_at = int(time.time())
        return {
            **account.fields(online=True),
            "authToken": text,
            "jwt": self._state.accounts.issue_jwt(token.uid, resource=call.resource or None, device_id=device_id),
            "settings": self._state.settings(*call.address),
            "wsChannel": {"identity": f"[{self._state.app_id}]{token.uid}", "service": "websocket"},
        }

    def _log_out(self, call: Call) -> Dict[str, Any]:
        _, token, _ = self._logged_in(call)
        token.void = True
        return {"success": True}

    def _settings(self, call: Call) -> Dict[str, Any]:
        self._logged_in(call)
        return self._state.settings(*call.address)

    def _user_session(self, call: Call) -> Dict[str, Any]:
        return {"success": True}

    def _ping(self, call: Call) -> Dict[str, Any]:
        """Whether the jwt and the settings of the caller still count; the vendor's client asks once a minute."""
        _, token, _ = self._logged_in(call)
        try:
            jwt = self._state.accounts.read_jwt(call.headers.get("Authorization", "").rpartition(" ")[2])
        except RefusedJwt:
            raise ApiError(401, "ERR_NO_AUTH", "The jwt is not good, or no longer.") from None
        if jwt.uid != token.uid:
            raise ApiError(401, "ERR_NO_AUTH", "The jwt is another user's.")
        if call.headers.get("settingsHash") != self._state.settings(*call.address)["settingsHash"]:
            raise ApiError(400, "ERR_SETTINGS_HASH_OUTDATED", "The settings have changed.")
        return {"success": True}

    def _logged_in(self, call: Call) -> Tuple[str, Token, Account]:
        text = call.headers.get("authToken", "")
        if not text:
            raise errors.empty_auth_token()
        token = self._state.accounts.tokens.get(text)
        if token is None or token.void:
            raise errors.auth_token_not_found(text)
        return text, token, self._state.accounts.users[token.uid]

    def _who_is(self, call: Call) -> str:
        return self._logged_in(call)[1].uid

    def _violations(self, call: Call, wrong: List[str]) -> None:
        for violation in wrong:
            self._state.journal.note_violation(f"{call.method} {call.path}: {violation}")


def envelope(data: Any) -> str:
    """A success, as text."""
    if isinstance(data, Listing):
        return json.dumps({"data": data.data, "meta": data.meta})
    return json.dumps({"data": data})


def refusal(error: ApiError) -> str:
    """A refusal, as text."""
    return json.dumps(error.envelope)
