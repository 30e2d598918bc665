"""The HTTP API: which call is which, who may make it, and what it answers. Loop thread only."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Callable, Dict, List, Pattern, Tuple
from urllib.parse import unquote

from aiohttp import web

from . import errors, shapes
from .accounts import Account, Token
from .errors import ApiError
from .hub import Hub
from .state import State

_VERSION_PREFIX = re.compile(r"^/v\d+(\.\d+)?(?=/|$)")


def bare_path(raw_path: str) -> str:
    """The path without the version prefix, still percent-encoded."""
    return _VERSION_PREFIX.sub("", raw_path) or "/"


class Call:
    """One HTTP call, read whole."""

    def __init__(self, request: web.BaseRequest, text: str, address: Tuple[str, int, bool]) -> None:
        self.method = request.method
        self.headers = request.headers
        self.path = bare_path(request.rel_url.raw_path)
        self.resource = request.headers.get("resource", "")
        #: Host, port and whether TLS is on: what the client is to connect its socket to.
        self.address = address
        self._text = text

    @property
    def body(self) -> Any:
        """The JSON body; None where there is none.

        :raises ApiError: it is not JSON.
        """
        if not self._text:
            return None
        try:
            return json.loads(self._text)
        except ValueError:
            raise errors.bad_request("The body is not JSON.") from None


class HttpApi:
    """Answers calls with the ``data`` of the success envelope; refuses them with ``ApiError``."""

    def __init__(self, state: State, hub: Hub) -> None:
        self._state = state
        self._hub = hub
        routes: List[Tuple[str, str, Callable[..., Any]]] = [
            ("POST", r"/users/([^/]+)/auth_tokens", self._create_auth_token),
            ("PUT", r"/me", self._log_in),
            ("DELETE", r"/me", self._log_out),
            ("GET", r"/settings", self._settings),
            ("POST", r"/messages", self._post_message),
            ("POST", r"/(?:.+/)?user_sessions", self._user_session),
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

    def _log_in(self, call: Call) -> Dict[str, Any]:
        text, token, account = self._logged_in(call)
        body = call.body
        self._violations(call, shapes.device_body(body, self._state.app_id))
        device_id = body.get("deviceId") if isinstance(body, dict) else None
        account.last_active_at = int(time.time())
        return {
            **account.fields(online=True),
            "authToken": text,
            "jwt": self._state.accounts.issue_jwt(
                token.uid, resource=call.resource or None, device_id=device_id if isinstance(device_id, str) else None
            ),
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

    def _post_message(self, call: Call) -> Dict[str, Any]:
        _, token, _ = self._logged_in(call)
        message = self._state.messages.post(token.uid, call.body, call.resource)
        self._hub.deliver(message, call.resource)
        return message

    def _user_session(self, call: Call) -> Dict[str, Any]:
        return {"success": True}

    def _logged_in(self, call: Call) -> Tuple[str, Token, Account]:
        text = call.headers.get("authToken", "")
        if not text:
            raise errors.empty_auth_token()
        token = self._state.accounts.tokens.get(text)
        if token is None or token.void:
            raise errors.auth_token_not_found(text)
        return text, token, self._state.accounts.users[token.uid]

    def _violations(self, call: Call, wrong: List[str]) -> None:
        for violation in wrong:
            self._state.journal.note_violation(f"{call.method} {call.path}: {violation}")


def envelope(data: Any) -> str:
    """A success, as text."""
    return json.dumps({"data": data})


def refusal(error: ApiError) -> str:
    """A refusal, as text."""
    return json.dumps(error.envelope)
